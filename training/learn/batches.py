"""Which pairs, clips, noise and times a step sees: a pure function of (seed, step).

Nothing is drawn from a generator that lives across steps, so a run that was killed and resumed, or
that runs on several ranks, sees exactly what an unbroken single process sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch

from training.learn.dpo_settings import DPOSettings


def generator_for(seed: int, *names: object) -> torch.Generator:
    """A CPU generator seeded by a hash of the seed and the names."""
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True)
class StepPlan:
    """Row indices of the pairs and of the replayed clips of one step."""

    pairs: list[int]
    replay: list[int]


def draw(items: list[int], count: int, step: int, seed: int, stream: str) -> list[int]:
    """``count`` items for this step, going through shuffled epochs without repeating inside one."""
    if not items or count == 0:
        return []
    chosen: list[int] = []
    position = step * count
    while len(chosen) < count:
        epoch, offset = divmod(position, len(items))
        g = generator_for(seed, stream, epoch)
        order = torch.randperm(len(items), generator=g).tolist()
        taken = order[offset : offset + count - len(chosen)]
        chosen += [items[i] for i in taken]
        position += len(taken)
    return chosen


def plan_step(settings: DPOSettings, step: int, new: list[int], old: list[int], replay: int) -> StepPlan:
    """Compose a step of new pairs, pairs of earlier rounds, and replayed real clips.

    A kind that does not exist gives its share to the new pairs (to the old, if nothing is new).
    """
    total = settings.pairs_per_step
    replayed = round(total * settings.share_replay) if replay else 0
    pairs = total - replayed
    old_count = round(total * settings.share_old) if old and new else (0 if new else pairs)
    return StepPlan(
        pairs=draw(new, pairs - old_count, step, settings.seed, "new") + draw(old, old_count, step, settings.seed, "old"),
        replay=draw(list(range(replay)), replayed, step, settings.seed, "replay"),
    )
