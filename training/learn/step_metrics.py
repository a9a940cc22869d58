"""Metrics of a training step, summed over micro-batches and ranks before they are divided."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.learn.distributed import World
from training.learn.dpo import DPOTerms, PairBatch

# Edges of the noise levels that errors are reported by.
TIME_BINS = (0.0, 0.25, 0.5, 0.75, 1.0)

PER_PAIR = (
    "preference_P",
    "chosen_rewards_P",
    "rejected_rewards_P",
    "winner_error_P",
    "loser_error_P",
    "winner_error_ref_P",
    "loser_error_ref_P",
    "drift_P",
    "world_P",
    "loser_scale_P",
)
BY_TIME = ("winner_error_P", "loser_error_P", "winner_error_ref_P", "loser_error_ref_P")


class Sums:
    """Running sums of one step."""

    def __init__(self, device: torch.device) -> None:
        bins = len(TIME_BINS) - 1
        self.pair = torch.zeros(len(PER_PAIR), dtype=torch.float64, device=device)
        self.by_time = torch.zeros(len(BY_TIME) + 1, bins, dtype=torch.float64, device=device)
        # total loss, pairs, decided pairs, decided pairs with a positive margin, replay error, clips
        self.count = torch.zeros(6, dtype=torch.float64, device=device)

    def add(self, total: Tensor, terms: DPOTerms, batch: PairBatch, replay_R: Tensor) -> None:
        self.pair += torch.stack([getattr(terms, name).double().sum() for name in PER_PAIR])
        edges = torch.tensor(TIME_BINS[1:-1], device=terms.t_P.device)
        index = torch.bucketize(terms.t_P, edges)
        ones = torch.ones_like(terms.t_P).double()
        values = [getattr(terms, name).double() for name in BY_TIME] + [ones]
        for row, value in zip(self.by_time, values, strict=True):
            row.index_add_(0, index, value)
        decided = batch.tie_P == 0
        right = decided & (terms.chosen_rewards_P > terms.rejected_rewards_P)
        self.count += torch.stack(
            [
                total.double(),
                ones.sum(),
                decided.double().sum(),
                right.double().sum(),
                replay_R.double().sum(),
                torch.tensor(float(replay_R.numel()), device=total.device).double(),
            ]
        )

    def means(self, world: World) -> dict[str, Any]:
        """Divide once everything is summed over ranks; names follow TRL where it has one."""
        flat = world.sum(torch.cat([self.pair, self.by_time.flatten(), self.count]))
        pair, by_time, count = flat.split([self.pair.numel(), self.by_time.numel(), self.count.numel()])
        total, pairs, decided, right, replay, clips = count.tolist()
        mean = dict(zip(PER_PAIR, (pair / max(pairs, 1)).tolist(), strict=True))
        table = by_time.view(len(BY_TIME) + 1, -1)
        per_bin = (table[:-1] / table[-1].clamp_min(1)).tolist()
        empty = (table[-1] == 0).tolist()
        return {
            "loss": total / max(pairs, 1),
            "preference_loss": mean["preference_P"],
            "rewards/chosen": mean["chosen_rewards_P"],
            "rewards/rejected": mean["rejected_rewards_P"],
            "rewards/margins": mean["chosen_rewards_P"] - mean["rejected_rewards_P"],
            "rewards/accuracies": right / decided if decided else None,
            "winner_error": mean["winner_error_P"],
            "loser_error": mean["loser_error_P"],
            "winner_error_ref": mean["winner_error_ref_P"],
            "loser_error_ref": mean["loser_error_ref_P"],
            "drift": mean["drift_P"],
            "world_drift": mean["world_P"],
            "loser_scale": mean["loser_scale_P"],
            "replay_error": replay / clips if clips else None,
            "by_t": {
                name.removesuffix("_P"): [None if gone else value for value, gone in zip(row, empty, strict=True)]
                for name, row in zip(BY_TIME, per_bin, strict=True)
            },
        }
