"""Rectified flow (Liu et al. 2022; Lipman et al. 2023) with x-prediction: x_t = (1 - t) x + t noise, v = noise - x.

The network predicts x; since x_t - x = t v, the velocity is (x_t - x_predicted) / t. t = 1 is pure noise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch

from .transformer import Context, VideoTransformer

T_MIN = 0.05  # the velocity of an x-prediction is unbounded as t -> 0; errors below this level are not weighed further


def mix(x: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """x_t for x, noise [B, ...] and t [B]."""
    t = t.view(-1, *[1] * (x.ndim - 1))
    return (1 - t) * x + t * noise


def sample_times(n: int, *, generator: torch.Generator | None = None, device=None, mean: float = 0.4, std: float = 1.0) -> torch.Tensor:
    """[n] logit-normal noise levels (Esser et al. 2024), leaning to noise: most of what a dream decides is decided there."""
    return torch.sigmoid(torch.randn(n, generator=generator, device=device) * std + mean)


def velocity_error(model: VideoTransformer, x: torch.Tensor, context: Context, *, noise: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Unreduced squared velocity error [B, T, C, h, w] of x [B, T, C, h, w] at given noise and times t [B]: the flow
    matching loss before its mean. Both are arguments so that two clips, or two models, can share them (Flow-DPO)."""
    predicted = model.predict(mix(x, noise, t), t, context)
    scale = t.clamp(min=T_MIN).view(-1, *[1] * (x.ndim - 1))
    return ((predicted.float() - x) / scale) ** 2


def velocity(model: VideoTransformer, x_t: torch.Tensor, t: torch.Tensor, context: Context) -> torch.Tensor:
    """v [B, T, C, h, w] at x_t and t [B]."""
    predicted = model.predict(x_t, t, context)
    return (x_t - predicted) / t.clamp(min=T_MIN).view(-1, *[1] * (x_t.ndim - 1))


def sampler_times(steps: int, shift: float = 1.5) -> list[float]:
    """steps + 1 noise levels from 1 to 0, with more of them near 1 (shift > 1; Esser et al. 2024, eq. 23)."""
    if steps < 1:
        raise ValueError(f"{steps=} is not at least 1")
    even = [1 - i / steps for i in range(steps + 1)]
    return [shift * u / (1 + (shift - 1) * u) for u in even]


@torch.no_grad()
def sample(
    model: VideoTransformer,
    context: Context,
    noise: torch.Tensor,
    *,
    steps: int,
    guidance: float = 1.0,
    unconditional: Context | None = None,
    shift: float = 1.5,
    on_step: Callable[[int], None] | None = None,
) -> torch.Tensor:
    """Clean latents [B, T, C, h, w] from noise of that shape by Euler steps.

    guidance: 1 follows the text as it is, larger values push away from `unconditional` (classifier-free guidance,
    Ho & Salimans 2022), which is then required.
    """
    if guidance != 1.0 and unconditional is None:
        raise ValueError("guidance other than 1 needs the unconditional context")
    x = noise
    times = sampler_times(steps, shift)
    for index, (now, then) in enumerate(itertools.pairwise(times)):
        t = torch.full((len(x),), now, device=x.device, dtype=x.dtype)
        clean = model.predict(x, t, context)
        if guidance != 1.0:
            assert unconditional is not None
            blind = model.predict(x, t, unconditional)
            clean = blind + guidance * (clean - blind)
        # Euler on dx/dt = (x - clean) / t, written so that the last step lands on `clean` exactly.
        x = clean + (x - clean) * (then / now)
        if on_step:
            on_step(index + 1)
    return x
