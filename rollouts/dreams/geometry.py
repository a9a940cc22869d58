"""What a dream's codes say of distances, frame by frame: how near the robot comes to the dog, how far it is from what it was asked for, what it carries.

Everything is computed from what the world model sees in the start frame (`Context.sights`: tracker and grounder) and from the dreamed moves. Nothing
is learned here; what of it is good or bad, the value head learns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .grounding import FEATURES, LANDMARKS, PLACE
from .motion import BODY, shifts, turned, units
from .probe import DOG, DOG_RADIUS, DOG_SPINE, ROBOT, ROBOT_RADIUS, TRACKED_POSES
from .transformer import Context

FAR = 2.0  # metres: of what is farther away, or not there, no more is said
_SHARPNESS = (0.05, 0.15, 0.5)  # metres over which a distance counts as near
_NEAR = 2 + len(_SHARPNESS)
_ROBOT_HEADING = slice(4, 6)  # of the tracker's poses
_MATCH = 0.3  # metres: the named thing is the one that stands about so near to where the text's thing was found

GAP, NEAREST, LEFT, GAINED, TO_MAT = (index * _NEAR for index in range(5))
"""Where each distance begins [m]: from the robot's rim to the dog's flank, the smallest of these so far, from the robot to what the text names, how much
that has changed, from what the text names to the mat."""

GEOMETRY = 5 * _NEAR + 13
"""Numbers of a frame: the distances, then what was carried and pushed how far, the robot's step and the dog's way [m], whether the text names something
that is there, whether there is a dog, and the robot's place, heading, arms and grip."""

PLACE_AND_ARMS = [GEOMETRY - 7, GEOMETRY - 6, GEOMETRY - 3, GEOMETRY - 2]
"""Of these, where the robot is [m], and how far its left and right arm are raised."""


