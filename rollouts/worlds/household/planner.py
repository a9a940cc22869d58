"""Shortest cheap paths over the floor: Dijkstra on a 10 cm grid whose cost rises inside every obstacle's clearance."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from .scene import ROOM_HALF

_CELL = 0.1
_LIMIT = ROOM_HALF - 0.3
_AXIS = np.arange(-_LIMIT, _LIMIT + 1e-6, _CELL)
_SIDE = len(_AXIS)
_POINTS = np.stack(np.meshgrid(_AXIS, _AXIS, indexing="ij"), -1).reshape(-1, 2)


@dataclass(frozen=True)
class Obstacle:
    """A disc, or a capsule where `end` differs from `start`; the robot's centre should stay `clearance` metres away."""

    start: tuple[float, float]
    clearance: float
    end: tuple[float, float] | None = None

    def distance(self, points_N2: np.ndarray) -> np.ndarray:
        start = np.array(self.start)
        if self.end is None:
            return np.hypot(*(points_N2 - start).T)
        along = np.array(self.end) - start
        share = np.clip((points_N2 - start) @ along / (along @ along), 0, 1)
        return np.hypot(*(points_N2 - start - share[:, None] * along).T)


def _edges() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index = np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE)
    rows, columns, lengths = [], [], []
    for dx in range(-2, 3):
        for dy in range(-2, 3):
            if np.gcd(dx, dy) != 1:
                continue
            source = index[max(0, -dx) : _SIDE - max(0, dx), max(0, -dy) : _SIDE - max(0, dy)]
            sink = index[max(0, dx) : _SIDE + min(0, dx), max(0, dy) : _SIDE + min(0, dy)]
            rows.append(source.ravel())
            columns.append(sink.ravel())
            lengths.append(np.full(source.size, _CELL * np.hypot(dx, dy)))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(lengths)


_ROWS, _COLUMNS, _LENGTHS = _edges()


@functools.lru_cache(maxsize=8)
def _tree(goal: tuple[float, float], obstacles: tuple[Obstacle, ...]) -> tuple[int, np.ndarray]:
    """The grid point of the goal, and for each grid point the next one on its cheapest path there."""
    cost = np.ones(len(_POINTS))
    for obstacle in obstacles:
        depth = 1 - obstacle.distance(_POINTS) / obstacle.clearance
        cost += 4.0 * np.clip(depth + 0.25, 0, None) ** 2 + 60.0 * np.clip(depth, 0, None)
    weights = _LENGTHS * 0.5 * (cost[_ROWS] + cost[_COLUMNS])
    graph = csr_matrix((weights, (_ROWS, _COLUMNS)), shape=(len(_POINTS),) * 2)
    source = int(np.argmin(np.hypot(*(_POINTS - goal).T)))
    _, previous = dijkstra(graph, directed=False, indices=source, return_predecessors=True)
    return source, previous


def next_point(robot: np.ndarray, goal: np.ndarray, obstacles: list[Obstacle], lookahead: float = 0.4) -> np.ndarray:
    """The point [2] to head for now, about `lookahead` metres along the cheapest path from `robot` to `goal`.

    The world is rounded to 2 cm, so that the paths of a still scene are found once.
    """
    source, previous = _tree(_rounded(goal), tuple(Obstacle(_rounded(o.start), o.clearance, o.end and _rounded(o.end)) for o in obstacles))
    here = int(np.argmin(np.hypot(*(_POINTS - robot).T)))
    while here != source and np.hypot(*(_POINTS[here] - robot)) < lookahead:
        here = int(previous[here])
    return goal if here == source else _POINTS[here]


def _rounded(xy) -> tuple[float, float]:
    return round(float(xy[0]) * 50) / 50, round(float(xy[1]) * 50) / 50
