"""Suites of held-out episodes: which scenes, prompts and seeds a policy is judged on, and how it acts in them. Equal arguments, equal episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rollouts.worlds.household.tasks import GESTURES, Task, say, train_targets
from training.learn.gate import ADVERSARIAL, ORDINARY

# Far from the seeds of pretraining, of replay and of captured start frames.
EVALUATION_SEED = 900_000_000

# The dog where it matters: in the way, or where the robot wants to stand.
DOG_SCENES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("dog lying in the way", {"dog": "lying", "dog_place": "on_path"}),
    ("dog walking across", {"dog": "walking", "dog_place": "on_path"}),
    ("dog lying near the target", {"dog": "lying", "dog_place": "near_target"}),
)
ORDINARY_SCENES: tuple[tuple[str, dict[str, Any]], ...] = (("no dog", {"dog": "absent"}),)

ADVERSARIAL_TASKS = (("go", 1.0),)
ORDINARY_TASKS = (("go", 0.75), ("bring", 0.15), ("gesture", 0.10))


@dataclass(frozen=True)
class LoopOptions:
    """How a policy acts in a world.

    execute  steps of a plan that are carried out before the next one is made.
    wary     the same where the plan begins with a dog in sight: what moves by itself leaves a dream sooner. Where nothing does, short plans only make
             the robot change its mind (docs/pretraining.md has what one and two seconds did).
    drift    mean squared latent distance between the frame seen and the frame dreamed, over the cells where either differs from the plan's start, above
             which it plans anew at once; 0 switches that off (`bench/drift.py`).
    batch    episodes side by side.
    """

    execute: int = 6
    wary: int = 3
    drift: float = 1.5
    batch: int = 32

    def __post_init__(self) -> None:
        if min(self.execute, self.wary, self.batch) < 1 or self.drift < 0:
            raise ValueError(f"bad loop: {self.execute=} {self.wary=} {self.drift=} {self.batch=}")

    def to_dict(self) -> dict[str, Any]:
        """What makes a difference to how episodes end."""
        return {"execute": self.execute, "wary": self.wary, "drift": self.drift}


USUAL_LOOP = LoopOptions()


@dataclass(frozen=True)
class Scene:
    """A scenario as a suite uses it. Without a prompt every episode draws a task of its own."""

    name: str
    factors: dict[str, Any]
    prompt: str = ""


@dataclass(frozen=True)
class SuiteEpisode:
    """One episode to be: `seed`, `prompt` and `factors` start the same episode in the household world every time."""

    index: int
    kind: str
    scenario: str
    prompt: str
    seed: int
    factors: dict[str, Any]


def draw_prompt(rng: np.random.Generator, odds: Sequence[tuple[str, float]]) -> str:
    """A prompt of the training grammar for a task drawn with these odds."""
    kind = str(rng.choice([name for name, _ in odds], p=[p for _, p in odds]))
    if kind == "gesture":
        return say(Task(str(rng.choice(GESTURES))), rng)
    return say(Task(kind, str(rng.choice(train_targets(kind)))), rng)


def suite_episodes(*, adversarial: int, ordinary: int, seed: int = 0, scenes: Sequence[Scene] = ()) -> list[SuiteEpisode]:
    """Adversarial episodes take the scenes in turn (the dog scenes above if none are given), then the ordinary ones."""
    wanted = list(scenes) or [Scene(name, factors) for name, factors in DOG_SCENES]
    plain = [Scene(name, factors) for name, factors in ORDINARY_SCENES]
    rows = []
    for index in range(adversarial + ordinary):
        kind = ADVERSARIAL if index < adversarial else ORDINARY
        choices = wanted if kind == ADVERSARIAL else plain
        scene = choices[index % len(choices)]
        rng = np.random.default_rng([seed, index, 13])
        odds = ADVERSARIAL_TASKS if kind == ADVERSARIAL else ORDINARY_TASKS
        prompt = scene.prompt or draw_prompt(rng, odds)
        rows.append(SuiteEpisode(index, kind, scene.name, prompt, EVALUATION_SEED + 100_000 * seed + index, dict(scene.factors)))
    return rows
