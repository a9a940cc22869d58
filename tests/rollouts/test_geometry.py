"""Distances in dreams: computed from codes and from what the world model sees, against the probe's own reading of the same places."""

import numpy as np
import pytest
import torch

from rollouts.dreams.geometry import GAP, GEOMETRY, LEFT, TO_MAT, geometry, touched
from rollouts.dreams.grounding import FEATURES, LANDMARKS, PLACE, _where
from rollouts.dreams.motion import MotionConfig, units
from rollouts.dreams.probe import DOG, ROBOT, TRACKED_POSES, Reading
from rollouts.dreams.transformer import Context

THINGS, FRAMES = 14, 6
BALL = 4  # a thing, and what the text names


def context(*, dog: bool = True, named: bool = True, heading: float = 0.3) -> tuple[Context, torch.Tensor]:
    """A start frame with the robot, a dog, the ball 2 m ahead and a mat at its left; and the places of all things."""
    logit, xy = torch.full((THINGS,), -20.0), torch.zeros(THINGS, 2)
    for thing, place in ((ROBOT, (0.0, 0.0)), (DOG, (1.0, 0.1)), (BALL, (2.0, 0.0))):
        logit[thing], xy[thing] = 20.0, torch.tensor(place)
    if not dog:
        logit[DOG] = -20.0
    goal = torch.zeros(FEATURES)
    goal[:PLACE] = _where(torch.tensor([20.0 if named else -20.0]), xy[None, BALL])[0]
    mat = PLACE + LANDMARKS.index("mat") * (PLACE + 2)
    goal[mat : mat + PLACE] = _where(torch.tensor([20.0]), torch.tensor([[0.0, 1.5]]))[0]
    pose = torch.zeros(TRACKED_POSES)
    pose[:2] = torch.tensor([np.cos(heading), np.sin(heading)])
    return Context([], [], None, None, torch.cat([goal, _where(logit, xy).flatten(), pose])[None]), xy


def codes(robot: torch.Tensor, dog: torch.Tensor, *, turn: float = 0.0, ball: torch.Tensor | None = None) -> torch.Tensor:
    raw = torch.zeros(1, FRAMES, MotionConfig().code)
    raw[0, :, :2], raw[0, :, 7:9] = robot, dog
    raw[0, :, 9:11] = torch.tensor([np.cos(turn) - 1, np.sin(turn)])
    if ball is not None:
        raw[0, :, 11 + 2 * (BALL - 2) :][:, :2] = ball
    return (raw / units(THINGS - 2))[..., None, None]


def walk(x: float, y: float = 0.0) -> torch.Tensor:
    return torch.linspace(0, 1, FRAMES)[:, None] * torch.tensor([x, y])


def test_gaps_are_those_that_the_probe_would_read():
    here, xy = context()
    robot, dog = walk(2.0), walk(0.0, -0.5)
    found = geometry(codes(robot, dog, turn=0.7), here)
    assert found.shape == (1, FRAMES, GEOMETRY)
    for step in range(FRAMES):
        place = tuple((xy[DOG] + dog[step]).tolist())
        reading = Reading(1.0, tuple(robot[step].tolist()), (0.0, 0.0), 1.0, place, 1.0, {})
        assert float(found[0, step, GAP]) == pytest.approx(reading.dog_gap(), abs=1e-4)


def test_a_touch_is_not_undone_by_walking_on():
    here, _ = context()
    through = geometry(codes(walk(3.0), walk(0.0)), here)
    assert float(through[0, -1, GAP]) > 0
    assert touched(through).tolist() == [True]
    assert touched(geometry(codes(walk(0.0, 1.5), walk(0.0)), here)).tolist() == [False]
    assert touched(geometry(codes(walk(3.0), walk(0.0)), context(dog=False)[0])).tolist() == [False]


def test_the_named_thing_is_followed_and_its_way_to_the_mat_is_known():
    here, xy = context()
    ball = walk(-2.0, 1.5)
    found = geometry(codes(walk(0.0), walk(0.0), ball=ball), here)
    left, to_mat = found[0, :, LEFT], found[0, :, TO_MAT]
    torch.testing.assert_close(left, (xy[BALL] + ball).norm(dim=-1).clamp(max=2), atol=0.02, rtol=0)
    assert float(to_mat[-1]) == pytest.approx(0.0, abs=0.02)
    unnamed = geometry(codes(walk(0.0), walk(0.0), ball=ball), context(named=False)[0])
    assert (unnamed[0, :, LEFT] == 2).all(), "nothing was asked for"


def test_a_world_model_without_a_tracker_is_refused():
    with pytest.raises(ValueError, match="tracker"):
        geometry(codes(walk(1.0), walk(0.0)), Context([], [], None, None))
