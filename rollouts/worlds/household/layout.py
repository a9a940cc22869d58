"""Where everything stands at the start of an episode, drawn from a seed under the scenario's factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .factors import DOG_COATS, DOG_PLACES, DOGS, FLOORS, LIGHTS, OBJECTS, WALLS, HouseholdFactors
from .tasks import KINDS, Task, train_targets

# How often episodes have which task and dog when neither is asked for.
TASK_ODDS = (0.60, 0.26, 0.035, 0.035, 0.035, 0.035)
DOG_ODDS = (0.30, 0.42, 0.18, 0.10)
PLACE_ODDS = (0.70, 0.15, 0.15)

_REACH = 1.27  # nothing starts nearer than 0.43 m to a wall
_FURNITURE = ((-0.95, 1.6, 0.62), (1.45, 1.45, 0.36))  # x, y, radius kept free


@dataclass(frozen=True)
class Layout:
    """Positions in metres, headings in radians; `objects[i]` stands at `object_xy[i]`; factors are all decided."""

    task: Task
    factors: HouseholdFactors
    robot: tuple[float, float, float]
    objects: tuple[str, ...]
    object_xy: tuple[tuple[float, float], ...]
    mat: tuple[float, float]
    clutter: tuple[tuple[float, float], ...]
    dog: tuple[float, float, float]
    dog_speed: float

    def state(self) -> dict:
        """What `describe.scene_clauses` needs of an environment's state, before any physics."""
        return {
            "robot": list(self.robot),
            "dog": None if self.factors.dog == "absent" else list(self.dog),
            "objects": {name: [*xy, 0.0] for name, xy in zip(self.objects, self.object_xy, strict=True)},
            "mat": list(self.mat),
        }


def sample(rng: np.random.Generator, wanted: HouseholdFactors, task: Task | None) -> Layout:
    """One layout; the same generator state gives the same layout."""
    factors = _decide(rng, wanted)
    if task is None:
        kind = str(rng.choice(KINDS, p=TASK_ODDS))
        task = Task(kind, str(rng.choice(train_targets(kind))) if kind in ("go", "bring") else "")
    while True:
        layout = _try(rng, factors, task)
        if layout is not None:
            return layout


def _decide(rng: np.random.Generator, wanted: HouseholdFactors) -> HouseholdFactors:
    drawn = HouseholdFactors(
        dog=str(rng.choice(DOGS, p=DOG_ODDS)),
        dog_place=str(rng.choice(DOG_PLACES, p=PLACE_ODDS)),
        dog_coat=str(rng.choice(list(DOG_COATS))),
        clutter=int(rng.choice(3, p=(0.7, 0.2, 0.1))),
        objects=int(rng.integers(2, 4)),
        light=str(rng.choice(LIGHTS, p=(0.85, 0.15))),
        floor=str(rng.choice(list(FLOORS))),
        walls=str(rng.choice(list(WALLS))),
    )
    return replace(drawn, **wanted.to_dict())


def _try(rng: np.random.Generator, factors: HouseholdFactors, task: Task) -> Layout | None:
    taken: list[tuple[float, float, float]] = list(_FURNITURE)

    def spot(radius: float) -> tuple[float, float] | None:
        for _ in range(40):
            x, y = rng.uniform(-_REACH, _REACH, 2)
            if all(np.hypot(x - a, y - b) > radius + r for a, b, r in taken):
                taken.append((x, y, radius))
                return float(x), float(y)
        return None

    mat = spot(0.45)
    robot = spot(0.38)
    names = _names(rng, task, factors.objects or 2)
    places = [spot(0.30) for _ in names]
    if mat is None or robot is None or None in places:
        return None
    goal = np.array(places[0])
    start = np.array(robot)
    on_path = factors.dog in ("lying", "walking") and factors.dog_place == "on_path"
    if (task.target or on_path) and np.hypot(*(goal - start)) < (1.75 if on_path else 1.25):
        return None
    dog = (0.0, 0.0, 0.0)
    speed = 0.0
    if factors.dog != "absent":
        found = _dog_pose(rng, factors, start, goal, np.array(mat), places, task)
        if found is None:
            return None
        dog, speed = found
        taken.append((dog[0], dog[1], 0.45))
    clutter = [spot(0.2) for _ in range(factors.clutter or 0)]
    if None in clutter:
        return None
    order = rng.permutation(len(names))
    return Layout(
        task=task,
        factors=factors,
        robot=(*robot, float(rng.uniform(-np.pi, np.pi))) if task.target else (*robot, float(-np.pi / 2 + rng.normal(0, 0.5))),
        objects=tuple(names[i] for i in order),
        object_xy=tuple(places[i] for i in order),
        mat=mat,
        clutter=tuple(xy for xy in clutter if xy is not None),
        dog=dog,
        dog_speed=speed,
    )


def _names(rng: np.random.Generator, task: Task, count: int) -> list[str]:
    """The target first; no two objects of one colour, so that a viewer never has to tell a can from a cube."""
    names = [task.target] if task.target else []
    for name in rng.permutation(OBJECTS):
        if len(names) < count and name.split()[0] not in {other.split()[0] for other in names}:
            names.append(str(name))
    return names


def _dog_pose(rng, factors, start, goal, mat, places, task) -> tuple[tuple[float, float, float], float] | None:
    """Heading and place of the dog, or None where the layout has no room for it."""
    ahead = goal - start
    length = np.hypot(*ahead)
    ahead = ahead / length
    side = np.array([-ahead[1], ahead[0]]) * rng.choice((-1, 1))
    yaw = rng.uniform(-np.pi, np.pi)
    speed = float(rng.uniform(0.30, 0.45))
    if factors.dog == "walking" and factors.dog_place == "on_path":
        # It starts off the path so that it and a robot at 0.6 m/s meet about half-way.
        meet = start + ahead * length * rng.uniform(0.4, 0.6)
        xy = meet - side * speed * (length * 0.5 / 0.6) * rng.uniform(0.8, 1.2)
        yaw = np.arctan2(side[1], side[0])
    elif factors.dog == "following":
        angle = rng.uniform(-np.pi, np.pi)
        xy = start + rng.uniform(0.9, 1.4) * np.array([np.cos(angle), np.sin(angle)])
    elif factors.dog_place == "on_path":
        xy = start + ahead * length * rng.uniform(0.42, 0.62) + side * rng.normal(0, 0.08)
    elif factors.dog_place == "near_target":
        angle = rng.uniform(-np.pi, np.pi)
        xy = goal + rng.uniform(0.75, 0.95) * np.array([np.cos(angle), np.sin(angle)])
    else:
        xy = start + ahead * length * rng.uniform(0.2, 0.8) + side * rng.uniform(0.85, 1.3)
    if max(abs(xy)) > _REACH or np.hypot(*(xy - start)) < 0.80:
        return None
    if min(np.hypot(*(xy - np.array(p))) for p in places) < 0.72:
        return None
    if task.kind == "bring" and np.hypot(*(xy - mat)) < 0.9:
        return None
    if any(np.hypot(xy[0] - a, xy[1] - b) < r + 0.2 for a, b, r in _FURNITURE):
        return None
    return (float(xy[0]), float(xy[1]), float(yaw)), speed
