"""Tiny post-training runs in a process of their own: started by torchrun, one after the other, or one alone to be killed.

torchrun_post_train.py OUT[:shard][:lora][:real] ... [--steps N] [--pause SECONDS]

real: not the tiny stand-in of a network, but the policy and the preferences that lie beside OUT.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from rollouts.dreams import precision
from tests.training.test_post_train import settings
from tests.training.tiny import TinyWorldModel, encode_text, preference_data
from training.learn.distributed import join_world
from training.learn.post_train import PostTrain, post_train

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--pause", type=float, default=0.0)
    asked = parser.parse_args()
    precision.native_bfloat16 = lambda device: False  # as the tests that compare with this
    with join_world() as world:
        for run in asked.runs:
            place, *words = run.split(":")
            out, world_of = Path(place), replace(world, sharded="shard" in words)
            wanted = settings(steps=asked.steps, pairs_per_step=9, micro_batch=3, adapt="lora" if "lora" in words else "full", lora_rank=4)
            if "real" in words:
                result = post_train(replace(wanted, steps=3, evaluate_every=3), out.parent / "policy", out.parent / "preferences", out, world_of)
            else:
                recipe = PostTrain(
                    wanted,
                    preference_data(replay=6),
                    TinyWorldModel(0),
                    encode_text,
                    out,
                    world=world_of,
                    check_cancelled=lambda: time.sleep(asked.pause),
                )
                result = recipe.run()
            print(result.sha256)
