"""Motion codec: what changed since the start frame, as a short code per frame whose numbers mean something.

    latents of a frame + latents of the start frame -> code [Z, 1, 1] -> latents of the frame

A room stands still and is seen in the start frame; what a world model has to dream is where the robot, the dog and the objects are a
moment later. Content and motion are therefore split, as in CMD (Yu et al. 2024, "Efficient Video Diffusion Models via Content-Frame
Motion-Latent Decomposition"), and a code says how far each thing has moved and turned, as keypoint world models do (Minderer et al.
2019, "Unsupervised Learning of Object Structure and Dynamics from Videos"), here with labels. The encoder is a tracker of single frames;
the decoder draws anew what a move has changed, and copies the rest from the start frame. It is the renderer of scenes (`scenes.py`), which
is told where things are and, in place of the room, shown the start frame.

A code of 64 numbers that an autoencoder chose for itself did not hold what matters: a moved dog could be told from it to half of how far it
had moved, a moved object hardly at all (docs/pretraining.md). And a dreamed code is always a little off the real ones; a code without
meaning is then drawn as a mean of pictures, half a dog here and half there, whereas the mean of places is a place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from .precision import autocast
from .probe import DOG, ROBOT, TRACKED_POSES, ProbeNet
from .scenes import FACTS, Renderer, RendererConfig, facts

BODY = 11
"""Numbers of a code before those of the objects: robot displacement x, y; its heading, cosine and sine; left and right arm; whether it
holds something; dog displacement x, y; its turn since the start, cosine - 1 and sine. Each object has a displacement x, y."""

ROBOTS_OWN = 7
"""Of these, so many at the front are what the robot itself does; the others are what becomes of the dog and the objects."""

# What one unit of a code is worth, so that each number has a spread near one where it changes: metres, or parts of a unit circle.
_BODY_UNITS = (0.7, 0.7, 0.7, 0.7, 0.35, 0.35, 0.4, 0.35, 0.35, 0.5, 0.5)
_OBJECT_UNIT = 0.5
_STILL = 0.06  # metres: the tracker may see so much of a move where there is none


@dataclass(frozen=True)
class MotionConfig:
    """channels, grid: of the frame codec's latents. objects: kinds that there are. width, layers: of the decoder, a renderer.
    tracker_width: of the network that sees where things are."""

    channels: int = 12
    grid: int = 8
    objects: int = 12
    width: int = 192
    layers: int = 4
    tracker_width: int = 128

    @property
    def code(self) -> int:
        """Z: numbers of a code."""
        return BODY + 2 * self.objects

    def to_dict(self) -> dict:
        return asdict(self)


def sides(over: torch.Tensor) -> torch.Tensor:
    """What turns floor places and directions over, left to right, where `over` bool [B] is true: factors [B, 2] of x and y."""
    return torch.stack([torch.where(over, -1.0, 1.0), torch.ones(over.shape, device=over.device)], -1)


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

    def mirrored(self, over: torch.Tensor) -> Places:
        """The same places, in a room that is turned over, left to right, where `over` bool [B] is true. Arms are left as they are."""
        side = sides(over)
        return replace(self, xy=self.xy * side[:, None], dog_heading=self.dog_heading * side, robot_heading=self.robot_heading * side)

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


def shifts(moves: torch.Tensor) -> torch.Tensor:
    """How far each thing has moved by codes times `units` [..., Z]: metres [..., E, 2], robot and dog first."""
    return torch.cat([moves[..., None, :2], moves[..., None, 7:9], moves[..., BODY:].unflatten(-1, (-1, 2))], -2)


def turned(heading: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Where the dog faces that faced `heading` [..., 2] in the start frame, by codes times `units` [..., Z]: a direction [..., 2] of length one."""
    (c, s), (cos, sin) = heading.unbind(-1), (moves[..., 9:11] + moves.new_tensor([1.0, 0.0])).unbind(-1)
    return F.normalize(torch.stack([c * cos - s * sin, s * cos + c * sin], -1), dim=-1)


def mirrored(codes: torch.Tensor) -> torch.Tensor:
    """Codes [..., Z, 1, 1] of the same motion in a room that is turned over, left to right (x to -x): the left arm becomes the right one."""
    over = torch.ones(codes.shape[-3], 1, 1, device=codes.device)
    over[[0, 2, 7, 10]] = -1  # x of the robot, its heading's cosine, x of the dog, the sine of its turn
    over[BODY::2] = -1  # x of the objects
    turned = codes * over
    turned[..., 4:6, :, :] = turned[..., 4:6, :, :].flip(-3)
    return turned


