"""Bradley-Terry with ties (Rao and Kupper, 1967) and bootstrap intervals, for the leaderboard.

With D = s_i - s_j and theta >= 1:  P(i beats j) = sigma(D - ln theta), P(j beats i) = sigma(-D - ln theta), the rest is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Scores are shown on the scale that people know from chess: 400 points are odds of ten to one.
POINTS = 400 / np.log(10)
CENTRE = 1000.0
PRIOR_SD = 3.0


@dataclass(frozen=True)
class Standing:
    """One version: rating with its 95% bootstrap interval, and counts of its comparisons."""

    version: int
    rating: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int

    @property
    def n(self) -> int:
        return self.wins + self.losses + self.ties


def leaderboard(outcomes: Sequence[tuple[int, int, float]], *, bootstrap: int = 200, seed: int = 0) -> list[Standing]:
    """Rate versions from (version i, version j, result): 1 i won, 0 j won, 0.5 a tie; best first.

    Comparisons within one version say nothing here and are left out. `bootstrap` samples of the comparisons (with replacement)
    give the 2.5% and 97.5% quantiles.
    """
    outcomes = [outcome for outcome in outcomes if outcome[0] != outcome[1]]
    if not outcomes:
        return []
    versions = sorted({version for i, j, _ in outcomes for version in (i, j)})
    place = {version: index for index, version in enumerate(versions)}
    # Equal outcomes are one row with a count: a bootstrap sample is then one multinomial draw.
    rows: dict[tuple[int, int, float], int] = {}
    for i, j, result in outcomes:
        key = (place[i], place[j], result) if place[i] < place[j] else (place[j], place[i], 1.0 - result)
        rows[key] = rows.get(key, 0) + 1
    kinds = np.asarray(list(rows))
    counts = np.asarray(list(rows.values()), dtype=float)
    rating, start = _fit(kinds, counts, len(versions), None)
    rng = np.random.default_rng(seed)
    samples = rng.multinomial(int(counts.sum()), counts / counts.sum(), size=bootstrap)
    drawn = np.asarray([_fit(kinds, sample.astype(float), len(versions), start)[0] for sample in samples])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0) if bootstrap else (rating, rating)
    standings = []
    for version, index in place.items():
        won = sum(n for (i, j, r), n in rows.items() if (i == index and r == 1) or (j == index and r == 0))
        lost = sum(n for (i, j, r), n in rows.items() if (i == index and r == 0) or (j == index and r == 1))
        tied = sum(n for (i, j, r), n in rows.items() if r == 0.5 and index in (i, j))
        standings.append(Standing(version, float(rating[index]), float(low[index]), float(high[index]), won, lost, tied))
    return sorted(standings, key=lambda standing: -standing.rating)


def _fit(kinds: np.ndarray, counts: np.ndarray, size: int, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    i, j, result = kinds[:, 0].astype(int), kinds[:, 1].astype(int), kinds[:, 2]
    won, lost, tied = counts * (result == 1), counts * (result == 0), counts * (result == 0.5)

    def negative_log_posterior(theta: np.ndarray) -> tuple[float, np.ndarray]:
        s, eta = theta[:size], np.exp(theta[size])  # eta = ln theta > 0
        d = s[i] - s[j]
        p_win, p_loss = _sigmoid(d - eta), _sigmoid(-d - eta)
        # 1 - p_win - p_loss, written so that it can not cancel: (theta^2 - 1) p_win p_loss
        log_tie = np.log(np.expm1(2 * eta)) + np.log(p_win) + np.log(p_loss)
        loss = -(won * np.log(p_win) + lost * np.log(p_loss) + tied * log_tie).sum() + 0.5 * (s**2).sum() / PRIOR_SD**2
        loss += 0.5 * (theta[size] + 1) ** 2
        by_d = -((won + tied) * (1 - p_win) - (lost + tied) * (1 - p_loss))
        by_eta = ((won + tied) * (1 - p_win) + (lost + tied) * (1 - p_loss)).sum()
        by_eta -= tied.sum() * 2 * np.exp(2 * eta) / np.expm1(2 * eta)
        gradient = np.zeros_like(theta)
        np.add.at(gradient, i, by_d)
        np.add.at(gradient, j, -by_d)
        gradient[:size] += s / PRIOR_SD**2
        gradient[size] = by_eta * eta + theta[size] + 1
        return float(loss), gradient

    start = np.concatenate([np.zeros(size), [-1.0]]) if start is None else start
    bounds = [(None, None)] * size + [(-6.0, 2.0)]
    from scipy.optimize import minimize  # half a second to import, which every process that starts would wait for

    theta = minimize(negative_log_posterior, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    centred = theta[:size] - theta[:size].mean()
    return CENTRE + POINTS * centred, theta


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.clip(0.5 * (1.0 + np.tanh(0.5 * z)), 1e-12, 1 - 1e-12)