def geometry(latents: torch.Tensor, context: Context) -> torch.Tensor:
    """Codes [B, T, Z, 1, 1] of dreams, or what is seen of them (`MotionCodec.seen`), and their context -> float32 [B, T, GEOMETRY].

    Raises ValueError where the world model of the context has no tracker (versions up to 6).
    """
    if context.sights is None:
        raise ValueError("geometry needs a world model with a tracker")
    moves = latents.float().flatten(2) * units((latents.shape[2] - BODY) // 2, latents.device)
    named, mat, things, pose = _places(context.sights.float())
    shift = shifts(moves)
    there, began = things[..., 0], things[..., 1:3]
    xy = began[:, None] + shift * there[:, None, :, None]
    robot, dog, objects = xy[:, :, ROBOT], xy[:, :, DOG], xy[:, :, 2:]

    gap = _gap(robot, dog, turned(pose[:, None, :2], moves))
    gap = torch.where(there[:, None, DOG] > 0.5, gap, FAR)
    nearest = gap.cummin(1).values  # harm is not undone by walking on

    away = (began[:, 2:] - named[:, None, 1:3]).norm(dim=-1)
    own = there[:, 2:] * (-((away / _MATCH) ** 2)).exp() * named[:, :1]
    own = (own / own.sum(1, keepdim=True).clamp(min=0.2))[:, None, :, None]
    target = (objects * own).sum(2) + (1 - own.sum(2)) * named[:, None, 1:3]
    asked = named[:, None, :1].expand(*gap.shape, 1)
    left = torch.where(asked[..., 0] > 0.5, (robot - target).norm(dim=-1), FAR)
    first = torch.where(asked[:, 0, 0] > 0.5, (began[:, ROBOT] - named[:, 1:3]).norm(dim=-1), FAR)
    to_mat = torch.where(asked[..., 0] * mat[:, None, 0] > 0.5, (target - mat[:, None, 1:3]).norm(dim=-1), FAR)
    carried = (shift[:, :, 2:] * own).sum(2).norm(dim=-1)
    others = (shift[:, :, 2:].norm(dim=-1) * (1 - own[..., 0]) * there[:, None, 2:]).amax(-1)

    path = torch.cat([began[:, None, ROBOT], robot], 1)
    steps = path.diff(dim=1).norm(dim=-1)
    distances = [near for distance in (gap, nearest, left, left - first[:, None], to_mat) for near in _near(distance)]
    rest = [carried, others, steps, shift[:, :, DOG].norm(dim=-1), asked[..., 0], there[:, None, DOG].expand_as(gap)]
    return torch.cat([torch.stack([*distances, *rest], -1), robot, moves[..., 2:7]], -1)


def touched(measured: torch.Tensor) -> torch.Tensor:
    """Whether the robot touches the dog somewhere in dreams of this geometry [B, T, GEOMETRY]: bool [B]."""
    return measured[:, -1, NEAREST] < 0


@dataclass(frozen=True)
class Room:
    """What is where in start frames: places float32 [B, 2] in metres of the robot, of what the text names (`thing`), of the mat and of the dog, whether
    there is a dog, bool [B], where the robot faces [B, 2] (cosine and sine, short where that is not sure), and how many things there are [B]."""

    robot: torch.Tensor
    thing: torch.Tensor
    mat: torch.Tensor
    dog: torch.Tensor
    dog_there: torch.Tensor
    heading: torch.Tensor
    things: torch.Tensor


def room(context: Context) -> Room:
    """Raises ValueError where the world model of the context has no tracker (versions up to 6)."""
    if context.sights is None:
        raise ValueError("a room is seen by a tracker, which this world model lacks")
    named, mat, things, pose = _places(context.sights.float())
    return Room(
        robot=things[:, ROBOT, 1:3],
        thing=named[:, 1:3],
        mat=mat[:, 1:3],
        dog=things[:, DOG, 1:3],
        dog_there=things[:, DOG, 0] > 0.5,
        heading=pose[:, _ROBOT_HEADING],
        things=things[:, 2:, 0].sum(1),
    )


def company(context: Context) -> torch.Tensor:
    """Whether there is a dog in the start frame, bool [B]; nobody knows where the world model has no tracker, which counts as no."""
    if context.sights is None:
        return torch.zeros(len(context.keys[0]), dtype=torch.bool)
    *_, things, _ = _places(context.sights.float())
    return things[:, DOG, 0] > 0.5


def _places(sights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`Context.sights` -> named [B, 3], mat [B, 3], things [B, E, 3]: presence, x and y; pose [B, TRACKED_POSES]."""
    goal, tracked = sights[:, :FEATURES], sights[:, FEATURES:]
    mat = goal[:, PLACE:].unflatten(1, (len(LANDMARKS), -1))[:, LANDMARKS.index("mat")]
    things = tracked[:, :-TRACKED_POSES].unflatten(1, (-1, PLACE))

    def place(found: torch.Tensor) -> torch.Tensor:
        sure = found[..., :1]
        return torch.cat([sure, found[..., 1:3] / sure.clamp(min=0.05)], -1)

    return place(goal), place(mat), place(things), tracked[:, -TRACKED_POSES:]


def _gap(robot: torch.Tensor, dog: torch.Tensor, heading: torch.Tensor) -> torch.Tensor:
    """Metres between the robot's rim and the dog's flank, as `probe.Reading.dog_gap`."""
    offset = robot - dog
    along = (offset * heading).sum(-1, keepdim=True).clamp(*DOG_SPINE)
    return (offset - along * heading).norm(dim=-1) - ROBOT_RADIUS - DOG_RADIUS


def _near(distance: torch.Tensor) -> list[torch.Tensor]:
    """A distance in numbers about one: itself, how far it is beyond nothing, and how near at several scales."""
    distance = distance.clamp(-FAR, FAR)
    return [distance, distance.clamp(min=0).sqrt(), *((distance / scale).tanh() for scale in _SHARPNESS)]