class MotionCodec(nn.Module):
    """`encode` and `decode` work on clips."""

    def __init__(self, config: MotionConfig = MotionConfig()):
        super().__init__()
        self.config = c = config
        self.tracker = ProbeNet(entities=2 + c.objects, channels=c.channels, width=c.tracker_width, poses=TRACKED_POSES)
        self.renderer = Renderer(RendererConfig(entities=2 + c.objects, channels=c.channels, grid=c.grid, width=c.width, layers=c.layers))
        self.shown = nn.Linear(c.channels, c.width)
        self.before = nn.Linear(self.renderer.embed.in_features, c.width)
        self.changed = nn.Linear(c.width, 1)
        with torch.no_grad():  # begins as the renderer that it was trained to be
            for added in (self.shown, self.before):
                added.weight.zero_()
                added.bias.zero_()

    @property
    def own(self) -> torch.Tensor:
        """bool [Z]: the numbers of a code that are the robot's own doing."""
        return torch.arange(self.config.code) < ROBOTS_OWN

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
        with autocast(self.renderer.cells.device):
            latents = self.picture(codes.reshape(b * t, -1), start.repeat_interleave(t, 0), places)
        return latents.view(b, t, *start.shape[1:])

    @torch.no_grad()
    def seen(self, codes: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Codes [B, T, Z, 1, 1] as their pictures are read: what an onlooker sees of them, where the decoder was not exact."""
        return self.encode(self.decode(codes, start), start)

    @torch.no_grad()
    def still(self, start: torch.Tensor, frames: int = 12) -> torch.Tensor:
        """start [B, C, h, w] -> codes [B, frames, Z, 1, 1] of a clip in which nothing moves."""
        return self.encode(start[:, None], start).expand(-1, frames, -1, -1, -1)

    def track(self, latents: torch.Tensor) -> Places:
        """Where things are in frames, from their latents [N, C, h, w]."""
        with autocast(self.renderer.cells.device):
            logits, xy, pose = (x.float() for x in self.tracker(latents))
        return Places(logits.sigmoid().round(), xy, F.normalize(pose[:, :2], dim=-1), F.normalize(pose[:, 4:6], dim=-1), pose[:, 2:4], pose[:, 6])

    def picture(self, codes: torch.Tensor, start: torch.Tensor, places: Places) -> torch.Tensor:
        """codes [N, Z], start [N, C, h, w] and where things are in it -> latents float32 [N, C, h, w]."""
        before, after = self._scenes(codes, places)
        things = self.renderer.embed(facts(after)) + self.renderer.entity + self.before(facts(before))
        tokens = self.renderer.tokens(self.renderer.cells + self.shown(start.flatten(2).transpose(1, 2)), things)
        share = self.changed(tokens).float().sigmoid().transpose(1, 2).reshape(-1, 1, *start.shape[2:])
        return torch.lerp(start, self.renderer.picture(tokens), share)

    def _scenes(self, codes: torch.Tensor, places: Places) -> tuple[torch.Tensor, torch.Tensor]:
        """Scene tokens (`scenes.FACTS`) [N, E, FACTS] of the start frame and of the frame with these codes. Of the start frame they tell no
        more than what `Places` knows of places and the dog's heading: the rest can be seen in it. What no scene has is put right, such as a
        dreamed heading that is none: drawn as it is, it would be a blur."""
        raw = codes * units(self.config.objects, codes.device)
        shift = shifts(raw)
        before = raw.new_zeros(*shift.shape[:2], FACTS)
        before[..., 0] = 1
        before[..., 1:3] = places.xy
        before[:, DOG, 3:5] = places.dog_heading
        after = before.clone()
        after[..., 1:3] += shift
        after[:, ROBOT, 3:5] = F.normalize(raw[:, 2:4], dim=-1)
        after[:, ROBOT, 5:8] = raw[:, 4:7].clamp(0, 1)
        after[:, DOG, 3:5] = turned(places.dog_heading, raw)
        absent = torch.zeros(FACTS, device=raw.device)
        absent[0] = -1
        there = places.present[..., None] > 0.5
        return torch.where(there, before, absent), torch.where(there, after, absent)
