"""Perceptual hashes: near duplicates differ in few bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

BITS = 64


def phash(frame: np.ndarray) -> int:
    """DCT hash of a frame, uint8 [H, W, 3] -> signed 64-bit integer.

    The frame is shrunk to 32x32 grey, and the signs of its 8x8 lowest DCT coefficients against their median are
    the bits (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"). Signed, since
    that is what a PostgreSQL bigint holds.
    """
    grey = np.asarray(Image.fromarray(frame).convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    k = np.arange(8)[:, None]
    basis = np.cos(np.pi * (2 * np.arange(32)[None] + 1) * k / 64)  # [8, 32], DCT-II without scaling
    low = basis @ grey @ basis.T
    bits = (low > np.median(low.ravel()[1:])).ravel()
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    return value - (1 << BITS) if value >= 1 << (BITS - 1) else value


def distance(a: int, b: int) -> int:
    """Number of differing bits, 0..64."""
    return ((a ^ b) & ((1 << BITS) - 1)).bit_count()
