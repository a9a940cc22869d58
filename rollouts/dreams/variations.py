"""Start frames near a given one: the same words and nearly the same noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from . import flow
from .precision import autocast

if TYPE_CHECKING:
    from .policy import Policy

STEPS, GUIDANCE = 24, 2.0  # as `Policy.imagine`


@torch.no_grad()
def imagine_like(policy: Policy, scene: str, *, like: int, closeness: float, n: int, seed: int = 0) -> np.ndarray:
    """n start frames uint8 [n, H, W, 3] of `scene` near the one that `policy.imagine(scene, n=1, seed=like)` gives.

    Frame i starts from sqrt(closeness) * noise(like) + sqrt(1 - closeness) * noise(seed + i), which is standard normal again;
    closeness 1 is the frame itself, 0 is `imagine` with `seed`.

    Raises ValueError for an empty description, n < 1, or a closeness outside 0..1.
    """
    if not scene.strip() or n < 1:
        raise ValueError("a scene description and n >= 1 are needed")
    if not 0 <= closeness <= 1:
        raise ValueError(f"{closeness=} is not in 0..1")
    model, config = policy.start_frames, policy.start_frames.config
    contexts = []
    for words in (scene, ""):
        text, mask = policy.text.encode_scenes([words], config.text_tokens)
        with autocast(policy.device):
            contexts.append(model.encode_context(None, text.to(policy.device), mask.to(policy.device)).repeat(n))

    def noise(of: int) -> torch.Tensor:
        return torch.randn(config.latent_shape, generator=torch.Generator().manual_seed(of))

    base = math.sqrt(closeness) * noise(like)
    mixed = torch.stack([base + math.sqrt(1 - closeness) * noise(seed + i) for i in range(n)]).to(policy.device)
    with autocast(policy.device):
        codes = flow.sample(model, contexts[0], mixed, steps=STEPS, guidance=GUIDANCE, unconditional=contexts[1])
    return policy.decode(policy.scene.decode_scene(codes))
