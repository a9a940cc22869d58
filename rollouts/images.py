"""Frames to bytes and back: PNG, sprite sheets, strips. Free of Django."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

COLUMNS = 5  # of a sprite sheet


def png_bytes(frame: np.ndarray) -> bytes:
    """uint8 [H, W, 3] -> PNG. Deterministic, so the same frame is the same blob."""
    out = io.BytesIO()
    Image.fromarray(frame, "RGB").save(out, "PNG", optimize=False, compress_level=6)
    return out.getvalue()


def png_decode(data: bytes) -> np.ndarray:
    """PNG of our own -> uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB")).copy()


def scaled(frame: np.ndarray, size: int) -> np.ndarray:
    """A square frame at another size; itself if it has that size."""
    if frame.shape[:2] == (size, size):
        return frame
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS)).copy()


def sprite_sheet(frames_THW3: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """Frames [T, H, W, 3] -> one sheet [rows*H, columns*W, 3]; frame i at column i % columns, row i // columns."""
    count, height, width, _ = frames_THW3.shape
    rows = -(-count // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, frame in enumerate(frames_THW3):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + height, x : x + width] = frame
    return sheet


def sprite_frames(sheet: np.ndarray, count: int, height: int, width: int, columns: int = COLUMNS) -> np.ndarray:
    """The inverse of `sprite_sheet`: [count, H, W, 3]."""
    return np.stack([sheet[i // columns * height : i // columns * height + height, i % columns * width : (i % columns + 1) * width] for i in range(count)])


def strip(frames_THW3: np.ndarray, pictures: int) -> np.ndarray:
    """Frames side by side, [H, n*W, 3]: at most `pictures` >= 2 of them, evenly spaced, the first and the last among them."""
    last = len(frames_THW3) - 1
    picked = sorted({round(number * last / (pictures - 1)) for number in range(pictures)})
    return np.concatenate([frames_THW3[i] for i in picked], axis=1)
