"""Tiny post-training runs in a process of their own: started by torchrun, one after the other, or one alone to be killed.

torchrun_post_train.py OUT[:shard][:lora] ... [--steps N] [--pause SECONDS]
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from rollouts.dreams import precision
from tests.training.test_post_train import settings
from tests.training.tiny import TinyWorldModel, encode_text, preference_data
from training.learn.distributed import join_world
from training.learn.post_train import PostTrain

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.0)
    asked = parser.parse_args()
    precision.native_bfloat16 = lambda device: False  # as the tests that compare with this
    with join_world() as world:
        for run in asked.runs:
            out, *words = run.split(":")
            result = PostTrain(
                settings(steps=asked.steps, pairs_per_step=9, micro_batch=3, adapt="lora" if "lora" in words else "full", lora_rank=4),
                preference_data(replay=6),
                TinyWorldModel(0),
                encode_text,
                Path(out),
                world=replace(world, sharded="shard" in words),
                check_cancelled=lambda: time.sleep(asked.pause),
            ).run()
            print(result.sha256)
