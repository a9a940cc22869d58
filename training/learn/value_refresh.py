"""Refresh of the value head on people's choices: a Bradley-Terry score with ties, and success where people said so.

The head reads features of the *child's* world model, so after post-training it has to be fitted again even where no choice
is new. Features are computed once per clip and noise draw; the head itself is small. Figures come from cross-validation
over start frames: no pair is judged by a head that saw another pair of its start frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rollouts.dreams.geometry import GEOMETRY
from rollouts.dreams.transformer import VideoTransformer
from rollouts.dreams.value_head import ValueHead, facts, shared_noise
from training.learn.adjustment import Calibration, Chosen, Flagged, adjust, fit_calibration
from training.learn.batches import draw, generator_for
from training.learn.bradley_terry import expected_calibration_error, rao_kupper_nll
from training.learn.policy_flow import PolicyFlow
from training.learn.preferences import PreferenceData, TextTable
from training.learn.statistics import wilson


@dataclass(frozen=True)
class ValueHeadSettings:
    """What the refresh may be told.

    pull           holds the weights to the parent's, as a Gaussian prior: its share of the loss falls with the number of pairs. A few hundred
                   choices know less of the world than the parent's head, and would be learned by heart.
    noise_draws    feature sets per clip; training sees them in turn, judging averages over them.
    folds          of the cross-validation behind the figures.
    """

    steps: int = 200
    batch: int = 48
    learning_rate: float = 1e-4
    pull: float = 1000.0
    noise_draws: int = 4
    success_weight: float = 0.5
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "learning_rate", "noise_draws"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        if self.pull < 0:
            raise ValueError(f"pull must not be negative, got {self.pull!r}")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ValueHeadSettings:
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise ValueError(f"unknown value head settings: {', '.join(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Features:
    """Tokens of clips under K shared noise draws: clip [K, N, M, D], and of each clip's frozen twin [K, N, M, D]."""

    clip: Tensor
    frozen: Tensor


class Motion(Protocol):
    """What is needed of `rollouts.dreams.motion.MotionCodec`. start: latents [B, C, h, w]."""

    def still(self, start: Tensor) -> Tensor:
        """Latents [B, T, ...] of rollouts in which nothing moves; pictures of it are read the same."""
        ...

    def seen(self, codes: Tensor, start: Tensor) -> Tensor:
        """Latents of rollouts, as their pictures are read."""
        ...


