"""Started by torchrun from test_post_train: the same tiny run in any number of processes."""

import sys
from pathlib import Path

from tests.training.test_post_train import encode_text, preference_data, settings
from tests.training.tiny import TinyWorldModel
from training.learn.distributed import join_world
from training.learn.post_train import PostTrain

if __name__ == "__main__":
    with join_world() as world:
        PostTrain(
            settings(steps=12, pairs_per_step=9, micro_batch=3),
            preference_data(replay=6),
            TinyWorldModel(0),
            encode_text,
            Path(sys.argv[1]),
            world=world,
        ).run()
