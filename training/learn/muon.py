"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for machines without bfloat16 instructions.

torch's own orthogonalises in bfloat16; emulated, that takes half of a training step on a CPU. This one runs the same
iteration in float32, on all matrices of one shape at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch

from rollouts.dreams.precision import native_bfloat16


def muon(matrices: list[torch.Tensor], *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """The Muon that is faster where `matrices` lie."""
    if native_bfloat16(matrices[0].device):
        return torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Muon(matrices, lr=lr, weight_decay=weight_decay)


class Muon(torch.optim.Muon):
    """torch.optim.Muon with `adjust_lr_fn="match_rms_adamw"`, in float32. State and settings are the same: a checkpoint of either fits
    the other."""

    def __init__(self, params: Iterable[torch.Tensor], *, lr: float, weight_decay: float):
        super().__init__(params, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape].append(parameter)
            for shape, parameters in alike.items():
                updates = [self._momentum(parameter, group["momentum"], group["nesterov"]) for parameter in parameters]
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                directions = orthogonalised(torch.stack(updates), group["ns_coefficients"], group["ns_steps"], group["eps"])
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-rate)

    def _momentum(self, parameter: torch.Tensor, momentum: float, nesterov: bool) -> torch.Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum) if nesterov else buffer


def orthogonalised(matrices: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> torch.Tensor:
    """matrices [K, m, n] -> about U V^T of each matrix U S V^T, by the quintic Newton-Schulz iteration."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
