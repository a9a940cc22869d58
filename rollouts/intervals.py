"""Intervals of shares, for every page and command that shows one. No Django in here: `training.learn` uses it too."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` trials (Wilson 1927), within 0..1. Without trials nothing is known: (0, 1).

    Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be in 0..n, got {successes} of {n}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends rounding would leave 1e-17 of a share that was never seen.
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)
