"""A Bayesian linear Bradley-Terry model over rollout features: P(a over b) = sigmoid(w . (x_a - x_b)).

Small enough to fit in milliseconds each time that pairs are chosen; its Hessian says what is not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR_PRECISION = 1.0
ENSEMBLE = 3  # members, as in B-Pref


@dataclass(frozen=True)
class LinearPreference:
    """w [D]; hessian [D, D] of the negative log posterior at w; ensemble [K, D] fitted on bootstrap samples."""

    w: np.ndarray
    hessian: np.ndarray
    ensemble: np.ndarray


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def fit(
    differences: np.ndarray,
    answers: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    rng: np.random.Generator,
    precision: float = PRIOR_PRECISION,
) -> LinearPreference:
    """Fit on answered pairs.

    differences [N, D]: x_a - x_b; answers [N]: 1 a was chosen, 0 b was, 0.5 a tie; weights [N] in 0..1.
    With N = 0 the result is the prior, and the ensemble is drawn from it.
    """
    count, width = differences.shape
    weights = np.ones(count) if weights is None else weights
    w, hessian = _newton(differences, answers, weights, precision)
    if count == 0:
        return LinearPreference(w, hessian, rng.normal(0.0, precision**-0.5, (ENSEMBLE, width)))
    members = []
    for _ in range(ENSEMBLE):
        drawn = rng.integers(0, count, count)
        # The prior is drawn as well: members then differ where there is no data, not only where it is noisy.
        anchor = rng.normal(0.0, precision**-0.5, width)
        members.append(_newton(differences[drawn], answers[drawn], weights[drawn], precision, anchor)[0])
    return LinearPreference(w, hessian, np.asarray(members))


def _newton(
    differences: np.ndarray, answers: np.ndarray, weights: np.ndarray, precision: float, anchor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    width = differences.shape[1]
    anchor = np.zeros(width) if anchor is None else anchor
    w = anchor.copy()
    prior = precision * np.eye(width)
    hessian = prior
    for _ in range(25):
        p = sigmoid(differences @ w)
        gradient = differences.T @ (weights * (p - answers)) + precision * (w - anchor)
        hessian = (differences * (weights * p * (1 - p))[:, None]).T @ differences + prior
        step = np.linalg.solve(hessian, gradient)
        # A full Newton step overshoots on separable data; the prior bounds the solution, so a shorter one still arrives.
        w = w - step * min(1.0, 4.0 / max(float(np.linalg.norm(step)), 1e-12))
        if np.abs(step).max(initial=0.0) < 1e-6:
            break
    return w, hessian
