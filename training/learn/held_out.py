"""Judging a half-trained model: held-out pairs, motion, drift, and the alarms they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from training.learn.batches import generator_for
from training.learn.dpo import (
    DPOTerms,
    FlowDPOLoss,
    PairBatch,
    ReferencePass,
    WorldModel,
    flow_dpo_terms,
    reference_pass,
)
from training.learn.dpo_settings import DPOSettings
from training.learn.preferences import PreferenceData, TextTable

# Held-out pairs are judged at this many noise levels.
LEVELS = 4

# Weights take the parent's place once held-out pairs lose less by this many standard errors: a chance of one in twenty, one-sided, if nothing is learned.
SURE = 1.645

# Of more held-out pairs than this, the parent's velocities are computed again instead of kept: they take memory.
KEEP_PAIRS = 500


@dataclass
class Alarm:
    """Something that tends to precede a spoiled model, with the number and the limit it passed."""

    step: int
    kind: str
    value: float
    limit: float
    text: str

    def to_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def time_levels(settings: DPOSettings) -> list[float]:
    """The middles of ``LEVELS`` equally likely parts of the times trained on, rising: an even mean over them stands for what training lowers.

    Levels of less noise than training sees would drown it: there, which path a clip takes can be read from the noised clip itself, and
    the model has nothing to choose.
    """
    quantiles = (torch.arange(LEVELS) + 0.5) / LEVELS
    times = torch.sigmoid(settings.time_mean + settings.time_std * torch.special.ndtri(quantiles))
    return [round(t, 3) for t in times.clamp_min(settings.time_min).tolist()]


def clearly_worse(losses_P: Tensor, lowest_P: Tensor, *, errors: float = 1.0) -> bool:
    """Whether pairs lose more than they did at the lowest mean, by more than ``errors`` standard errors of that difference.

    A round holds out some dozens of pairs, and choices are noisy: a rise within the error says nothing (the one-standard-error rule of
    Breiman et al. 1984). Never for fewer than two pairs.
    """
    change_P = losses_P - lowest_P
    if len(change_P) < 2:
        return False
    return bool(change_P.mean() > errors * change_P.std() / len(change_P) ** 0.5)


def euler_sample(model: WorldModel, start_BCHW: Tensor, text: Any, noise_BTCHW: Tensor, steps: int) -> Tensor:
    """Integrate the flow from noise (t = 1) to clips (t = 0) in equal Euler steps -> [B,T,C,H,W]."""
    context = model.encode_context(start_BCHW, text)
    x = noise_BTCHW
    for step in range(steps):
        t_B = torch.full((x.shape[0],), 1 - step / steps, device=x.device)
        x = x - model.velocity(x, t_B, context) / steps
    return x


def motion_magnitude(clips_BTCHW: Tensor) -> float:
    """Mean absolute change of the latents from frame to frame."""
    return float(clips_BTCHW.diff(dim=1).abs().mean())


class HeldOut:
    """Evaluates on the same pairs, noise and times at every call, so that calls can be compared.

    Args:
        reference: context manager factory that yields the frozen parent.
    """

    def __init__(
        self,
        settings: DPOSettings,
        data: PreferenceData,
        indices: list[int],
        text: TextTable,
        loss: FlowDPOLoss,
        reference: Callable[[], AbstractContextManager[WorldModel]],
        device: torch.device,
    ) -> None:
        self.settings, self.data, self.indices, self.text = (
            settings,
            data,
            indices,
            text,
        )
        self.loss, self.reference, self.device = loss, reference, device
        self.levels = time_levels(settings)
        # What training lowers, of the last evaluation and of the parent: means over noise levels.
        self.losses_P, self.parents_P = torch.zeros(0), torch.zeros(0)
        self._kept: list[ReferencePass] = []
        with torch.no_grad(), reference() as parent:
            self.parent_motion = self.motion(parent)

    def _batches(self) -> Iterator[tuple[int, PairBatch, Tensor, Tensor]]:
        size = self.settings.micro_batch
        for start in range(0, len(self.indices), size):
            batch = self.data.batch(self.indices[start : start + size], self.text)
            shape = batch.winner_PTCHW.shape
            batch = batch.to(self.device)
            for level, t in enumerate(self.levels):
                g = generator_for(self.settings.seed, "held-out", start, level)
                noise = torch.randn(shape, generator=g).to(self.device)
                yield (
                    level,
                    batch,
                    noise,
                    torch.full((len(batch),), t, device=self.device),
                )

    def _parents(self) -> Iterator[ReferencePass]:
        """The parent's passes in the order of ``_batches``: kept after the first time, as the parent never changes."""
        if self._kept:
            yield from self._kept
            return
        for _, batch, noise, t_P in self._batches():
            # The parent may be the same module with its adapters off: the two take turns.
            with self.reference() as parent:
                found = reference_pass(parent, batch, noise, t_P)
            if len(self.indices) <= KEEP_PAIRS:
                self._kept.append(found)
            yield found

    @torch.no_grad()
    def evaluate(self, model: WorldModel) -> dict[str, Any]:
        """Metrics over held-out pairs, under TRL's names where they exist.

        Only motion if no pair is held out. Errors and margins by noise level are lists in the order of
        ``time_levels``. Accuracy counts a pair as right if its margin *summed over noise levels* is
        positive: a level alone is too noisy to name a winner.
        """
        moves = self.motion(model)
        motion = {"motion": moves}
        if self.parent_motion > 0:
            motion["motion_ratio"] = moves / self.parent_motion
        if not self.indices:
            return motion
        parents = self._parents()
        rows: list[list[DPOTerms]] = [[] for _ in self.levels]
        ties: list[Tensor] = []
        for level, batch, noise, t_P in self._batches():
            rows[level].append(flow_dpo_terms(model, next(parents), batch, noise, t_P, self.loss))
            if level == 0:
                ties.append(batch.tie_P)
        tie_P = torch.cat(ties)

        def stack(name: str) -> Tensor:
            """One row per noise level, one column per pair."""
            return torch.stack([torch.cat([getattr(t, name) for t in level]) for level in rows])

        chosen, rejected = stack("chosen_rewards_P"), stack("rejected_rewards_P")
        winner, winner_ref = stack("winner_error_P"), stack("winner_error_ref_P")
        self.losses_P, self.parents_P = (losses.mean(dim=0).cpu() for losses in self._lowered(stack, tie_P))
        loser, loser_ref = stack("loser_error_P"), stack("loser_error_ref_P")
        margin_LP = chosen - rejected
        total_P = margin_LP.sum(dim=0)[tie_P == 0]
        return motion | {
            "loss": float(stack("preference_P").mean()),
            "rewards/chosen": float(chosen.mean()),
            "rewards/rejected": float(rejected.mean()),
            "rewards/margins": float(margin_LP[:, tie_P == 0].mean()) if total_P.numel() else None,
            "rewards/accuracies": float((total_P > 0).float().mean()) if total_P.numel() else None,
            "pairs": len(self.indices),
            "winner_error": float(winner.mean()),
            "loser_error": float(loser.mean()),
            "winner_error_ratio": float(winner.mean() / winner_ref.mean()),
            "loser_error_ratio": float(loser.mean() / loser_ref.mean()),
            "winner_error_ratio_by_t": (winner.mean(1) / winner_ref.mean(1)).tolist(),
            "loser_error_ratio_by_t": (loser.mean(1) / loser_ref.mean(1)).tolist(),
            "margin_by_t": margin_LP.mean(dim=1).tolist(),
            "time_levels": self.levels,
            "drift": float(stack("drift_P").mean()),
        }

    def _lowered(self, stack: Callable[[str], Tensor], tie_P: Tensor) -> tuple[Tensor, Tensor]:
        """What training lowers, of the model and of its parent: preference losses, or, with winners only (which need not tell winners from losers),
        winners' errors. One row per noise level, one column per pair, each."""
        winner_ref, loser_ref = stack("winner_error_ref_P"), stack("loser_error_ref_P")
        if self.settings.objective == "sft":
            return stack("anchor_P"), torch.where(tie_P > 0, 0.5 * (winner_ref + loser_ref), winner_ref)
        return stack("preference_P"), self.loss(winner_ref, loser_ref, winner_ref, loser_ref, tie_P.expand_as(winner_ref))[0]

    @torch.no_grad()
    def motion(self, model: WorldModel) -> float:
        """Motion of dreams from the same start frames and noise at every call; 0 dreams give 0."""
        source = self.indices or list(range(len(self.data.rows)))
        count = min(self.settings.motion_dreams, len(source))
        if count == 0:
            return 0.0
        batch = self.data.batch(source[:count], self.text)
        g = generator_for(self.settings.seed, "motion")
        noise = torch.randn(batch.winner_PTCHW.shape, generator=g).to(self.device)
        batch = batch.to(self.device)
        clips = euler_sample(model, batch.start_PCHW, batch.text, noise, self.settings.motion_steps)
        return motion_magnitude(clips)

    def alarms(self, step: int, metrics: dict[str, Any]) -> list[Alarm]:
        """What in these metrics tends to precede a spoiled model."""
        found = []
        ratio_now = metrics.get("winner_error_ratio")
        limit = self.settings.winner_error_limit
        if ratio_now is not None and ratio_now > limit:
            found.append(
                Alarm(
                    step,
                    "winner_error",
                    ratio_now,
                    limit,
                    f"held-out winners are predicted {ratio_now:.2f} times as badly as by the "
                    f"parent (limit {limit:.2f}): the margin grows at the winner's cost",
                )
            )
        motion = metrics.get("motion_ratio")
        if motion is not None and motion < self.settings.motion_limit:
            found.append(
                Alarm(
                    step,
                    "motion",
                    motion,
                    self.settings.motion_limit,
                    f"dreams move {motion:.2f} times as much as the parent's (limit {self.settings.motion_limit:.2f}): the model learns to stand still",
                )
            )
        return found
