"""Perceptual hashes: near duplicates differ in few bits."""

from __future__ import annotations

import numpy as np
from PIL import Image

BITS = 64


# Of the brightness and of each of the two colour channels. Brightness alone hardly told frames of one room apart: walls and
# furniture decide most of its bits, and things of other colours on another floor the fewest.
COEFFICIENTS = (16, 24, 24)
SIDE = 32


def phash(frame: np.ndarray) -> int:
    """DCT hash of a frame, uint8 [H, W, 3] -> signed 64-bit integer.

    The frame is shrunk to 32x32 in YCbCr, and the signs of each channel's lowest DCT coefficients (without the mean) against
    their median are the bits (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", for the
    brightness). Signed, since that is what a PostgreSQL bigint holds.
    """
    small = Image.fromarray(frame).convert("YCbCr").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    channels = np.asarray(small, dtype=np.float64)
    bits: list[bool] = []
    for channel, count in enumerate(COEFFICIENTS):
        low = _BASIS @ channels[..., channel] @ _BASIS.T
        values = np.array([low[place] for place in _ZIGZAG[1 : count + 1]])
        bits += list(values > np.median(values))
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    return value - (1 << BITS) if value >= 1 << (BITS - 1) else value


_LOW = 8
# DCT-II without scaling, [8, 32]; and the places of its products in the order of their frequency.
_BASIS = np.cos(np.pi * (2 * np.arange(SIDE)[None] + 1) * np.arange(_LOW)[:, None] / (2 * SIDE))
_ZIGZAG = sorted(((i, j) for i in range(_LOW) for j in range(_LOW)), key=lambda place: (sum(place), place))


def distance(a: int, b: int) -> int:
    """Number of differing bits, 0..64."""
    return ((a ^ b) & ((1 << BITS) - 1)).bit_count()
