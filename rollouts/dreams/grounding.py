"""Grounding: where in the start frame is the thing that the text names?

Learning to find "the green can" from a few thousand demonstrations is what a world model is worst at: it learns the scenes
by heart instead. Every frame shows several objects, though, and each has many names; the grounder learns from
all of them, apart, and the world model reads its answer (`transformer.py`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Grounder(nn.Module):
    """`forward(start latents [B, C, h, w], text [B, L, text_width], mask bool [B, L])` -> (logit that the named thing is
    there [B], its place on the floor [B, 2] in metres)."""

    def __init__(self, channels: int = 12, grid: int = 8, width: int = 128, text_width: int = 384):
        super().__init__()
        self.settings = {"channels": channels, "grid": grid, "width": width, "text_width": text_width}
        self.words = nn.Linear(text_width, width)
        self.weigh = nn.Linear(text_width, 1)
        self.text = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * width))
        self.look = nn.Conv2d(channels, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.position = nn.Parameter(torch.randn(grid**2, width) * 0.02)
        self.score = nn.Sequential(nn.GELU(), nn.Linear(width, 1))
        self.present = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))
        self.offset = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.places = nn.Parameter(torch.zeros(grid**2, 2))

    def forward(self, start: torch.Tensor, text: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weight = self.weigh(text)[..., 0].float().masked_fill(~mask, -1e4).softmax(-1)
        asked = (self.words(text) * weight[..., None]).sum(1)
        scale, shift, query = self.text(asked).chunk(3, -1)
        seen = F.gelu(self.look(start))
        seen = F.gelu(self.mix(seen * (1 + scale[..., None, None]) + shift[..., None, None]))
        cells = seen.flatten(2).transpose(1, 2) + self.position
        logits = self.score(cells * query[:, None])[..., 0].float()
        attention = logits.softmax(-1)
        found = (cells * attention[..., None]).sum(1)
        xy = attention @ self.places + self.offset(found).float()
        return self.present(torch.cat([found, asked.to(found.dtype)], -1))[:, 0].float(), xy
