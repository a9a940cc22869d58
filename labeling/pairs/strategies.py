"""How the next pairs are picked out of a random pool. Each strategy gives every chosen pair a priority and a reason.

uniform            any pair; the control for the others.
value_uncertainty  the value head can not tell the two apart: entropy of sigmoid(value_a - value_b), in bits.
disagreement       an ensemble fitted on the choices so far disagrees: deviation of its predictions.
dreamed_contact    in CONTACT_SHARE of the pairs one dream touches the dog and the other does not, as the probe sees; the rest is drawn
                   at random, or a policy would learn from them that standing still is safest.
information_gain   the pair that shrinks what is unknown of the preference model most: D-optimal design,
                   log(1 + p(1-p) v^T H^-1 v), picked greedily; each picked pair enters H, so the next differs from it in
                   features (the diversity of BAL-PM without a second model).

Near ties teach the value head and harm DPO: a round over `value_uncertainty` pairs is better off without its ties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .preference import LinearPreference, sigmoid

CONTACT_SHARE = 0.7


@dataclass(frozen=True)
class Pool:
    """Candidate pairs. pairs [P, 2] index into the N rollouts; values [N]; features [N, D] standardised, or None; touches [N] 1 or 0,
    nan where the probe did not look."""

    pairs: np.ndarray
    values: np.ndarray
    features: np.ndarray | None = None
    touches: np.ndarray | None = None

    @property
    def differences(self) -> np.ndarray:
        if self.features is None:
            raise ValueError("this strategy needs features")
        return self.features[self.pairs[:, 0]] - self.features[self.pairs[:, 1]]


@dataclass(frozen=True)
class Chosen:
    """`pair` indexes into the pool; a higher priority is served first."""

    pair: int
    priority: float
    reason: str


Strategy = Callable[[Pool, int, LinearPreference | None, np.random.Generator], list[Chosen]]


def choose(strategy: str, pool: Pool, count: int, preference: LinearPreference | None, rng: np.random.Generator) -> list[Chosen]:
    """The `count` best pairs of the pool. Raises ValueError for an unknown strategy or missing features."""
    if strategy not in STRATEGIES:
        raise ValueError(f"unknown {strategy=}; known: {', '.join(STRATEGIES)}")
    return STRATEGIES[strategy](pool, min(count, len(pool.pairs)), preference, rng)


def _uniform(pool, count, preference, rng) -> list[Chosen]:
    return [Chosen(int(pair), float(rng.random()), "drawn at random") for pair in rng.permutation(len(pool.pairs))[:count]]


def _value_uncertainty(pool, count, preference, rng) -> list[Chosen]:
    p = sigmoid(pool.values[pool.pairs[:, 0]] - pool.values[pool.pairs[:, 1]])
    q = np.clip(p, 1e-12, 1 - 1e-12)
    bits = -(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    return _best(bits, count, lambda pair: f"value head: {max(p[pair], 1 - p[pair]):.0%} sure ({bits[pair]:.2f} bits)")


def _disagreement(pool, count, preference, rng) -> list[Chosen]:
    p = sigmoid(pool.differences @ _needed(preference).ensemble.T)
    spread = p.std(axis=1)
    return _best(spread, count, lambda pair: f"ensemble predicts {', '.join(f'{member:.0%}' for member in p[pair])}")


def _dreamed_contact(pool, count, preference, rng) -> list[Chosen]:
    if pool.touches is None:
        raise ValueError("this strategy needs to know which dreams touch the dog")
    order = rng.permutation(len(pool.pairs))
    first, second = pool.touches[pool.pairs[order]].T
    differ = np.abs(first - second) == 1  # not where one is unknown
    telling = [Chosen(int(pair), 1.0 + float(rng.random()), "the probe sees the dog touched in one of the two") for pair in order[differ]]
    telling = telling[: round(CONTACT_SHARE * count)]
    taken = {chosen.pair for chosen in telling}
    others = [Chosen(int(pair), 1.0 + float(rng.random()), "drawn at random") for pair in order if int(pair) not in taken]
    return telling + others[: count - len(telling)]


def _information_gain(pool, count, preference, rng) -> list[Chosen]:
    preference = _needed(preference)
    v = pool.differences
    p = sigmoid(v @ preference.w)
    weight = p * (1 - p)
    inverse = np.linalg.inv(preference.hessian)
    left = np.ones(len(v), dtype=bool)
    chosen = []
    for _ in range(count):
        solved = v @ inverse
        gain = np.log1p(weight * np.einsum("pd,pd->p", solved, v))
        gain[~left] = -np.inf
        best = int(gain.argmax())
        left[best] = False
        chosen.append(Chosen(best, float(gain[best]), f"information gain {gain[best]:.3f} nats, prediction {p[best]:.0%}"))
        # Sherman-Morrison: H grows by weight * v v^T.
        column = solved[best]
        inverse = inverse - np.outer(column, column) * (weight[best] / (1 + weight[best] * float(column @ v[best])))
    return chosen


def _best(score: np.ndarray, count: int, reason: Callable[[int], str]) -> list[Chosen]:
    order = np.argsort(-score, kind="stable")[:count]
    return [Chosen(int(pair), float(score[pair]), reason(int(pair))) for pair in order]


def _needed(preference: LinearPreference | None) -> LinearPreference:
    if preference is None:
        raise ValueError("this strategy needs a fitted preference model")
    return preference


STRATEGIES: dict[str, Strategy] = {
    "uniform": _uniform,
    "value_uncertainty": _value_uncertainty,
    "disagreement": _disagreement,
    "dreamed_contact": _dreamed_contact,
    "information_gain": _information_gain,
}
