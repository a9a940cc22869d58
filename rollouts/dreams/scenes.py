"""Scenes as tokens, and a network that draws them: the second half of the start-frame generator.

    words -> (`layouts`, a transformer without a start frame, transformer.py) -> scene tokens -> Renderer -> latents of the frame codec

A token is one thing that can be in a scene. What a scene's words leave open is drawn by flow matching over these few numbers;
how things look at their places is plain regression, learned from every frame whose state is known. Generating the picture at
once gave blobs after as many minutes (docs/pretraining.md). Layout first, picture second is as in layout-to-image work (GLIGEN, Li et al. 2023).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .transformer import Block, TransformerConfig

FACTS = 9
"""Numbers of a token: present (1 or -1), x, y on the floor [m], cosine and sine of the heading (0, 0 without one), four attributes in -1..1.
What is absent has zeros for the rest."""

_OCTAVES = (1.5, 3.0, 6.0, 12.0)


def tidy(scenes: torch.Tensor) -> torch.Tensor:
    """Tokens [..., E, FACTS] as a network dreamed them -> as real ones are: things are there or not, headings have unit length,
    attributes are -1, 0 or 1."""
    present, xy, heading, attributes = scenes.split((1, 2, 2, 4), -1)
    length = heading.norm(dim=-1, keepdim=True)
    heading = torch.where(length > 0.5, heading / length.clamp(min=1e-6), 0.0)
    facts = torch.cat([torch.ones_like(present), xy, heading, attributes.clamp(-1, 1).round()], -1)
    absent = torch.cat([-torch.ones_like(present), torch.zeros_like(facts[..., 1:])], -1)
    return torch.where(present > 0, facts, absent)


@dataclass(frozen=True)
class RendererConfig:
    """entities: E. channels, grid: of the frame codec's latents. width, layers: of the transformer."""

    entities: int = 20
    channels: int = 12
    grid: int = 8
    width: int = 192
    layers: int = 4

    def to_dict(self) -> dict:
        return asdict(self)


def layout_config(entities: int = RendererConfig.entities) -> TransformerConfig:
    """Of the transformer that dreams scene tokens from text alone, one token for each entity."""
    return TransformerConfig(frames=entities, channels=FACTS, grid=1, width=192, layers=4, heads=3, start=False)


class Renderer(nn.Module):
    """`forward(scenes [B, E, FACTS])` -> latents float32 [B, C, h, w] of the frame codec."""

    def __init__(self, config: RendererConfig = RendererConfig()):
        super().__init__()
        self.config = c = config
        self.embed = nn.Linear(FACTS + 4 * len(_OCTAVES), c.width)
        self.entity = nn.Parameter(torch.randn(c.entities, c.width) * 0.1)
        self.cells = nn.Parameter(torch.randn(c.grid**2, c.width) * 0.1)
        self.blocks = nn.ModuleList(Block(c.width, max(1, c.width // 64)) for _ in range(c.layers))
        self.leave = nn.Linear(c.width, c.channels)
        with torch.no_grad():
            for block in self.blocks:
                block.modulation[[2, 5]] = 1.0  # open gates: there is no time or text to modulate these blocks

    def forward(self, scenes: torch.Tensor) -> torch.Tensor:
        return self.picture(self.tokens(self.cells.expand(len(scenes), -1, -1), self.embed(facts(scenes)) + self.entity))

    def tokens(self, cells: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
        """Cells of the picture [B, h * w, D] and things [B, any, D] -> the cells once they have looked at the things."""
        tokens = torch.cat([cells.to(things.dtype), things], 1)
        for block in self.blocks:
            tokens, _, _ = block(tokens, tokens.new_zeros(1, 6, self.config.width), None, None)
        return F.layer_norm(tokens[:, : self.config.grid**2], (self.config.width,))

    def picture(self, tokens: torch.Tensor) -> torch.Tensor:
        c = self.config
        return self.leave(tokens).float().transpose(1, 2).reshape(-1, c.channels, c.grid, c.grid)


def facts(scenes: torch.Tensor) -> torch.Tensor:
    """Scene tokens [B, E, FACTS] -> what `Renderer.embed` reads, [B, E, FACTS + 4 * octaves]: a place is also told by waves."""
    angles = (scenes[..., 1:3, None] * torch.tensor(_OCTAVES, device=scenes.device)).flatten(-2)
    return torch.cat([scenes, angles.sin(), angles.cos()], -1)
