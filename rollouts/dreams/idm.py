"""Inverse dynamics model: the latents of consecutive frames -> the actions between them, a whole clip at once.

It reads latents of the frame codec, so dreams need not be decoded to act on them; real video is encoded first. It tells the
velocity that was commanded from the one that was achieved: a robot that pushes a dog commands more than it gets, and
replaying what it got does not bring it where it went.
"""

from __future__ import annotations

import torch
from torch import nn


class InverseDynamics(nn.Module):
    """`forward(latents [B, T+1, C, h, w])` -> actions [B, T, A] in the world's units, the first two the commanded velocity;
    achieved velocities [B, T, 2]; robot positions [B, T+1, 2] in metres. Velocities are in m/s, arms and gripper in 0..1;
    `action_mean` and `action_scale` are those of the data."""

    def __init__(self, channels: int = 12, grid: int = 8, width: int = 256, actions: int = 5):
        super().__init__()
        self.settings = {"channels": channels, "grid": grid, "width": width, "actions": actions}
        self.frame = nn.Sequential(nn.Conv2d(channels, 48, 3, padding=1), nn.GELU(), nn.Conv2d(48, 48, 3, padding=1), nn.GELU())
        self.pair = nn.Sequential(
            nn.Conv2d(3 * 48, 96, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(96, 64, 3, padding=1, stride=2),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(64 * (grid // 2) ** 2, width),
        )
        self.single = nn.Sequential(nn.Conv2d(48, 32, 3, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(32 * grid**2, width), nn.GELU(), nn.Linear(width, 2))
        self.time = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(width, actions + 2)
        self.register_buffer("action_mean", torch.zeros(actions))
        self.register_buffer("action_scale", torch.ones(actions))

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, frames = latents.shape[:2]
        features = self.frame(latents.flatten(0, 1))
        positions = self.single(features).view(batch, frames, 2)
        features = features.view(batch, frames, *features.shape[1:])
        now, then = features[:, :-1], features[:, 1:]
        pairs = self.pair(torch.cat([now, then, then - now], 2).flatten(0, 1)).view(batch, frames - 1, -1).transpose(1, 2)
        for layer in self.time:
            pairs = pairs + layer(nn.functional.gelu(pairs))
        actions, excess = self.head(nn.functional.gelu(pairs).transpose(1, 2)).split([len(self.action_mean), 2], -1)
        actions = actions * self.action_scale + self.action_mean
        return actions, actions[..., :2] - excess * self.action_scale[:2], positions
