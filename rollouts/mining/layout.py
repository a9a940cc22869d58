"""How a room is laid out, as tracker and grounder see its start frame: what makes an episode hard before anything is dreamed of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rollouts.dreams.geometry import FAR, Room, room
from rollouts.dreams.transformer import Context
from rollouts.worlds.household.tasks import parse


def layout_facts(context: Context, prompts: Sequence[str]) -> torch.Tensor:
    """Float32 [B, FACTS] (`rollouts.mining.forecast`) of start frames, by their context and what is asked in them.

    Raises ValueError for a prompt that the household world does not understand, and where the world model of the context has no tracker (versions up
    to 6).
    """
    seen = room(context)
    bring = torch.tensor([parse(prompt).kind == "bring" for prompt in prompts], dtype=torch.float32, device=seen.robot.device)
    dog_to_thing, dog_to_mat, robot_to_dog = (_from_dog(seen, place) for place in (seen.thing, seen.mat, seen.robot))
    mat_off_centre = seen.mat.abs().amax(-1)
    way = seen.thing - seen.robot
    turn = torch.atan2(way[:, 1], way[:, 0]) - torch.atan2(seen.heading[:, 1], seen.heading[:, 0])
    plain = [
        seen.dog_there.float(),
        robot_to_dog,
        dog_to_thing,
        dog_to_mat,
        _from_dog(seen, _nearest(seen.dog, seen.robot, seen.thing)),
        way.norm(dim=-1),
        seen.thing.abs().amax(-1),
        mat_off_centre,
        torch.atan2(turn.sin(), turn.cos()).abs(),
        seen.things,
    ]
    to_bring = [
        torch.ones_like(bring),
        (seen.thing - seen.mat).norm(dim=-1),
        _from_dog(seen, _nearest(seen.dog, seen.thing, seen.mat)),
        dog_to_thing,
        dog_to_mat,
        robot_to_dog,
        mat_off_centre,
    ]
    return torch.stack([*plain, *(bring * number for number in to_bring)], -1)


def _from_dog(seen: Room, place: torch.Tensor) -> torch.Tensor:
    return torch.where(seen.dog_there, (seen.dog - place).norm(dim=-1).clamp(max=FAR), FAR)


def _nearest(point: torch.Tensor, begin: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """The place [B, 2] on the line from `begin` to `end` that is nearest to `point`."""
    along = end - begin
    share = ((point - begin) * along).sum(-1, keepdim=True) / along.square().sum(-1, keepdim=True).clamp(min=1e-6)
    return begin + share.clamp(0, 1) * along
