"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) as parametrisations of linear weights.

With the adapter off the network is exactly its parent, so one set of weights serves as model and
reference. ``bench/round.py`` compares this with a frozen copy; the numbers decide the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """``W + scale * B A`` with A [rank, in], B [out, rank]; B starts at zero."""

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        out_features, in_features = weight.shape
        self.a = nn.Parameter(torch.randn(rank, in_features) / in_features**0.5)
        self.b = nn.Parameter(torch.zeros(out_features, rank))
        self.scale = alpha / rank
        self.enabled = True

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.b @ self.a) if self.enabled else weight


def lora_attach(model: nn.Module, *, rank: int, alpha: float, seed: int, leave: Sequence[nn.Module] = ()) -> list[nn.Parameter]:
    """Freeze the model, adapt every linear layer wider than the rank but those within `leave`, return the new parameters.

    Raises:
        ValueError: if no layer is wide enough.
    """
    model.requires_grad_(False)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    parameters: list[nn.Parameter] = []
    left = {module for part in leave for module in part.modules()}
    for module in list(model.modules()):
        if module not in left and isinstance(module, nn.Linear) and min(module.weight.shape) > rank:
            adapter = LowRank(module.weight, rank, alpha).to(module.weight)
            parametrize.register_parametrization(module, "weight", adapter)
            parameters += [adapter.a, adapter.b]
    torch.set_rng_state(state)
    if not parameters:
        raise ValueError(f"no linear layer is wider than the adapter: {rank=}")
    return parameters


@contextmanager
def lora_disabled(model: nn.Module) -> Iterator[nn.Module]:
    """The parent: the same module with every adapter off."""
    adapters = [module for module in model.modules() if isinstance(module, LowRank)]
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield model
    finally:
        for adapter in adapters:
            adapter.enabled = True


def lora_state(model: nn.Module) -> dict[str, Tensor]:
    """State dict with the adapters merged, under the names the plain model has."""
    merged: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            merged[f"{name}.weight"] = module.weight.detach()
    for name, value in model.state_dict().items():
        if ".parametrizations." not in name and not name.startswith("parametrizations."):
            merged[name] = value
    return merged
