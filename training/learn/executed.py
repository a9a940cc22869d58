"""Dreams played in the world: what comes of the actions that are inferred from them.

A dream is drawn by a network that was never punished for walking through a dog. What its actions do to a real one can be tried, from the same
start, as often as physics is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rollouts.dreams.policy import Policy
from rollouts.worlds.household.demonstrators import Demonstrator
from rollouts.worlds.household.env import HouseholdEnv

from .evaluate import EpisodeSpec


@dataclass(frozen=True)
class Executed:
    """One dream and what came of its actions, open loop.

    frame: index of its episode; prompt; start: latents [C, h, w] of the start frame; latents [T, Z, 1, 1]: the dream's codes; path [T + 1, 2] in
    metres: what the robot does in it; value: what the value head says of it. dog: x, y, yaw of the real dog in the start frame, None without one;
    touched: a dog was; reached: the task was done by the end; steps_left: how many more steps a careful demonstrator then needs, None if it does
    not get there (or was not asked).
    """

    frame: int
    prompt: str
    start: torch.Tensor
    latents: torch.Tensor
    path: np.ndarray
    value: float
    dog: list[float] | None
    touched: bool
    reached: bool
    steps_left: int | None


def executed_dreams(
    policy: Policy,
    specs: Sequence[EpisodeSpec],
    n: int,
    *,
    batch: int = 8,
    seed: int = 0,
    lead: int = 0,
    patience: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Executed]:
    """`n` dreams of one frame of every episode, frame by frame: the first one, or the one after as many steps of a careless demonstrator as its
    seed says, at most `lead`. patience: steps that the demonstrator has who goes on where a dream ends."""
    env = HouseholdEnv()

    def begin(spec: EpisodeSpec) -> dict:
        _, info = env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
        rng = np.random.default_rng([spec.seed, 22])
        walker = Demonstrator(info["task"], "careless", rng)
        for _ in range(int(rng.integers(lead + 1))):
            _, _, _, _, info = env.step(walker.act(info["state"]))
        env.dog_contact = env.success = False  # what counts is what the dream does
        return info

    try:
        for first in range(0, len(specs), batch):
            part = specs[first : first + batch]
            frames, dogs = [], []
            for spec in part:
                dogs.append(begin(spec)["state"]["dog"])
                frames.append(env.render())
            starts = policy.encode(np.stack(frames)).cpu()
            seeds = [[seed + (first + i) * 100 + j for j in range(n)] for i in range(len(part))]
            plan = policy.plan(np.stack(frames), [spec.prompt for spec in part], seeds=seeds)
            for row, actions in enumerate(plan.actions):
                spec = part[row // n]
                info = begin(spec)
                for action in actions:
                    _, _, _, _, info = env.step(action)
                touched, reached = bool(info["dog_contact"]), bool(info["success"])
                yield Executed(
                    frame=first + row // n,
                    prompt=spec.prompt,
                    start=starts[row // n],
                    latents=plan.latents[row].cpu(),
                    path=plan.paths[row],
                    value=float(plan.values[row]),
                    dog=dogs[row // n],
                    touched=touched,
                    reached=reached,
                    steps_left=0 if reached else _steps_left(env, info, patience, spec.seed),
                )
            if progress:
                progress(first + len(part), len(specs))
    finally:
        env.close()


def _steps_left(env: HouseholdEnv, info: dict, patience: int, seed: int) -> int | None:
    expert = Demonstrator(info["task"], "careful", np.random.default_rng([seed, 21]))
    for step in range(patience):
        _, _, _, _, info = env.step(expert.act(info["state"]))
        if info["success"]:
            return step + 1
    return None
