"""Held-out demonstrations and start frames for the benches of the policy: seeds that no training has seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rollouts.worlds.household.env import HouseholdEnv
from training.learn.collect import Episode, play_episode

FIRST_SEED = 800_000_000


def episodes(count: int, *, offset: int = 0, skill: str | None = None, options: dict | None = None) -> list[Episode]:
    """`count` demonstrations; even and odd seeds share a start, so only even ones are played."""
    env = HouseholdEnv()
    try:
        return [play_episode(env, FIRST_SEED + 2 * (offset + i), skill=skill, options=options) for i in range(count)]
    finally:
        env.close()


def starts(count: int, options: dict, *, offset: int = 0) -> Iterator[tuple[np.ndarray, dict]]:
    """Start frames uint8 [H, W, 3] with the info of their reset."""
    env = HouseholdEnv()
    try:
        for i in range(count):
            _, info = env.reset(seed=FIRST_SEED + offset + i, options=options)
            yield env.render(), info
    finally:
        env.close()
