"""What a post-training step minimises, as one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from training.learn.dpo import DPOTerms, FlowDPOLoss, PairBatch, ReferencePass, WorldModel, flow_dpo_terms, flow_matching_error
from training.learn.dpo_settings import DPOSettings

View = Callable[[nn.Module], WorldModel]


class Objective(nn.Module):
    """The loss of one micro-batch as a module, so that DistributedDataParallel can wrap it."""

    def __init__(self, model: nn.Module, view: View, loss: FlowDPOLoss, settings: DPOSettings) -> None:
        super().__init__()
        self.model, self.flow, self.loss, self.settings = model, view(model), loss, settings

    def forward(
        self,
        batch: PairBatch,
        parent: ReferencePass,
        noise_PTCHW: Tensor,
        t_P: Tensor,
        replay: tuple[Tensor, Tensor, Any, Tensor, Tensor] | None,
    ) -> tuple[Tensor, DPOTerms, Tensor]:
        """Return (summed loss of this micro-batch, terms, replay errors [R])."""
        terms = flow_dpo_terms(
            self.flow,
            parent,
            batch,
            noise_PTCHW,
            t_P,
            self.loss,
            anchor_weight=self.settings.anchor_weight * self.settings.error_unit,
            world_weight=self.settings.world_weight * self.settings.error_unit,
            loser_safety=self.settings.loser_safety,
        )
        if self.settings.objective == "sft":
            total = (terms.anchor_P * batch.weight_P).sum() * self.settings.error_unit
        else:
            total = terms.loss_P.sum()
        errors_R = noise_PTCHW.new_zeros(0)
        if replay is not None:
            errors_R = flow_matching_error(self.flow, *replay)
            total = total + self.settings.replay_weight * self.settings.error_unit * errors_R.sum()
        return total, terms, errors_R.detach()
