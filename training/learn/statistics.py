"""Intervals and tests for success counts, paired differences, and agreement of dreams with reality."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rollouts import intervals


@dataclass(frozen=True)
class Estimate:
    """A figure that is never shown without its interval and its number of trials."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """A rate with Wilson's score interval; with n = 0 nothing is known: nan in [0, 1]. Raises ValueError as `intervals.wilson`."""
    if n == 0:
        return Estimate(math.nan, 0.0, 1.0, 0)
    low, high = intervals.wilson(successes, n, confidence)
    return Estimate(successes / n, low, high, n)


def paired_difference(before: list[bool], after: list[bool], *, confidence: float = 0.95, draws: int = 4000, seed: int = 0) -> Estimate:
    """Change of a rate, after - before, over the same episodes: bootstrap over pairs.

    Pairs with equal outcomes say nothing, so with none that differ the bootstrap would claim certainty;
    then the interval is that of the rule of three, +-3/n.

    Raises:
        ValueError: if the lists are not equally long.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} episodes are not paired")
    n = len(before)
    if n == 0:
        return Estimate(math.nan, -1.0, 1.0, 0)
    change = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    if not change.any():
        return Estimate(0.0, max(-1.0, -3 / n), min(1.0, 3 / n), n)
    rng = np.random.default_rng(seed)
    means = change[rng.integers(0, n, size=(draws, n))].mean(axis=1)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Estimate(float(change.mean()), float(low), float(high), n)


def mcnemar(before: list[bool], after: list[bool]) -> float:
    """Exact two-sided p-value that as many episodes changed for the better as for the worse."""
    gained = sum(a and not b for b, a in zip(before, after, strict=True))
    lost = sum(b and not a for b, a in zip(before, after, strict=True))
    if gained + lost == 0:
        return 1.0
    from scipy import stats  # a second to import, which every process that starts would wait for

    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue)


def mean_interval(values: list[float], confidence: float = 0.95) -> Estimate:
    """Mean over seeds with Student's interval; one value has no interval but itself."""
    n = len(values)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(mean, mean, mean, 1)
    from scipy import stats

    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def pearson(predicted: list[float], measured: list[float]) -> float | None:
    """Correlation; None for fewer than three points or a constant side, where it means nothing."""
    if len(predicted) < 3 or len(set(predicted)) == 1 or len(set(measured)) == 1:
        return None
    return float(np.corrcoef(predicted, measured)[0, 1])


def mean_maximum_rank_violation(predicted: list[float], measured: list[float]) -> float | None:
    """MMRV of SIMPLER (Li et al. 2024, arXiv:2405.05941): 0 is a perfect order.

    For each policy, the largest measured gap to another policy whose order the prediction gets wrong;
    averaged over policies. None for fewer than two.
    """
    count = len(predicted)
    if count < 2:
        return None
    worst = []
    for i in range(count):
        gaps = [abs(measured[i] - measured[j]) for j in range(count) if (predicted[i] < predicted[j]) != (measured[i] < measured[j])]
        worst.append(max(gaps, default=0.0))
    return float(np.mean(worst))


def ranking_accuracy(predicted: list[float], measured: list[float]) -> float | None:
    """Share of pairs of versions with different measured rates that the prediction orders right."""
    right = total = 0
    for i in range(len(predicted)):
        for j in range(i):
            if measured[i] != measured[j]:
                total += 1
                right += (predicted[i] - predicted[j]) * (measured[i] - measured[j]) > 0
    return right / total if total else None


def bootstrap_over(
    function: Any,
    predicted: list[float],
    measured: list[float],
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Estimate | None:
    """Percentile interval of a statistic of points, resampling the points; None where it is undefined."""
    value = function(predicted, measured)
    if value is None:
        return None
    rng = np.random.default_rng(seed)
    n = len(predicted)
    values = []
    for _ in range(draws):
        index = rng.integers(0, n, n)
        drawn = function([predicted[i] for i in index], [measured[i] for i in index])
        if drawn is not None:
            values.append(drawn)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(values, [tail, 100 - tail]) if values else (value, value)
    return Estimate(float(value), float(low), float(high), n)
