"""The room's fixed camera, and where a point of the world appears in the frame."""

from __future__ import annotations

import numpy as np

TARGET = np.array([0.0, -0.05, 0.14])
DISTANCE = 4.42
ELEVATION = np.deg2rad(56)
FOVY = 46.0

POSITION = TARGET + DISTANCE * np.array([0.0, -np.cos(ELEVATION), np.sin(ELEVATION)])
RIGHT = np.array([1.0, 0.0, 0.0])
UP = np.array([0.0, np.sin(ELEVATION), np.cos(ELEVATION)])


def to_frame(points_N2or3: np.ndarray) -> np.ndarray:
    """World points in metres ([N, 2] on the floor, or [N, 3]) -> [N, 2] in 0..1 of the frame, from its top left corner."""
    points = np.asarray(points_N2or3, float)
    if points.shape[-1] == 2:
        points = np.concatenate([points, np.zeros((len(points), 1))], -1)
    offset = points - POSITION
    depth = offset @ -np.cross(RIGHT, UP)
    reach = depth * np.tan(np.deg2rad(FOVY) / 2)
    return np.stack([0.5 + 0.5 * (offset @ RIGHT) / reach, 0.5 - 0.5 * (offset @ UP) / reach], -1)


def floor_homography() -> np.ndarray:
    """[3, 3]: maps (x, y, 1) on the floor to homogeneous frame coordinates in 0..1; what a policy's config carries."""
    floor = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    rows = []
    for (x, y), (u, v) in zip(floor, to_frame(floor), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y, -u], [0, 0, 0, x, y, 1, -v * x, -v * y, -v]]
    solution = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    return solution / solution[2, 2]
