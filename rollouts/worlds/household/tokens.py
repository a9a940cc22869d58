"""Scenes of the household world as the tokens of `rollouts.dreams.scenes`: one for each thing that can be in a room."""

from __future__ import annotations

import numpy as np

from .factors import DOG_COATS, FLOORS, LIGHTS, MAX_CLUTTER, OBJECTS, WALLS
from .layout import Layout

ENTITIES = ("robot", "dog", *OBJECTS, "mat", *(f"block {i + 1}" for i in range(MAX_CLUTTER)), "floor", "walls", "light")
ROBOT, DOG, FIRST_OBJECT = 0, 1, 2
_FACTS = 9  # `scenes.FACTS`: present, x, y, cosine and sine of the heading, four attributes


def scene_tokens(layout: Layout) -> np.ndarray:
    """float32 [len(ENTITIES), 9] of the start of an episode. Attributes: of the robot how far its left and right hand are raised (0..1);
    of the dog whether it lies (1, else -1) and its coat; of floor, walls and light which of the palette (1 for it, -1 for the others)."""
    rows = np.zeros((len(ENTITIES), _FACTS), np.float32)
    rows[:, 0] = -1
    factors = layout.factors

    def put(name: str, xy: tuple[float, float] = (0.0, 0.0), yaw: float | None = None, attributes: list[float] | None = None) -> None:
        heading = (0.0, 0.0) if yaw is None else (np.cos(yaw), np.sin(yaw))
        rows[ENTITIES.index(name)] = (1, *xy, *heading, *((attributes or []) + [0.0] * 4)[:4])

    put("robot", layout.robot[:2], layout.robot[2])
    if factors.dog != "absent":
        put("dog", layout.dog[:2], layout.dog[2], [1.0 if factors.dog == "lying" else -1.0, *_one_of(factors.dog_coat, DOG_COATS)])
    for name, xy in zip(layout.objects, layout.object_xy, strict=True):
        put(name, xy)
    put("mat", layout.mat)
    for i, xy in enumerate(sorted(layout.clutter)):
        put(f"block {i + 1}", xy)
    put("floor", attributes=_one_of(factors.floor, FLOORS))
    put("walls", attributes=_one_of(factors.walls, WALLS))
    put("light", attributes=_one_of(factors.light, LIGHTS))
    return rows


def _one_of(value: str | None, names) -> list[float]:
    return [1.0 if name == value else -1.0 for name in names]
