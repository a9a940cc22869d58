"""One rollout as a vector: what the world model's latents, the path and the heads say of it."""

from __future__ import annotations

import numpy as np

# Raised when the recipe changes; stored vectors of another recipe are computed again.
RECIPE = 1


def rollout_vector(latents: np.ndarray, path: np.ndarray, value: float, success: float) -> np.ndarray:
    """Features of one rollout.

    latents  [T, C, h, w], the start frame not among them.
    path     [T+1, 2] metres on the floor.
    value    preference score of the value head; success in 0..1.

    Returns float64 [6 C + 8]: for each channel the spatial mean and deviation at the middle and at the end, the mean motion
    (root mean square of frame differences: dynamics-aware features need far fewer labels, REED) and the largest; then
    value, success, path end, net displacement, path length, longest step and mean |curvature|.

    Raises ValueError for arrays of another rank.
    """
    if latents.ndim != 4 or path.ndim != 2 or path.shape[1] != 2:
        raise ValueError(f"latents are [T, C, h, w] and path is [T+1, 2]; got {latents.shape=} {path.shape=}")
    latents = np.asarray(latents, dtype=np.float64)
    path = np.asarray(path, dtype=np.float64)
    middle, end = latents[len(latents) // 2], latents[-1]
    motion = np.sqrt((np.diff(latents, axis=0) ** 2).mean(axis=(2, 3))) if len(latents) > 1 else np.zeros_like(latents[:, :, 0, 0])
    steps = np.diff(path, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    bends = np.linalg.norm(np.diff(steps, axis=0), axis=1) if len(steps) > 1 else np.zeros(1)
    scalars = [value, success, *path[-1], np.linalg.norm(path[-1] - path[0]), lengths.sum(), lengths.max(initial=0.0), bends.mean()]
    parts = [
        middle.mean(axis=(1, 2)), middle.std(axis=(1, 2)), end.mean(axis=(1, 2)), end.std(axis=(1, 2)),
        motion.mean(axis=0), motion.max(axis=0), np.asarray(scalars),
    ]  # fmt: skip
    return np.nan_to_num(np.concatenate(parts))
