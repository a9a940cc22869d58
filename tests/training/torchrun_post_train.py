"""A tiny post-training run as a process of its own: started by torchrun, or alone to be killed.

torchrun_post_train.py OUT [STEPS [PAUSE_S]] [--shard] [--lora]
"""

import sys
import time
from pathlib import Path

from rollouts.dreams import precision
from tests.training.test_post_train import settings
from tests.training.tiny import TinyWorldModel, encode_text, preference_data
from training.learn.distributed import join_world
from training.learn.post_train import PostTrain

if __name__ == "__main__":
    precision.native_bfloat16 = lambda device: False  # as the tests that compare with this
    out, *numbers = [word for word in sys.argv[1:] if not word.startswith("--")]
    steps = int(numbers[0]) if numbers else 12
    pause = float(numbers[1]) if len(numbers) > 1 else 0.0
    with join_world(sharded="--shard" in sys.argv) as world:
        result = PostTrain(
            settings(steps=steps, pairs_per_step=9, micro_batch=3, adapt="lora" if "--lora" in sys.argv else "full", lora_rank=4),
            preference_data(replay=6),
            TinyWorldModel(0),
            encode_text,
            Path(out),
            world=world,
            check_cancelled=lambda: time.sleep(pause),
        ).run()
        print(result.sha256)
