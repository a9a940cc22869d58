"""Bradley-Terry with ties, as probabilities and as a fit of the tie threshold.

The tie model is Rao and Kupper's (1967): with strengths s_a, s_b and D = s_a - s_b

    P(a) = sigmoid(D - ln theta)      P(b) = sigmoid(-D - ln theta)
    P(tie) = 1 - P(a) - P(b) = (theta^2 - 1) P(a) P(b),      theta >= 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# At D = 0 all wins are (1/(1 + theta)) each; a tie rate of 0.95 already means theta = 39.
MAX_TIE_RATE = 0.95


def rao_kupper_probabilities(margin: Tensor, theta: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return (P(a wins), P(tie), P(b wins)) for margins D of any shape; they sum to one."""
    if not theta >= 1:
        raise ValueError(f"theta must be at least 1, got {theta=}")
    log_theta = math.log(theta)
    win = torch.sigmoid(margin - log_theta)
    lose = torch.sigmoid(-margin - log_theta)
    return win, (theta**2 - 1) * win * lose, lose


def theta_from_tie_rate(tie_rate: float) -> float:
    """Theta that gives this tie rate between equals: P(tie | D=0) = (theta-1)/(theta+1).

    This is what is known before a model is trained, when every margin is 0 (policy == reference).

    Raises:
        ValueError: if the rate is outside [0, 1].
    """
    if not 0 <= tie_rate <= 1:
        raise ValueError(f"a tie rate lies in [0, 1], got {tie_rate=}")
    rate = min(tie_rate, MAX_TIE_RATE)
    return (1 + rate) / (1 - rate)


def rao_kupper_nll(margin_P: Tensor, outcome_P: Tensor, log_theta: Tensor) -> Tensor:
    """Unreduced negative log likelihood -> [P].

    Args:
        margin_P: D = s_a - s_b.
        outcome_P: 1 a was chosen, -1 b was chosen, 0 tie.
        log_theta: scalar >= 0; ties need it to be > 0.
    """
    win = F.logsigmoid(margin_P - log_theta)
    lose = F.logsigmoid(-margin_P - log_theta)
    # log(theta^2 - 1), bounded below so that theta -> 1 stays finite in the branch not taken.
    log_gap = torch.log(torch.expm1(2 * log_theta).clamp_min(1e-12))
    tie = log_gap + win + lose
    return -torch.where(outcome_P > 0, win, torch.where(outcome_P < 0, lose, tie))


def fit_theta(margin_P: Tensor, outcome_P: Tensor) -> float:
    """Maximum-likelihood theta for given margins, by golden-section search on ln theta in [0, 4].

    The likelihood is unimodal in ln theta. Without ties the answer is 1; with no pairs at all too.
    """
    if outcome_P.numel() == 0 or not bool((outcome_P == 0).any()):
        return 1.0
    golden = (math.sqrt(5) - 1) / 2

    def cost(log_theta: float) -> float:
        return float(rao_kupper_nll(margin_P, outcome_P, torch.tensor(log_theta)).mean())

    low, high = 1e-4, 4.0
    left, right = high - golden * (high - low), low + golden * (high - low)
    cost_left, cost_right = cost(left), cost(right)
    while high - low > 1e-4:
        if cost_left < cost_right:
            high, right, cost_right = right, left, cost_left
            left = high - golden * (high - low)
            cost_left = cost(left)
        else:
            low, left, cost_left = left, right, cost_right
            right = low + golden * (high - low)
            cost_right = cost(right)
    return math.exp((low + high) / 2)


def expected_calibration_error(probability: Tensor, happened: Tensor, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """ECE over equal-width bins and the reliability table behind it (Guo et al. 2017).

    Args:
        probability: predicted probabilities in [0, 1], [N].
        happened: 0/1 outcomes, [N].

    Returns:
        (ece, rows) with rows ``{"from", "to", "n", "predicted", "observed"}`` for non-empty bins.
    """
    total = probability.numel()
    if total == 0:
        return float("nan"), []
    index = (probability * bins).long().clamp(0, bins - 1)
    rows: list[dict[str, float]] = []
    ece = 0.0
    for number in range(bins):
        chosen = index == number
        n = int(chosen.sum())
        if n == 0:
            continue
        predicted = float(probability[chosen].mean())
        observed = float(happened[chosen].float().mean())
        ece += n / total * abs(predicted - observed)
        rows.append(
            {
                "from": number / bins,
                "to": (number + 1) / bins,
                "n": n,
                "predicted": predicted,
                "observed": observed,
            }
        )
    return ece, rows
