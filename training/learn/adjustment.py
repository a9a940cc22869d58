"""The few numbers that a few hundred choices can teach for sure: how certain a score is, how often people slip, and what they think of what is plain to
see.

A head of a million weights learns a few hundred choices by heart. These are logistic regressions with one to three unknowns, and are solved, not trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rollouts.dreams.value_head import HARM, STILL, ValueHead

_LAPSE = 0.05  # of answers, where it is not fitted
_SPREAD = 3.0  # log odds: how much a fact may count before any choice is seen, as a standard deviation


@dataclass(frozen=True)
class Calibration:
    """From margins of scores to what people choose: P(a) = lapse + (1 - 2 lapse) sigmoid(scale * margin).

    scale  temperature scaling (Guo et al. 2017).
    lapse  how often people answer the other way however clear the pair is (Wichmann & Hill 2001, "The psychometric function"). Without it the
           scale has to make every pair unsure to account for a few slips: sure pairs come out too sure, and those in between not sure enough.
    """

    scale: float = 1.0
    lapse: float = 0.0

    def probability(self, margins: Tensor) -> Tensor:
        return self.lapse + (1 - 2 * self.lapse) * torch.sigmoid(self.scale * margins)


def fit_calibration(margins: Tensor, happened: Tensor) -> Calibration:
    """The most probable calibration, with a Beta(2, 20) prior on the lapse: people do slip, one time in twenty or so.

    The scale is bounded to [0.02, 5] and the lapse to 0.25, so that a handful of pairs can not claim certainty; without any pair nothing changes.
    """
    if margins.numel() == 0:
        return Calibration()
    scales, lapses = torch.logspace(math.log10(0.02), math.log10(5.0), 200), torch.linspace(0.005, 0.25, 50)
    sure = torch.sigmoid(scales[:, None] * margins)
    best, found = math.inf, Calibration()
    for lapse in lapses.tolist():
        nll = F.binary_cross_entropy(lapse + (1 - 2 * lapse) * sure, happened.expand(len(scales), -1), reduction="none").sum(1)
        cost = float(nll.min()) - math.log(lapse) - 19 * math.log(1 - lapse)
        if cost < best:
            best, found = cost, Calibration(float(scales[int(nll.argmin())]), lapse)
    return found


@dataclass(frozen=True)
class Chosen:
    """Clips that people chose, each with the clip they did not choose and with its start frame standing still: scores [N] and facts [N, 2] of each
    (`rollouts.dreams.value_head.facts`), and weights [N] of the choices."""

    score: Tensor
    facts: Tensor
    other_score: Tensor
    other_facts: Tensor
    frozen_score: Tensor
    frozen_facts: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Flagged:
    """Clips of which people said whether they succeed: the head's logits [N], what people said [N] (0 or 1), and weights [N]."""

    logit: Tensor
    succeeded: Tensor
    weight: Tensor


def adjust(head: ValueHead, chosen: Chosen, flagged: Flagged) -> None:
    """Fit, in place, how sure a head is, and what it makes of harm and of standing still beside what it says already.

    What harm counts is learned from what people chose and did not choose, and what standing still costs from chosen clips and their start frames: many
    video rewards prefer a frozen clip. Were both learned by the same weights, keeping frozen clips from winning would change which of two moving ones
    does. Success is scaled and shifted (Platt 1999): a head that knows how dreams end in the world is harder on them than who looks at the dream alone.
    Without choices nothing changes.

    Raises ValueError for a head that can not be adjusted.
    """
    if not head.settings["adjusted"]:
        raise ValueError("this head can not be adjusted; take `adjustable()` of it")
    margin, harm = chosen.score - chosen.other_score, (chosen.facts - chosen.other_facts)[:, HARM]

    def of_choices(x: Tensor) -> Tensor:
        likely = _LAPSE + (1 - 2 * _LAPSE) * torch.sigmoid(x[0].exp() * margin + x[1] * harm)
        return -(chosen.weight * likely.log()).sum() + x[0].square() / 2 + (x[1] / _SPREAD).square() / 2

    log_scale, harm_counts = _minimum(of_choices, 2)
    ahead = log_scale.exp() * (chosen.score - chosen.frozen_score) + harm_counts * (chosen.facts - chosen.frozen_facts)[:, HARM]
    stiller = (chosen.facts - chosen.frozen_facts)[:, STILL]

    def of_frozen(x: Tensor) -> Tensor:
        return -(chosen.weight * F.logsigmoid(ahead + x[0] * stiller)).sum() + (x[0] / _SPREAD).square() / 2

    (still_counts,) = _minimum(of_frozen, 1)

    def of_flags(x: Tensor) -> Tensor:
        nll = F.binary_cross_entropy_with_logits(x[0].exp() * flagged.logit + x[1], flagged.succeeded.double(), reduction="none")
        return (flagged.weight * nll).sum() + x[0].square() / 2 + (x[1] / _SPREAD).square() / 2

    log_success_scale, shift = _minimum(of_flags, 2)
    head.rescale(float(log_scale.exp()))
    with torch.no_grad():
        head.adjustment[HARM] += float(harm_counts)
        head.adjustment[STILL] += float(still_counts)
        head.success.weight.mul_(float(log_success_scale.exp()))
        head.success.bias.mul_(float(log_success_scale.exp())).add_(float(shift))


def _minimum(cost: Callable[[Tensor], Tensor], unknowns: int) -> Tensor:
    """Where a smooth function of a few unknowns is least, from zero: float64 [unknowns]."""
    x = torch.zeros(unknowns, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cost(x)
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    return x.detach()
