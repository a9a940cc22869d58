"""The policy's video transformer behind the interface that preference losses need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rollouts.dreams.flow import velocity
from rollouts.dreams.transformer import Context, VideoTransformer


class PolicyFlow:
    """A view of a ``VideoTransformer``: contexts from (states, mask) text, velocities from x-predictions.

    Args:
        network: the transformer of a start-frame-conditioned world model.
    """

    def __init__(self, network: VideoTransformer) -> None:
        self.network = network

    @classmethod
    def of(cls, network: nn.Module) -> PolicyFlow:
        """As ``PolicyFlow``, for recipes that know their network as a module only."""
        assert isinstance(network, VideoTransformer)
        return cls(network)

    def encode_context(self, start_latents: Tensor, text: tuple[Tensor, Tensor], copies: int = 1) -> Context:
        """start_latents [B, C, h, w], of the frame codec; text (states [B, L, width], mask bool [B, L])."""
        states, mask = text
        context = self.network.encode_context(start_latents, states, mask)
        if copies == 1:
            return context
        return Context(
            [torch.cat([key] * copies) for key in context.keys],
            [torch.cat([value] * copies) for value in context.values],
            None if context.mask is None else torch.cat([context.mask] * copies),
            None if context.summary is None else torch.cat([context.summary] * copies),
            None if context.sights is None else torch.cat([context.sights] * copies),
        )

    def velocity(self, x_t: Tensor, t: Tensor, context: Context) -> Tensor:
        """[B, T, Z, 1, 1]; bounded near t = 0 as in ``rollouts.dreams.flow``."""
        return velocity(self.network, x_t, t, context)
