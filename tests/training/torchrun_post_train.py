"""A tiny post-training run as a process of its own: started by torchrun, or alone to be killed.

torchrun_post_train.py OUT [STEPS [PAUSE_S]]
"""

import sys
import time
from pathlib import Path

from tests.training.test_post_train import encode_text, preference_data, settings
from tests.training.tiny import TinyWorldModel
from training.learn.distributed import join_world
from training.learn.post_train import PostTrain

if __name__ == "__main__":
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    with join_world() as world:
        result = PostTrain(
            settings(steps=steps, pairs_per_step=9, micro_batch=3),
            preference_data(replay=6),
            TinyWorldModel(0),
            encode_text,
            Path(sys.argv[1]),
            world=world,
            check_cancelled=lambda: time.sleep(pause),
        ).run()
        print(result.sha256)
