"""Motion codec: what changed since the start frame, as a short code per frame.

    latents of a frame + latents of the start frame -> code [Z, 1, 1] -> latents of the frame

A room stands still and is seen in the start frame; what a world model has to dream is where the robot, the dog and an
object are a moment later. Content and motion are therefore split, as in CMD (Yu et al. 2024, "Efficient Video Diffusion
Models via Content-Frame Motion-Latent Decomposition"): the world model dreams codes, 64 numbers a frame, and how a robot
looks at some place is the decoder's business, which is plain regression and soon sharp. A world model over the 768
numbers of the frame codec's latents learned twenty times slower here and dreamed fragments (docs/pretraining.md).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .precision import autocast
from .transformer import Block


@dataclass(frozen=True)
class MotionConfig:
    """channels, grid: of the frame codec's latents. code: Z. width, layers: of the decoder's transformer."""

    channels: int = 12
    grid: int = 8
    code: int = 64
    width: int = 128
    layers: int = 4

    def to_dict(self) -> dict:
        return asdict(self)


class MotionCodec(nn.Module):
    """`encode` and `decode` work on clips; codes have zero mean and unit variance over the training data."""

    MAP = 32  # channels of the picture-shaped map that a code is unfolded to

    def __init__(self, config: MotionConfig = MotionConfig()):
        super().__init__()
        self.config = c = config
        self.look = nn.Sequential(
            nn.Conv2d(3 * c.channels, 64, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 96, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(96, 128, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(128 * (c.grid // 2) ** 2, 512),
            nn.GELU(),
            nn.Linear(512, c.code),
        )
        self.unfold = nn.Sequential(nn.Linear(c.code, 512), nn.GELU(), nn.Linear(512, self.MAP * c.grid**2))
        self.cells = nn.Linear(c.channels + self.MAP, c.width)
        self.position = nn.Parameter(torch.randn(c.grid**2, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c.width, max(1, c.width // 64)) for _ in range(c.layers))
        self.leave = nn.Linear(c.width, c.channels)
        # Measured after training, so that the flow sees codes of zero mean and unit variance.
        self.register_buffer("shift", torch.zeros(c.code))
        self.register_buffer("scale", torch.ones(c.code))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            for block in self.blocks:
                block.modulation[[2, 5]] = 1.0

    def encode(self, latents: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """latents [B, T, C, h, w] of frames and start [B, C, h, w] of their start frames -> codes float32 [B, T, Z, 1, 1]."""
        with autocast(self.shift.device):
            raw = self.raw_code(latents.flatten(0, 1), start.repeat_interleave(latents.shape[1], 0))
        codes = (raw.float() - self.shift) / self.scale
        return codes.view(*latents.shape[:2], -1, 1, 1)

    def decode(self, codes: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """codes [B, T, Z, 1, 1] and start [B, C, h, w] -> latents float32 [B, T, C, h, w]."""
        b, t = codes.shape[:2]
        with autocast(self.shift.device):
            latents = self.picture(codes.reshape(b * t, -1) * self.scale + self.shift, start.repeat_interleave(t, 0))
        return latents.view(b, t, *start.shape[1:])

    @torch.no_grad()
    def still(self, start: torch.Tensor, frames: int = 12) -> torch.Tensor:
        """start [B, C, h, w] -> codes [B, frames, Z, 1, 1] of a clip in which nothing moves."""
        return self.encode(start[:, None], start).expand(-1, frames, -1, -1, -1)

    def raw_code(self, latents: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """[N, C, h, w] and [N, C, h, w] -> [N, Z], of unit length per number: a code cannot escape noise by growing."""
        return F.rms_norm(self.look(torch.cat([latents, start, latents - start], 1)).float(), (self.config.code,))

    def picture(self, raw: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """[N, Z] and [N, C, h, w] -> latents float32 [N, C, h, w]."""
        c, n = self.config, len(raw)
        unfolded = self.unfold(raw).view(n, c.grid**2, self.MAP)
        tokens = self.cells(torch.cat([start.flatten(2).transpose(1, 2), unfolded.to(start.dtype)], -1)) + self.position
        for block in self.blocks:
            tokens, _, _ = block(tokens, tokens.new_zeros(1, 6, c.width), None, None)
        change = self.leave(F.layer_norm(tokens, (c.width,)))
        return start + change.float().transpose(1, 2).reshape(start.shape)
