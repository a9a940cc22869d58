"""How badly the policy dreams from a start frame: from value head, kinematic verdicts and dreamed contact."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Of a dream's failure probability: how much the dreams' disagreement counts on top (an unsure policy is worth a look).
SPREAD_WEIGHT = 0.25


@dataclass(frozen=True)
class Evidence:
    """What the dreams of one start frame say.

    success   mean success probability by the value head, 0..1.
    spread    standard deviation of the dreams' failure probabilities, 0..0.5: how unsure the policy is.
    contact   share of dreams in which the robot touches the dog (by the probe, from pixels).
    rejected  share of dreams that the kinematic check rejected.
    failure   mean over dreams of 1 - success * (no contact): the dreamed failure rate.
    dreams    how many.
    """

    success: float
    spread: float
    contact: float
    rejected: float
    failure: float
    dreams: int

    @property
    def objective(self) -> float:
        """0 (surely succeeds) .. 1 (surely fails): the dreamed failure rate, plus a share of the dreams' disagreement."""
        return float(min(1.0, max(0.0, self.failure + SPREAD_WEIGHT * self.spread)))

    def to_dict(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def dreamed_contact(readings: Sequence[Any], margin: float = 0.0) -> bool:
    """Whether the robot's rim comes within `margin` metres of the dog in any frame after the first.

    readings: the probe's, one for each frame of a dream.
    """
    return any(reading.dog_gap() < margin for reading in readings[1:])


def evidence_of(dreams: Sequence[Any], probe: Any) -> Evidence:
    """Evidence from the dreams of one start frame; `probe.read(frames_NHW3)` gives one reading for each frame.

    Raises ValueError without dreams.
    """
    if not dreams:
        raise ValueError("evidence needs at least one dream")
    frames = np.concatenate([np.asarray(dream.frames) for dream in dreams])
    readings = probe.read(frames)
    lengths = np.cumsum([0, *(len(dream.frames) for dream in dreams)])
    contact = np.array([dreamed_contact(readings[a:b]) for a, b in itertools.pairwise(lengths)], dtype=float)
    success = np.clip([float(dream.success) for dream in dreams], 0, 1)
    failure = 1 - success * (1 - contact)
    rejected = np.array([not dream.verdict.accepted for dream in dreams], dtype=float)
    return Evidence(
        success=float(success.mean()),
        spread=float(failure.std()),
        contact=float(contact.mean()),
        rejected=float(rejected.mean()),
        failure=float(failure.mean()),
        dreams=len(dreams),
    )
