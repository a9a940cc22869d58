"""How likely an episode from a start frame really fails, by what episodes that were played have taught.

Dreams tell what the policy is about to do. How far it then gets in the world depends on more: on a dog near the way, which walks where no dream knows, and on
how far there is to go. Two logistic regressions weigh that: one of how the room is laid out, which is known before anything is dreamed and cheap enough to
choose rooms by (as surrogate-assisted illumination does: Gaier, Asteroth & Mouret 2018, "Data-Efficient Design Exploration through Surrogate-Assisted
Illumination"), and one of that and of what the dreams say. `training/learn/forecast.py` taught the shipped ones on rooms that base weights played.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rollouts.mining.evidence import Evidence

_ANY_TASK = ("dog", "robot_to_dog", "dog_to_thing", "dog_to_mat", "dog_to_way", "robot_to_thing", "thing_off_centre", "mat_off_centre", "turn", "things")
_TO_BRING = ("bring", "bring_thing_to_mat", "bring_dog_to_carry", "bring_dog_to_thing", "bring_dog_to_mat", "bring_robot_to_dog", "bring_mat_off_centre")
FACTS = (*_ANY_TASK, *_TO_BRING)
"""Names of the numbers of a room. Distances are in metres, those of the dog at most 2, which is what they are where there is none.

dog_to_way    from the straight line between the robot and what its prompt names.
dog_to_carry  from that between the thing and the mat.
turn          how far, in radians, the robot has to turn to face the thing.
bring         whether the thing is to be brought to the mat; numbers that begin so are zero where it is not.
"""
SHIPPED = Path(__file__).with_name("forecast.json")
DREAMED = ("best", "failure", "contact", "rejected")
"""What of `Evidence` is weighed."""
PULL = 10.0  # of the weights towards none, or towards what they were before: as much as a standard deviation of 0.3


@dataclass(frozen=True)
class Logistic:
    """P(failure) = sigmoid(bias + sum of weight * (number - mean) / scale)."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Logistic:
        return cls(tuple(values["mean"]), tuple(values["scale"]), tuple(values["weights"]), values["bias"])

    def chance(self, numbers: np.ndarray) -> np.ndarray:
        """Of numbers [N, F]: float [N]."""
        return _sigmoid(self.bias + self._scaled(numbers) @ np.asarray(self.weights))

    def taught(self, numbers: np.ndarray, failed: np.ndarray) -> Logistic:
        """The most probable weights after these episodes: numbers [N, F], failed bool [N]. Before them each weight is known to a standard deviation
        of PULL ** -0.5."""
        from scipy.optimize import minimize  # pages, which say what was foreseen, do without it

        scaled = np.column_stack([np.ones(len(numbers)), self._scaled(numbers)])
        before = np.array([self.bias, *self.weights])
        happened = np.asarray(failed, dtype=float)

        def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
            logits, moved = scaled @ weights, weights - before
            value = np.logaddexp(0, logits) - happened * logits
            return float(value.sum() + PULL / 2 * moved @ moved), scaled.T @ (_sigmoid(logits) - happened) + PULL * moved

        bias, *weights = minimize(cost, before, jac=True, method="L-BFGS-B").x
        return Logistic(self.mean, self.scale, tuple(float(weight) for weight in weights), float(bias))

    def _scaled(self, numbers: np.ndarray) -> np.ndarray:
        return (np.asarray(numbers, dtype=float) - self.mean) / self.scale


def fitted(numbers: np.ndarray, failed: np.ndarray) -> Logistic:
    """A regression on numbers [N, F] and failed bool [N], from nothing. Raises ValueError where all episodes ended alike."""
    share = float(np.mean(failed)) if len(failed) else 0.0
    if not 0 < share < 1:
        raise ValueError("episodes that all end alike teach nothing of what makes them fail")
    scale = numbers.std(0)
    blank = Logistic(tuple(numbers.mean(0).tolist()), tuple(np.where(scale > 1e-6, scale, 1.0).tolist()), (0.0,) * numbers.shape[1], 0.0)
    return blank.taught(numbers, failed)


@dataclass(frozen=True)
class Forecast:
    """layout: of a room's `FACTS`; dreams: of these and of what of its dreams is `DREAMED`; episodes: of how many played ones it knows."""

    layout: Logistic
    dreams: Logistic
    episodes: int

    @classmethod
    def fit(cls, facts: np.ndarray, evidence: Sequence[Evidence], failed: np.ndarray) -> Forecast:
        """From played episodes: facts [N, FACTS], failed bool [N]. Raises ValueError where all ended alike."""
        return cls(fitted(facts, failed), fitted(_numbers(facts, evidence), failed), len(failed))

    def taught(self, facts: np.ndarray, evidence: Sequence[Evidence], failed: np.ndarray) -> Forecast:
        """What it says after more episodes; itself after none."""
        if not len(failed):
            return self
        return Forecast(self.layout.taught(facts, failed), self.dreams.taught(_numbers(facts, evidence), failed), self.episodes + len(failed))

    def before_dreaming(self, facts: np.ndarray) -> np.ndarray:
        """Chances [N] that an episode fails, by facts [N, FACTS] alone."""
        return self.layout.chance(facts)

    def failure(self, facts: np.ndarray, evidence: Sequence[Evidence]) -> np.ndarray:
        """Chances [N] that an episode fails, by facts [N, FACTS] and what was dreamed."""
        return self.dreams.chance(_numbers(facts, evidence))

    def to_dict(self) -> dict[str, Any]:
        return {"facts": list(FACTS), "dreamed": list(DREAMED), **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Forecast:
        """Raises ValueError for one of other numbers than those that are read now."""
        if (tuple(values["facts"]), tuple(values["dreamed"])) != (FACTS, DREAMED):
            raise ValueError("this forecast weighs other numbers than the ones that are read now; teach it anew")
        layout, dreams = (Logistic.from_dict(values[kind]) for kind in ("layout", "dreams"))
        return cls(layout, dreams, values["episodes"])


@functools.cache
def shipped() -> Forecast:
    """What base weights have taught."""
    return Forecast.from_dict(json.loads(SHIPPED.read_text()))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -logits))


def _numbers(facts: np.ndarray, evidence: Sequence[Evidence]) -> np.ndarray:
    said = np.array([[getattr(one, name) for name in DREAMED] for one in evidence], dtype=float).reshape(len(evidence), len(DREAMED))
    return np.concatenate([np.asarray(facts, dtype=float), said], 1)
