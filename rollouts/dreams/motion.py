"""Motion codec: what changed since the start frame, as a short code per frame whose numbers mean something.

    latents of a frame + latents of the start frame -> code [Z, 1, 1] -> latents of the frame

A room stands still and is seen in the start frame; what a world model has to dream is where the robot, the dog and the objects are a
moment later. Content and motion are therefore split, as in CMD (Yu et al. 2024, "Efficient Video Diffusion Models via Content-Frame
Motion-Latent Decomposition"), and a code says how far each thing has moved and turned, as keypoint world models do (Minderer et al.
2019, "Unsupervised Learning of Object Structure and Dynamics from Videos"), here with labels. The encoder is a tracker of single frames;
the decoder moves what it sees in the start frame to where the code says.

A code of 64 numbers that an autoencoder chose for itself did not hold what matters: a moved dog could be told from it to half of how far it
had moved, a moved object hardly at all (docs/pretraining.md). And a dreamed code is always a little off the real ones; a code without
meaning is then drawn as a mean of pictures, half a dog here and half there, whereas the mean of places is a place.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from .precision import autocast
from .probe import DOG, ROBOT, ProbeNet
from .transformer import Block

BODY = 11
"""Numbers of a code before those of the objects: robot displacement x, y; its heading, cosine and sine; left and right arm; whether it
holds something; dog displacement x, y; its turn since the start, cosine - 1 and sine. Each object has a displacement x, y."""

# What one unit of a code is worth, so that each number has a spread near one where it changes: metres, or parts of a unit circle.
_BODY_UNITS = (0.7, 0.7, 0.7, 0.7, 0.35, 0.35, 0.4, 0.35, 0.35, 0.5, 0.5)
_OBJECT_UNIT = 0.5
_STILL = 0.06  # metres: the tracker may see so much of a move where there is none, and an object that moved less is not drawn anew
_MOVERS = 5  # things drawn anew: robot, dog and the three objects that moved most


@dataclass(frozen=True)
class MotionConfig:
    """channels, grid: of the frame codec's latents. objects: kinds that there are. width, layers: of the decoder's transformer.
    tracker_width: of the network that sees where things are."""

    channels: int = 12
    grid: int = 8
    objects: int = 12
    width: int = 128
    layers: int = 4
    tracker_width: int = 128

    @property
    def code(self) -> int:
        """Z: numbers of a code."""
        return BODY + 2 * self.objects

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Places:
    """Of one frame each: present [B, E] in 0..1 (robot, dog, objects), xy [B, E, 2] in metres, dog_heading, robot_heading [B, 2]: cosine and
    sine, arms [B, 2] in 0..1, holds [B] in 0..1."""

    present: torch.Tensor
    xy: torch.Tensor
    dog_heading: torch.Tensor
    robot_heading: torch.Tensor
    arms: torch.Tensor
    holds: torch.Tensor

    def repeat_interleave(self, n: int) -> Places:
        return Places(**{name: value.repeat_interleave(n, 0) for name, value in vars(self).items()})


def units(objects: int, device: torch.device | None = None) -> torch.Tensor:
    """[Z]: metres, or parts of a unit circle, for one unit of each number of a code."""
    return torch.tensor([*_BODY_UNITS, *[_OBJECT_UNIT] * (2 * objects)], device=device)


def codes_between(start: Places, then: Places) -> torch.Tensor:
    """Codes float32 [B, Z], in `units`, of frames in which things are as in `then` and in whose start frames they are as in `start`."""
    moved = (then.xy - start.xy) * start.present[..., None]
    (c0, s0), (c1, s1) = start.dog_heading.unbind(-1), then.dog_heading.unbind(-1)
    turn = torch.stack([c0 * c1 + s0 * s1 - 1, c0 * s1 - s0 * c1], -1) * start.present[:, DOG, None]
    parts = [moved[:, ROBOT], then.robot_heading, then.arms, then.holds[:, None], moved[:, DOG], turn, moved[:, 2:].flatten(1)]
    return torch.cat(parts, -1) / units(moved.shape[1] - 2, moved.device)


class MotionCodec(nn.Module):
    """`encode` and `decode` work on clips. `homography` [3, 3] maps (x, y, 1) on the floor to the frame in 0..1; it comes from the world's
    camera (`pretrain.py`) and is stored with the weights."""

    SPLAT = 48  # channels of the picture-shaped map that the places of things are drawn into

    def __init__(self, config: MotionConfig = MotionConfig()):
        super().__init__()
        self.config = c = config
        self.tracker = ProbeNet(entities=2 + c.objects, channels=c.channels, width=c.tracker_width, poses=7)
        self.where = nn.Linear(2 * _OFFSET_FEATURES, 96)
        self.what = nn.Linear(_ATTRIBUTES, 96)
        self.names = nn.Parameter(torch.randn(2 + c.objects, 96) * 0.3)
        self.splat = nn.Linear(96, self.SPLAT)
        self.cells = nn.Linear(c.channels + self.SPLAT, c.width)
        self.position = nn.Parameter(torch.randn(c.grid**2, c.width) * 0.02)
        self.blocks = nn.ModuleList(Block(c.width, max(1, c.width // 64)) for _ in range(c.layers))
        self.leave = nn.Linear(c.width, c.channels)
        self.register_buffer("homography", torch.tensor([[0.3, 0.0, 0.5], [0.0, -0.3, 0.5], [0.0, 0.0, 1.0]]))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        with torch.no_grad():
            for block in self.blocks:
                block.modulation[[2, 5]] = 1.0

    def encode(self, latents: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """latents [B, T, C, h, w] of frames and start [B, C, h, w] of their start frames -> codes float32 [B, T, Z, 1, 1]."""
        before, after = self.track(start).repeat_interleave(latents.shape[1]), self.track(latents.flatten(0, 1))
        # A thing that is hidden for a moment, or moved by less than the tracker's error, has not moved.
        still = ((after.xy - before.xy).norm(dim=-1) < _STILL) | (after.present < 0.5)
        still[:, ROBOT] = False
        xy = torch.where(still[..., None], before.xy, after.xy)
        heading = torch.where(still[:, DOG, None], before.dog_heading, after.dog_heading)
        return codes_between(before, replace(after, xy=xy, dog_heading=heading)).view(*latents.shape[:2], -1, 1, 1)

    def decode(self, codes: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """codes [B, T, Z, 1, 1] and start [B, C, h, w] -> latents float32 [B, T, C, h, w]."""
        b, t = codes.shape[:2]
        places = self.track(start).repeat_interleave(t)
        with autocast(self.homography.device):
            latents = self.picture(codes.reshape(b * t, -1), start.repeat_interleave(t, 0), places)
        return latents.view(b, t, *start.shape[1:])

    @torch.no_grad()
    def still(self, start: torch.Tensor, frames: int = 12) -> torch.Tensor:
        """start [B, C, h, w] -> codes [B, frames, Z, 1, 1] of a clip in which nothing moves."""
        return self.encode(start[:, None], start).expand(-1, frames, -1, -1, -1)

    def track(self, latents: torch.Tensor) -> Places:
        """Where things are in frames, from their latents [N, C, h, w]."""
        with autocast(self.homography.device):
            logits, xy, pose = (x.float() for x in self.tracker(latents))
        return Places(logits.sigmoid().round(), xy, F.normalize(pose[:, :2], dim=-1), F.normalize(pose[:, 4:6], dim=-1), pose[:, 2:4], pose[:, 6])

    def picture(self, codes: torch.Tensor, start: torch.Tensor, places: Places) -> torch.Tensor:
        """codes [N, Z], start [N, C, h, w] and where things are in it -> latents float32 [N, C, h, w]."""
        c, n = self.config, len(codes)
        tokens = self.cells(torch.cat([start.flatten(2).transpose(1, 2), self._drawn(codes, places)], -1)) + self.position
        for block in self.blocks:
            tokens, _, _ = block(tokens, tokens.new_zeros(1, 6, c.width), None, None)
        change = self.leave(F.layer_norm(tokens, (c.width,)))
        return start + change.float().transpose(1, 2).reshape(n, c.channels, c.grid, c.grid)

    def _drawn(self, codes: torch.Tensor, places: Places) -> torch.Tensor:
        """[N, h * w, SPLAT]: for each cell of the picture, what has left it and what has come, summed over robot, dog and the objects that
        have moved most. What is not there draws nothing, nor does an object that has not moved: the start frame shows it."""
        raw = codes * units(self.config.objects, codes.device)
        heading, turn = places.dog_heading, raw[:, 9:11] + raw.new_tensor([1.0, 0.0])
        turned = torch.stack([heading[:, 0] * turn[:, 0] - heading[:, 1] * turn[:, 1], heading[:, 1] * turn[:, 0] + heading[:, 0] * turn[:, 1]], -1)
        shift = torch.cat([raw[:, None, :2], raw[:, None, 7:9], raw[:, BODY:].unflatten(1, (-1, 2))], 1)
        facts = raw.new_zeros(*shift.shape[:2], _ATTRIBUTES)
        facts[:, ROBOT, :5] = raw[:, 2:7]
        facts[:, DOG, 5:] = torch.cat([turned, heading], -1)
        gate = places.present * torch.cat([torch.ones_like(shift[:, :2, 0]), (shift[:, 2:].norm(dim=-1) / _STILL).tanh()], 1)
        gate, who = gate.topk(min(_MOVERS, gate.shape[1]))

        def of(values: torch.Tensor) -> torch.Tensor:
            return values.gather(1, who[..., None].expand(-1, -1, values.shape[-1]))

        xy, step = of(places.xy), of(shift)
        before, after = (_offset_features(self._offsets(at)) for at in (xy, xy + step))
        what = self.what(of(facts)) + self.names[who]
        splats = self.splat(F.gelu(self.where(torch.cat([before, after], -1)) + what[:, :, None], approximate="tanh"))
        return (splats * gate[:, :, None, None].to(splats.dtype)).sum(1)

    def _offsets(self, xy: torch.Tensor) -> torch.Tensor:
        """xy [N, E, 2] on the floor -> [N, E, h * w, 2]: from there to the centre of each cell, in cells."""
        g = self.config.grid
        point = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ self.homography.T
        seen = point[..., :2] / point[..., 2:].clamp(min=0.1) * g
        axis = torch.arange(g, device=xy.device) + 0.5
        cells = torch.stack([axis.repeat(g), axis.repeat_interleave(g)], -1)
        return cells - seen[:, :, None]


_ATTRIBUTES = 9
_WAVES = (math.pi / 8, math.pi / 4, math.pi / 2)
_OFFSET_FEATURES = 2 + 3 + 4 * len(_WAVES)


def _offset_features(offset: torch.Tensor) -> torch.Tensor:
    """Offsets [..., 2] in cells -> [..., 17]: bells of three widths, and waves that fade with the widest bell."""
    square = offset.square().sum(-1, keepdim=True)
    bells = torch.cat([torch.exp(-square / width) for width in (1.0, 4.0, 16.0)], -1)
    near = bells[..., 2:]
    waves = torch.cat([f(offset * w) for w in _WAVES for f in (torch.sin, torch.cos)], -1)
    return torch.cat([offset * near, bells, waves * near], -1)
