"""The value head: success probability and preference score of a rollout, read from the world model's own features and from its geometry.

The rollout is noised to a middle level and sent through the first blocks of the world model; both rollouts of a
comparison use the same noise and level. A head on noisy early features judged pairs far better than one on clean latents
in published work (see docs), and it needs no second backbone. What decides most comparisons is a few centimetres between
robot and dog, though, which noise covers: how near they come, frame by frame, is computed from what the dream's pictures show
(`geometry.py`) and read beside the features.
"""

from __future__ import annotations

import torch
from torch import nn

from .flow import mix
from .geometry import GEOMETRY, NEAREST, PLACE_AND_ARMS, geometry
from .transformer import Context, VideoTransformer

NOISE_LEVEL = 0.35
HARM, STILL = range(2)
"""What is plain to see of a rollout (`facts`)."""
_UNSURE = 0.04  # metres: so much may the distance of robot and dog, as it is seen, be off
_MOVED = 0.1  # metres, or parts of an arm's way: who moved farther than this did not stand still


class ValueHead(nn.Module):
    """`forward(tokens [B, N, D])` -> (success logit [B], preference score [B]); `read` gives the tokens.

    geometric: whether it reads geometry, for which the world model needs a tracker; heads up to version 7 do not.
    adjusted: whether the score has weights of its own on what is plain to see (`facts`), which choices can teach (`training/learn/adjustment.py`).

    Raises ValueError for a head that is adjusted and not geometric.
    """

    def __init__(self, width: int = 256, layer: int = 4, queries: int = 4, geometric: bool = False, adjusted: bool = False):
        super().__init__()
        if adjusted and not geometric:
            raise ValueError("a head that reads no geometry sees nothing to adjust its score by")
        self.settings = {"width": width, "layer": layer, "queries": queries, "geometric": geometric, "adjusted": adjusted}
        self.layer = layer
        self.geometric = geometric
        self.norm = nn.LayerNorm(width)
        if geometric:
            self.geometry = nn.Sequential(nn.Linear(GEOMETRY, width), nn.GELU(), nn.Linear(width, width))
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.pool = nn.MultiheadAttention(width, 4, batch_first=True)
        self.body = nn.Sequential(nn.Linear(queries * width, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.success = nn.Linear(width, 1)
        self.score = nn.Linear(width, 1)
        if adjusted:
            self.adjustment = nn.Parameter(torch.zeros(2))

    def adjustable(self) -> ValueHead:
        """A copy that can be adjusted and says the same until it is; of a head without geometry, just a copy."""
        copied = ValueHead(**{**self.settings, "adjusted": self.geometric})  # type: ignore[arg-type]
        copied.load_state_dict(self.state_dict(), strict=False)  # what may be missing is zero
        return copied.to(self.queries.device)

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Multiply the preference score."""
        for weight in (self.score.weight, self.score.bias, *([self.adjustment] if self.settings["adjusted"] else [])):
            weight.mul_(factor)

    def read(self, model: VideoTransformer, latents: torch.Tensor, seen: torch.Tensor, context: Context, noise: torch.Tensor) -> torch.Tensor:
        """Tokens [B, N, D] of rollouts [B, T, C, h, w]: the world model's, of the rollouts noised with `noise` (broadcast: the same for
        all) to `NOISE_LEVEL`, and, where the head is geometric, the geometry of what is `seen` of them (`MotionCodec.seen`) beside those, float32."""
        t = torch.full((len(latents),), NOISE_LEVEL, device=latents.device)
        tokens = model.predict(mix(latents, noise.expand_as(latents), t), t, context, features_at=self.layer)
        return torch.cat([tokens.float(), geometry(seen, context)], -1) if self.geometric else tokens

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.geometric:
            tokens, measured = tokens.split((tokens.shape[-1] - GEOMETRY, GEOMETRY), -1)
            normed = self.norm(tokens) + self.geometry(measured)
        else:
            normed = self.norm(tokens)
        pooled, _ = self.pool(self.queries.expand(len(tokens), -1, -1), normed, normed, need_weights=False)
        hidden = self.body(pooled.flatten(1))
        score = self.score(hidden)[:, 0]
        if self.settings["adjusted"]:
            score = score + facts(measured) @ self.adjustment
        return self.success(hidden)[:, 0], score


def facts(measured: torch.Tensor) -> torch.Tensor:
    """What is plain to see of rollouts of this geometry [B, T, GEOMETRY]: float32 [B, 2], each from 0 to 1.

    HARM   the share of its frames that follow a touch of the dog, or are one; near zero distance, as much of one as a tracker can be sure.
    STILL  1 where the robot and its arms never move, next to nothing where they move by some decimetres.
    """
    harm = torch.sigmoid(-measured[..., NEAREST] / _UNSURE).mean(1)
    place_and_arms = measured[..., PLACE_AND_ARMS]
    moved = (place_and_arms.amax(1) - place_and_arms.amin(1)).sum(-1)
    return torch.stack([harm, (-moved / _MOVED).exp()], 1)


def shared_noise(shape: tuple[int, ...], *, draws: int = 1, seed: int = 20) -> torch.Tensor:
    """[draws, *shape]: fixed noise, so that values are comparable between rollouts and repeatable."""
    return torch.randn(draws, *shape, generator=torch.Generator().manual_seed(seed))
