"""Frame codec: a small convolutional autoencoder, 64 x 64 x 3 pixels <-> 8 x 8 x 12 latents.

All of its work is done at a quarter of the resolution and below (pixel unshuffle / shuffle by 4), so that a clip decodes in
a fraction of the time that it took to dream it. Normalisation is per pixel over channels: nothing depends on the size of
the picture, so the codec can be trained on crops around what matters.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn

from .precision import autocast


@dataclass(frozen=True)
class CodecConfig:
    """size: of a frame, pixels. shuffle: pixels per side of a finest cell. widths: channels of encoder and decoder at that
    resolution and at half of it. channels: of the latents."""

    size: int = 64
    shuffle: int = 4
    encoder_widths: tuple[int, int] = (64, 128)
    decoder_widths: tuple[int, int] = (96, 160)
    channels: int = 12

    def __post_init__(self) -> None:
        if self.size % (2 * self.shuffle):
            raise ValueError(f"{self.size=} is not a multiple of {2 * self.shuffle}")

    @property
    def grid(self) -> int:
        """Side of the latent grid."""
        return self.size // self.shuffle // 2

    def to_dict(self) -> dict:
        return asdict(self)


class ChannelNorm(nn.Module):
    """RMS over channels at each pixel, of [B, C, H, W]."""

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6) * self.gain[:, None, None]


class ResBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(ChannelNorm(width), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class Codec(nn.Module):
    """`encode` and `decode` work on batches of frames of any leading shape; latents have about unit variance."""

    def __init__(self, config: CodecConfig = CodecConfig()):
        super().__init__()
        self.config = config
        pixels = 3 * config.shuffle**2
        fine, coarse = config.encoder_widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(config.shuffle),
            nn.Conv2d(pixels, fine, 3, padding=1),
            ResBlock(fine),
            nn.Conv2d(fine, coarse, 4, stride=2, padding=1),
            ResBlock(coarse),
            ResBlock(coarse),
            ChannelNorm(coarse),
            nn.Conv2d(coarse, config.channels, 3, padding=1),
        )
        fine, coarse = config.decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(config.channels, coarse, 3, padding=1),
            ResBlock(coarse),
            ResBlock(coarse),
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            ResBlock(fine),
            ResBlock(fine),
            ChannelNorm(fine),
            nn.Conv2d(fine, pixels, 3, padding=1),
            nn.PixelShuffle(config.shuffle),
        )
        # Measured after training, so that the flow sees latents of zero mean and unit variance.
        self.register_buffer("shift", torch.zeros(config.channels))
        self.register_buffer("scale", torch.ones(config.channels))

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 [..., H, W, 3] or float [..., 3, H, W] in 0..1 -> latents [..., C, h, w]."""
        if frames.dtype == torch.uint8:
            frames = frames.movedim(-1, -3).to(self.shift.dtype) / 255
        lead = frames.shape[:-3]
        with autocast(self.shift.device):
            raw = self.encoder(frames.reshape(-1, *frames.shape[-3:]) * 2 - 1).float()
        latents = (raw - self.shift[:, None, None]) / self.scale[:, None, None]
        return latents.reshape(*lead, *latents.shape[1:])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """latents [..., C, h, w] -> float [..., 3, H, W]; nominally 0..1, not clipped."""
        lead = latents.shape[:-3]
        raw = latents.reshape(-1, *latents.shape[-3:]) * self.scale[:, None, None] + self.shift[:, None, None]
        with autocast(self.shift.device):
            frames = self.decoder(raw).float() * 0.5 + 0.5
        return frames.reshape(*lead, *frames.shape[1:])

    def decode_uint8(self, latents: torch.Tensor) -> torch.Tensor:
        """latents [..., C, h, w] -> uint8 [..., H, W, 3]."""
        return (self.decode(latents).clamp(0, 1) * 255).round().to(torch.uint8).movedim(-3, -1)
