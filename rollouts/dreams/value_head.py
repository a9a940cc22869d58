"""The value head: success probability and preference score of a rollout, read from the world model's own features.

The rollout is noised to a middle level and sent through the first blocks of the world model; both rollouts of a
comparison use the same noise and level. A head on noisy early features judged pairs far better than one on clean latents
in published work (see docs), and it needs no second backbone.
"""

from __future__ import annotations

import torch
from torch import nn

from .flow import mix
from .transformer import Context, VideoTransformer

NOISE_LEVEL = 0.35


class ValueHead(nn.Module):
    """`forward(tokens [B, N, D])` -> (success logit [B], preference score [B])."""

    def __init__(self, width: int = 256, layer: int = 4, queries: int = 4):
        super().__init__()
        self.settings = {"width": width, "layer": layer, "queries": queries}
        self.layer = layer
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.pool = nn.MultiheadAttention(width, 4, batch_first=True)
        self.body = nn.Sequential(nn.Linear(queries * width, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.success = nn.Linear(width, 1)
        self.score = nn.Linear(width, 1)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normed = self.norm(tokens)
        pooled, _ = self.pool(self.queries.expand(len(tokens), -1, -1), normed, normed, need_weights=False)
        hidden = self.body(pooled.flatten(1))
        return self.success(hidden)[:, 0], self.score(hidden)[:, 0]


def rollout_features(
    model: VideoTransformer, latents: torch.Tensor, context: Context, *, layer: int, noise: torch.Tensor, level: float = NOISE_LEVEL
) -> torch.Tensor:
    """Tokens [B, N, D] of rollouts [B, T, C, h, w] noised with `noise` (broadcast: the same for all) to `level`."""
    t = torch.full((len(latents),), level, device=latents.device)
    return model.predict(mix(latents, noise.expand_as(latents), t), t, context, features_at=layer)


def shared_noise(shape: tuple[int, ...], *, draws: int = 1, seed: int = 20) -> torch.Tensor:
    """[draws, *shape]: fixed noise, so that values are comparable between rollouts and repeatable."""
    return torch.randn(draws, *shape, generator=torch.Generator().manual_seed(seed))
