"""Sprite sheets: all frames of a rollout in one image. Knows nothing of Django."""

from __future__ import annotations

import numpy as np
from PIL import Image

COLUMNS = 5


def sprite_frames(image: Image.Image, frame_count: int, columns: int = COLUMNS) -> np.ndarray:
    """uint8 [frame_count, h, w, 3] out of a sheet: frame i at column i % columns, row i // columns.

    Raises ValueError for a sheet that is not made of whole frames.
    """
    sheet = np.asarray(image.convert("RGB"))
    rows = -(-frame_count // columns)
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    if height * rows != sheet.shape[0] or width * columns != sheet.shape[1]:
        raise ValueError(f"a sheet of {sheet.shape[1]} x {sheet.shape[0]} does not hold {frame_count} frames in {columns} columns")
    return np.stack(
        [sheet[height * (i // columns) : height * (i // columns + 1), width * (i % columns) : width * (i % columns + 1)] for i in range(frame_count)]
    )
