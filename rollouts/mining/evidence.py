"""How badly the policy fares in episodes that it dreams: from value head, kinematic verdicts and dreamed contact.

A plan is not yet an episode. What the policy would see after the first steps of a dream it dreams on from, as it would act in the world, so that a task
that takes several plans is told from one that never ends: of the quarter of rooms that look worst after three plans more episodes really failed than
of those that do after one (docs/studio.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rollouts.dreams.batches import filled

if TYPE_CHECKING:
    from rollouts.dreams.policy import Plan, Policy

# How much the share of dreams counts that the kinematic check rejects: a motion that the robot could not make is no plan, whatever it shows.
REJECTED_WEIGHT = 0.25
# Plans of a dreamed episode; more than three told no more of the policy of a round.
PLANS = 3
# Steps of a plan after which the next one begins: half of it, as where the policy acts and nothing is in its way.
CARRIED_OUT = 6
# Where a dream is this likely to succeed, the start frame is no find, and nothing is dreamed on from it.
PROMISING = 0.8
_APART = 1000  # seeds of one episode's plans


@dataclass(frozen=True)
class Evidence:
    """What the dreamed episodes of one start frame say. The chance of one is the largest success probability, by the value head, of a plan in it
    that does not touch the dog and that comes before any touch; 0 if there is none.

    contact   share of them in which the robot touches the dog (by the probe, from pixels).
    rejected  share whose first plan the kinematic check rejected.
    failure   1 - their mean chance: the dreamed failure rate.
    best      the largest chance.
    dreams    how many.
    """

    contact: float
    rejected: float
    failure: float
    best: float
    dreams: int

    @property
    def objective(self) -> float:
        """0 (some dreamed episode surely succeeds) .. 1 (none does): how likely even the best one fails, plus a share of those rejected.

        One bad dream of four is one draw; where no dream is good the policy does not know how (docs/studio.md has what tells real failures).
        """
        return float(min(1.0, max(0.0, 1 - self.best + REJECTED_WEIGHT * self.rejected)))

    def to_dict(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        """Of what `to_dict` gave, whatever else there is beside it. Raises KeyError where something of it is missing."""
        return cls(**{entry.name: values[entry.name] for entry in fields(cls)})


def touched_at(start: Any, readings: Sequence[Any]) -> int | None:
    """The first frame, from 1, in which the robot's rim overlaps the dog; None if it does in none.

    start: the probe's reading of the start frame, readings: of the frames dreamed after it. Where the start frame shows no dog there is none to touch:
    one that appears later is a smear of the dream, which the probe takes for a dog (seen in up to three of four dreams of empty rooms).
    """
    if start.dog_present < 0.5:
        return None
    return next((number for number, reading in enumerate(readings, 1) if reading.dog_gap() < 0), None)


def evidence_of(*, chances: Sequence[float], contacts: Sequence[bool], rejected: Sequence[bool]) -> Evidence:
    """Evidence from one number of each kind for each dreamed episode of a start frame. Raises ValueError without any."""
    if not len(chances) == len(contacts) == len(rejected) >= 1:
        raise ValueError("evidence needs at least one dream, and as many of each number")
    chance = np.clip(np.asarray(chances, dtype=float), 0, 1)
    return Evidence(
        contact=float(np.asarray(contacts, dtype=float).mean()),
        rejected=float(np.asarray(rejected, dtype=float).mean()),
        failure=float(1 - chance.mean()),
        best=float(chance.max()),
        dreams=len(chance),
    )


@dataclass
class _Episode:
    """A dreamed episode so far. start: the probe's reading of its start frame; frames: what is seen of it, uint8 [H, W, 3] each, and rest: of its last
    plan, beyond what is carried out; over: the robot has touched the dog."""

    prompt: str
    seed: int
    start: Any
    frames: list[np.ndarray]
    rest: list[np.ndarray] = field(default_factory=list)
    chance: float = 0.0
    contact: bool = False
    over: bool = False

    def go_on(self, frames_THW3: np.ndarray, success: float, touched: int | None) -> None:
        """With a plan that touches the dog in frame `touched`, from 1; None: in none."""
        if touched is None:
            self.chance = max(self.chance, success)
        self.contact = touched is not None
        self.over = touched is not None and touched <= CARRIED_OUT
        self.frames += list(frames_THW3[:CARRIED_OUT])
        self.rest = list(frames_THW3[CARRIED_OUT:])


@dataclass(frozen=True)
class Assessment:
    """Evidence of one start frame, and the frames uint8 [F, H, W, 3] of the dreamed episode that is likeliest to fail, the start frame first."""

    evidence: Evidence
    worst: np.ndarray


def assess(policy: Policy, frames_BHW3: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], dreams: int) -> list[Assessment]:
    """Dream `dreams` episodes of at most `PLANS` plans from each start frame, those of all frames in one batch.

    The first plan of episode i of frame b has the seed `seeds[b] + i`. An episode ends where the robot touches the dog, and all of a start frame where
    one of them is `PROMISING`.
    """
    starts = policy.probe.read(frames_BHW3)
    groups = [
        [_Episode(prompt, seed + i, start, [frame]) for i in range(dreams)]
        for frame, start, prompt, seed in zip(frames_BHW3, starts, prompts, seeds, strict=True)
    ]
    episodes = [one for group in groups for one in group]
    plan = policy.plan(frames_BHW3, list(prompts), seeds=[[one.seed for one in group] for group in groups])
    rejected = [not verdict.accepted for verdict in plan.verdicts]
    _carry_out(policy, plan, episodes)
    for number in range(1, PLANS):
        going = [one for group in groups if max(one.chance for one in group) < PROMISING for one in group if not one.over]
        if not going:
            break
        rows = filled(going)
        plan = policy.plan(np.stack([one.frames[-1] for one in rows]), [one.prompt for one in rows], seeds=[[one.seed + number * _APART] for one in rows])
        _carry_out(policy, plan, going)
    return [_assessed(group, rejected[b * dreams : (b + 1) * dreams]) for b, group in enumerate(groups)]


def _carry_out(policy: Policy, plan: Plan, episodes: list[_Episode]) -> None:
    """As if the world were as dreamed. The plan may have more rows than there are episodes."""
    rows, steps = len(episodes), plan.frames.shape[1]
    decoded = policy.decode(plan.frames[:rows].flatten(0, 1))
    readings = policy.probe.read(decoded)
    for row, episode in enumerate(episodes):
        own = slice(row * steps, (row + 1) * steps)
        episode.go_on(decoded[own], float(plan.successes[row]), touched_at(episode.start, readings[own]))


def _assessed(group: list[_Episode], rejected: Sequence[bool]) -> Assessment:
    evidence = evidence_of(chances=[one.chance for one in group], contacts=[one.contact for one in group], rejected=rejected)
    worst = max(group, key=lambda one: (one.contact, -one.chance))
    return Assessment(evidence, np.stack([*worst.frames, *worst.rest]))
