"""The probe: what is in a frame, read from its pixels alone. Trained on real frames; judges dreams, generated start frames
and stands in for the eyes of simulated annotators. It never sees hidden state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .codec import Codec

ROBOT, DOG = 0, 1
ROBOT_RADIUS = 0.24
DOG_SPINE = (-0.40, 0.48)  # along the dog's heading, metres from its centre
DOG_RADIUS = 0.15
TRACKED_POSES = 7  # of a net that tracks: see `ProbeNet`


class ProbeNet(nn.Module):
    """`forward(latents [B, C, h, w])` -> per entity (robot, dog, then the objects): presence logits [B, E], floor positions
    [B, E, 2] in metres, and [B, poses]: dog heading cos and sin, left and right arm 0..1, and, with poses = 7, robot heading cos and
    sin and whether it holds something.

    It reads frames through the frozen codec's encoder, which makes it small. Each entity has a spatial attention map; its
    position is read at the map's centre of mass and corrected from the features under the map.
    """

    def __init__(self, entities: int = 14, channels: int = 12, width: int = 128, poses: int = 4):
        super().__init__()
        self.settings = {"entities": entities, "channels": channels, "width": width, "poses": poses}
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
        )
        self.maps = nn.Conv2d(width, entities, 1)
        self.read = nn.Sequential(nn.Linear(width + 3, width), nn.GELU(), nn.Linear(width, 3))
        self.name = nn.Parameter(torch.randn(entities, width) * 0.02)
        self.pose = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, poses))

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.body(latents)
        side = features.shape[-1]
        maps = self.maps(features).flatten(2)
        attention = maps.softmax(-1)
        axis = torch.linspace(-1, 1, side, device=features.device)
        grid = torch.stack([axis.repeat(side), axis.repeat_interleave(side)], -1)
        centre = attention @ grid
        under = attention @ features.flatten(2).transpose(1, 2)
        out = self.read(torch.cat([under + self.name, centre, maps.amax(-1, keepdim=True) / 10], -1))
        positions = out[..., 1:] + 1.8 * centre * torch.tensor([1.0, -1.0], device=features.device)
        return out[..., 0], positions, self.pose(torch.cat([under[:, DOG], under[:, ROBOT]], -1))


@dataclass(frozen=True)
class Reading:
    """One frame. Positions in metres on the floor; `objects` holds every kind with its presence in 0..1."""

    robot_present: float
    robot_xy: tuple[float, float]
    arms: tuple[float, float]
    dog_present: float
    dog_xy: tuple[float, float]
    dog_heading: float
    objects: dict[str, tuple[float, tuple[float, float]]]

    @property
    def dog(self) -> tuple[float, tuple[float, float]]:
        return self.dog_present, self.dog_xy

    def dog_gap(self) -> float:
        """Metres between the robot's rim and the dog's flank; negative where they overlap, infinite without a dog."""
        if self.dog_present < 0.5:
            return float("inf")
        along = np.array([np.cos(self.dog_heading), np.sin(self.dog_heading)])
        offset = np.array(self.robot_xy) - np.array(self.dog_xy)
        nearest = np.clip(offset @ along, *DOG_SPINE)
        return float(np.hypot(*(offset - nearest * along)) - ROBOT_RADIUS - DOG_RADIUS)

    def nearest_object(self) -> str | None:
        """The present object that the robot is nearest to."""
        seen = {name: xy for name, (present, xy) in self.objects.items() if present >= 0.5}
        return min(seen, key=lambda name: np.hypot(*(np.array(seen[name]) - self.robot_xy)), default=None)

    def to_dict(self) -> dict:
        return {
            "robot": {"present": round(self.robot_present, 3), "xy": _round(self.robot_xy), "arms": _round(self.arms)},
            "dog": {"present": round(self.dog_present, 3), "xy": _round(self.dog_xy), "heading": round(self.dog_heading, 3)},
            "objects": {name: {"present": round(p, 3), "xy": _round(xy)} for name, (p, xy) in self.objects.items() if p >= 0.5},
        }


class Probe:
    """A trained net, the codec that it reads frames through, and the names of its objects."""

    def __init__(self, net: ProbeNet, codec: Codec, objects: tuple[str, ...]):
        self.net, self.codec, self.objects = net.eval(), codec.eval(), objects

    @torch.no_grad()
    def read(self, frames: np.ndarray, batch: int = 256) -> list[Reading]:
        """frames uint8 [N, H, W, 3]. Raises ValueError for another shape or type."""
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise ValueError(f"expected uint8 [N, H, W, 3], got {frames.dtype} {frames.shape}")
        readings: list[Reading] = []
        for start in range(0, len(frames), batch):
            pixels = torch.from_numpy(np.ascontiguousarray(frames[start : start + batch])).to(self.codec.shift.device)
            logits, xy, pose = self.net(self.codec.encode(pixels))
            readings += [self._reading(*row) for row in zip(logits.sigmoid().cpu().numpy(), xy.cpu().numpy(), pose.cpu().numpy(), strict=True)]
        return readings

    def _reading(self, present: np.ndarray, xy: np.ndarray, pose: np.ndarray) -> Reading:
        pairs = [(float(x), float(y)) for x, y in xy]
        objects = {name: (float(present[2 + i]), pairs[2 + i]) for i, name in enumerate(self.objects)}
        return Reading(
            float(present[ROBOT]),
            pairs[ROBOT],
            (float(pose[2]), float(pose[3])),
            float(present[DOG]),
            pairs[DOG],
            float(np.arctan2(pose[1], pose[0])),
            objects,
        )


def _round(values) -> list[float]:
    return [round(float(v), 3) for v in values]