@torch.no_grad()
def extract(
    head: ValueHead,
    network: VideoTransformer,
    data: PreferenceData,
    text: TextTable,
    settings: ValueHeadSettings,
    motion: Motion,
    *,
    batch: int = 32,
    tick: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of every clip and of the clip that only repeats its start frame, under the same noise."""
    noise_K = shared_noise(tuple(data.latents_NTCHW.shape[1:]), draws=settings.noise_draws)
    flow = PolicyFlow(network)
    count = len(data.prompts)
    clips, frozen = [], []
    for start in range(0, count, batch):
        if tick:
            tick(start, count)
        part = slice(start, start + batch)
        starts = data.start_NCHW[part]
        context = flow.encode_context(starts, text.rows(data.prompts[part]))
        latents, still = data.latents_NTCHW[part], motion.still(starts)
        for held, codes, seen in ((clips, latents, motion.seen(latents, starts)), (frozen, still, still)):
            held.append(torch.stack([head.read(network, codes, seen, context, noise[None]) for noise in noise_K]))
    return Features(torch.cat(clips, 1), torch.cat(frozen, 1))


def fold_of(group: str, folds: int, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:4], "little") % folds


def fit(
    head: ValueHead,
    features: Features,
    judgements: list[dict[str, Any]],
    settings: ValueHeadSettings,
    tick: Callable[[int, int], None] | None = None,
) -> float:
    """Train the head in place; returns the fitted theta of ties.

    First `adjust` fits what few numbers can say; a head that is too sure would otherwise learn to doubt before it learns anything.
    Then all weights are trained. Loss: Rao-Kupper on score differences, binary cross-entropy on success flags, and the pull to where the head began
    (L2-SP: Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks").
    """
    if head.settings["adjusted"]:
        adjust(head, *evidence(head, features, judgements))
    head.requires_grad_(True)  # a policy freezes its parts when it loads them
    log_theta = nn.Parameter(torch.tensor(0.3))
    optimizer = torch.optim.Adam([*head.parameters(), log_theta], lr=settings.learning_rate)
    parent = [weight.detach().clone() for weight in head.parameters()]
    pairs = [i for i, row in enumerate(judgements) if row["answer"] in ("a", "b", "tie")]
    flagged = [(row[f"{s}"], bool(row[f"success_{s}"]), row["weight"]) for row in judgements for s in "ab" if row[f"success_{s}"] is not None]
    draws = features.clip.shape[0]
    for step in range(settings.steps):
        if tick and step % 10 == 0:
            tick(step, settings.steps)
        loss = torch.zeros(())
        k = int(torch.randint(draws, (1,), generator=generator_for(settings.seed, "draw", step)))
        chosen = [judgements[i] for i in draw(pairs, min(settings.batch, len(pairs)), step, settings.seed, "pairs")]
        if chosen:
            a, b = [row["a"] for row in chosen], [row["b"] for row in chosen]
            outcome = torch.tensor([{"a": 1.0, "b": -1.0, "tie": 0.0}[row["answer"]] for row in chosen])
            weight = torch.tensor([row["weight"] for row in chosen])
            _, score = head(torch.cat([features.clip[k, a], features.clip[k, b]]))
            score_a, score_b = score.chunk(2)
            nll = rao_kupper_nll(score_a - score_b, outcome, log_theta.clamp_min(1e-3))
            loss = loss + (weight * nll).sum() / weight.sum().clamp_min(1e-6)
        flags = [flagged[i] for i in draw(list(range(len(flagged))), min(settings.batch, len(flagged)), step, settings.seed, "flags")]
        if flags and settings.success_weight:
            logit, _ = head(features.clip[k, [f[0] for f in flags]])
            happened = torch.tensor([float(f[1]) for f in flags])
            weight = torch.tensor([f[2] for f in flags])
            bce = F.binary_cross_entropy_with_logits(logit, happened, reduction="none")
            loss = loss + settings.success_weight * (weight * bce).sum() / weight.sum().clamp_min(1e-6)
        if not loss.requires_grad:
            break
        moved = sum((weight - before).square().sum() for weight, before in zip(head.parameters(), parent, strict=True))
        loss = loss + settings.pull / max(len(pairs), 1) * moved
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        warm = min(1.0, (step + 1) / 20) * (1 - step / settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * warm
        optimizer.step()
    return float(log_theta.detach().clamp_min(0).exp())


@torch.no_grad()
def evidence(head: ValueHead, features: Features, judgements: list[dict[str, Any]]) -> tuple[Chosen, Flagged]:
    """What a head with geometry says of the clips that people chose, of those that they did not, of the chosen ones' frozen twins, and of the clips of
    which they said whether they succeed."""
    rows = [row for row in judgements if row["answer"] in ("a", "b")]
    won = [row[row["answer"]] for row in rows]
    lost = [row["a" if row["answer"] == "b" else "b"] for row in rows]
    (success, score), (_, frozen_score) = scores(head, features.clip), scores(head, features.frozen)
    # Geometry is the same under all noise draws.
    seen, frozen = facts(features.clip[0][..., -GEOMETRY:]), facts(features.frozen[0][..., -GEOMETRY:])
    weight = torch.tensor([float(row["weight"]) for row in rows])
    flags = [(row[side], float(row[f"success_{side}"]), float(row["weight"])) for row in judgements for side in "ab" if row[f"success_{side}"] is not None]
    clips, succeeded, certain = zip(*flags, strict=True) if flags else ((), (), ())
    logit = torch.logit(success, eps=1e-4)[list(clips)]
    chosen = Chosen(score[won], seen[won], score[lost], seen[lost], frozen_score[won], frozen[won], weight)
    return chosen, Flagged(logit, torch.tensor(succeeded), torch.tensor(certain))


@torch.no_grad()
def scores(head: ValueHead, tokens_KNMD: Tensor) -> tuple[Tensor, Tensor]:
    """(success probability [N], score [N]), averaged over noise draws."""
    parts = [head(tokens) for tokens in tokens_KNMD]
    success = torch.stack([torch.sigmoid(logit) for logit, _ in parts]).mean(0)
    return success, torch.stack([score for _, score in parts]).mean(0)


@dataclass
class Judged:
    """Predictions for held-out judgements, gathered over folds: margins score(a) - score(b) and whether a was chosen."""

    margins: list[float] = field(default_factory=list)
    happened: list[float] = field(default_factory=list)
    folds: list[int] = field(default_factory=list)
    success: list[float] = field(default_factory=list)
    succeeded: list[float] = field(default_factory=list)
    beats_frozen: list[bool] = field(default_factory=list)

    def calibration(self, without: int | None = None) -> Calibration:
        """From every fold but one."""
        kept = [i for i, fold in enumerate(self.folds) if fold != without]
        return fit_calibration(torch.tensor([self.margins[i] for i in kept]), torch.tensor([self.happened[i] for i in kept]))

    def probabilities(self, calibrated: bool) -> Tensor:
        """P(a chosen) [pairs]; calibrated by what never saw the fold that it is used on."""
        margins, folds = torch.tensor(self.margins), torch.tensor(self.folds)
        found = torch.zeros(len(margins))
        for fold in set(self.folds):
            by = self.calibration(without=fold) if calibrated else Calibration()
            found[folds == fold] = by.probability(margins[folds == fold])
        return found

    def report(self, *, calibrated: bool) -> dict[str, Any]:
        """Pair accuracy, ECE with its reliability table, success accuracy, and how often a chosen clip beats its frozen twin."""
        p, y = self.probabilities(calibrated), torch.tensor(self.happened)
        right = int(((p > 0.5) == (y > 0.5)).sum()) if len(p) else 0
        ece, table = expected_calibration_error(p, y)
        success, succeeded = torch.tensor(self.success), torch.tensor(self.succeeded)
        hit = int(((success > 0.5) == (succeeded > 0.5)).sum()) if len(success) else 0
        return {
            "pair_accuracy": wilson(right, len(p)).to_dict() if len(p) else None,
            "ece": ece if len(p) else None,
            "reliability": table,
            "pairs": len(p),
            "success_accuracy": wilson(hit, len(success)).to_dict() if len(success) else None,
            "beats_frozen": wilson(sum(self.beats_frozen), len(self.beats_frozen)).to_dict() if self.beats_frozen else None,
        }


def judge(head: ValueHead, features: Features, judgements: list[dict[str, Any]], into: Judged, fold: int = 0) -> None:
    """Add a head's predictions for these judgements. Ties and both bad have no winner to get right."""
    if not judgements:
        return
    success, score = scores(head, features.clip)
    _, frozen = scores(head, features.frozen)
    for row in judgements:
        a, b = row["a"], row["b"]
        if row["answer"] in ("a", "b"):
            into.margins.append(float(score[a] - score[b]))
            into.folds.append(fold)
            into.happened.append(float(row["answer"] == "a"))
            winner = a if row["answer"] == "a" else b
            into.beats_frozen.append(bool(score[winner] > frozen[winner]))
        for side in "ab":
            if row[f"success_{side}"] is not None:
                into.success.append(float(success[row[side]]))
                into.succeeded.append(float(row[f"success_{side}"]))


def refresh(
    head: ValueHead,
    network: VideoTransformer,
    data: PreferenceData,
    text: TextTable,
    settings: ValueHeadSettings,
    motion: Motion,
    *,
    tick: Callable[[int, int, str], None] | None = None,
) -> tuple[ValueHead, dict[str, Any]]:
    """Fit the head again and say what it gained.

    Args:
        head: the parent's; it is the starting point and is not changed.
        network: the child's world model, whose features the new head reads.
        motion: the policy's motion codec.
        tick: called with (done, total, text); may raise to cancel.

    Returns:
        (new head, {"before": report of the old head on the child's features, "after": cross-validated report, "theta": t, "scale" and "lapse" of the
        calibration, "facts": log odds that `rollouts.dreams.value_head.facts` count, None for a head without geometry}).
    """
    tell = tick or (lambda done, total, text: None)
    network.train(False)
    total = settings.folds + 2
    features = extract(head, network, data, text, settings, motion, tick=lambda k, n: tell(k / max(n, 1), total, "features"))
    before, after = Judged(), Judged()
    seen = [row for row in data.judgements if not row.get("mirrored")]  # as people saw them: only these are judged on
    judge(head, features, seen, before)
    for fold in range(settings.folds):
        held = [row for row in seen if fold_of(row["group"], settings.folds, settings.seed) == fold]
        kept = [row for row in data.judgements if fold_of(row["group"], settings.folds, settings.seed) != fold]
        if not held or not kept:
            continue
        candidate = head.adjustable().train(True)
        fit(candidate, features, kept, settings, tick=lambda k, n, f=fold: tell(1 + f + k / n, total, f"fold {f + 1} of {settings.folds}"))
        judge(candidate.train(False), features, held, after, fold)
    final = head.adjustable().train(True)
    theta = fit(final, features, data.judgements, settings, tick=lambda k, n: tell(1 + settings.folds + k / n, total, "all choices"))
    # What calibrates held-out folds also calibrates the head that saw them all: differences of scores become the log odds of a choice without slips.
    by = after.calibration()
    final.rescale(by.scale)
    report = {
        "before": before.report(calibrated=False),
        "after": after.report(calibrated=True),
        "theta": theta,
        "scale": by.scale,
        "lapse": by.lapse,
        "facts": final.adjustment.tolist() if final.settings["adjusted"] else None,
        "settings": settings.to_dict(),
    }
    return final.train(False), report
