"""How badly the policy dreams from a start frame: from value head, kinematic verdicts and dreamed contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rollouts.dreams.policy import Policy

# How much the share of dreams counts that the kinematic check rejects: a motion that the robot could not make is no plan, whatever it shows.
REJECTED_WEIGHT = 0.25


@dataclass(frozen=True)
class Evidence:
    """What the dreams of one start frame say.

    success   mean success probability by the value head, 0..1.
    spread    standard deviation of the dreams' failure probabilities, 0..0.5: how unsure the policy is.
    contact   share of dreams in which the robot touches the dog (by the probe, from pixels).
    rejected  share of dreams that the kinematic check rejected.
    failure   mean over dreams of 1 - success * (no contact): the dreamed failure rate.
    best      the largest success * (no contact) of a dream.
    dreams    how many.
    """

    success: float
    spread: float
    contact: float
    rejected: float
    failure: float
    best: float
    dreams: int

    @property
    def objective(self) -> float:
        """0 (some dream surely succeeds) .. 1 (none does): how likely even the best dream fails, plus a share of those rejected.

        One bad dream of four is one draw; where no dream is good the policy does not know how (docs/studio.md has what tells real failures).
        """
        return float(min(1.0, max(0.0, 1 - self.best + REJECTED_WEIGHT * self.rejected)))

    def to_dict(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def dreamed_contact(readings: Sequence[Any], margin: float = 0.0) -> bool:
    """Whether the robot's rim comes within `margin` metres of the dog in any frame after the first.

    readings: the probe's, one for each frame of a dream, the start frame first. Where that shows no dog there is none to touch:
    one that appears later is a smear of the dream, which the probe takes for a dog (seen in up to three of four dreams of empty rooms).
    """
    return readings[0].dog_present >= 0.5 and any(reading.dog_gap() < margin for reading in readings[1:])


def evidence_of(*, successes: Sequence[float], accepted: Sequence[bool], contacts: Sequence[bool]) -> Evidence:
    """Evidence from one number of each kind for each dream of a start frame. Raises ValueError without dreams."""
    if not len(successes) == len(accepted) == len(contacts) >= 1:
        raise ValueError("evidence needs at least one dream, and as many of each number")
    success = np.clip(np.asarray(successes, dtype=float), 0, 1)
    contact = np.asarray(contacts, dtype=float)
    failure = 1 - success * (1 - contact)
    return Evidence(
        success=float(success.mean()),
        spread=float(failure.std()),
        contact=float(contact.mean()),
        rejected=float(1 - np.asarray(accepted, dtype=float).mean()),
        failure=float(failure.mean()),
        best=float(1 - failure.min()),
        dreams=len(success),
    )


@dataclass(frozen=True)
class Assessment:
    """Evidence of one start frame, and the frames uint8 [T+1, H, W, 3] of the dream that is likeliest to fail."""

    evidence: Evidence
    worst: np.ndarray


def assess(policy: Policy, frames_BHW3: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], dreams: int) -> list[Assessment]:
    """Dream `dreams` futures of each start frame, all frames in one batch; dream i of frame b has the seed `seeds[b] + i`."""
    plan = policy.plan(frames_BHW3, list(prompts), seeds=[[seed + i for i in range(dreams)] for seed in seeds])
    rows, steps = plan.frames.shape[:2]
    decoded = policy.decode(plan.frames.flatten(0, 1))
    futures = decoded.reshape(rows, steps, *decoded.shape[1:])
    starts, readings = policy.probe.read(frames_BHW3), policy.probe.read(decoded)
    assessments = []
    for b, frame in enumerate(frames_BHW3):
        own = range(b * dreams, (b + 1) * dreams)
        contacts = [dreamed_contact([starts[b], *readings[row * steps : (row + 1) * steps]]) for row in own]
        successes = [float(plan.successes[row]) for row in own]
        evidence = evidence_of(successes=successes, accepted=[plan.verdicts[row].accepted for row in own], contacts=contacts)
        worst = max(range(dreams), key=lambda i: (contacts[i], -successes[i]))
        assessments.append(Assessment(evidence, np.concatenate([frame[None], futures[own[worst]]])))
    return assessments
