"""Start frames near a given one: the same words and nearly the same noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from .policy import Policy


def imagine_like(policy: Policy, scene: str, *, like: int, closeness: float, n: int, seed: int = 0) -> np.ndarray:
    """n start frames uint8 [n, H, W, 3] of `scene` near the one that `policy.imagine(scene, n=1, seed=like)` gives.

    Frame i starts from sqrt(closeness) * noise(like) + sqrt(1 - closeness) * noise(seed + i), which is standard normal again;
    closeness 1 is the frame itself, 0 is `imagine` with `seed`.

    Raises ValueError for an empty description, n < 1, or a closeness outside 0..1.
    """
    if n < 1:
        raise ValueError("n >= 1 is needed")
    if not 0 <= closeness <= 1:
        raise ValueError(f"{closeness=} is not in 0..1")
    shape = policy.layouts.config.latent_shape

    def noise(of: int) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(of))

    base = math.sqrt(closeness) * noise(like)
    return policy.imagine_from(scene, torch.stack([base + math.sqrt(1 - closeness) * noise(seed + i) for i in range(n)]))
