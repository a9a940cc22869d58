"""The training loop that every recipe here shares: Muon + AdamW, warm-up and decay, EMA, resumable safetensors checkpoints.
One process, or several under torchrun, each with batches of its own.

A recipe is a module whose `forward(step_generator)` returns (loss, metrics); the loop knows nothing else about it.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from .distributed import World
from .muon import muon

_SAVE_SECONDS = 300  # a checkpoint at least so often, however long a step takes


@dataclass(frozen=True)
class LoopSettings:
    """steps: of the optimiser, in all. seconds: stop earlier, with the decay finished by then (0: no limit).
    lr: AdamW's; muon_lr: Muon's, for the matrices of `muon_modules` (0: AdamW for all). warmup: steps. decay: share of the
    run in which the rate falls to zero. ema: decay of the weights' moving average. clip: gradient norm. seed: of data and noise.
    """

    steps: int = 10_000
    seconds: float = 0.0
    lr: float = 1e-3
    muon_lr: float = 0.0
    weight_decay: float = 0.01
    warmup: int = 200
    decay: float = 0.4
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 0
    save_every: int = 1000
    log_every: int = 100
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.decay <= 1 or not 0 <= self.ema < 1:
            raise ValueError(f"bad settings: {self.steps=} {self.decay=} {self.ema=}")


def optimisers(module: nn.Module, muon_modules: list[nn.Module], settings: LoopSettings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside `muon_modules`, AdamW for everything else."""
    matrices = []
    if settings.muon_lr:
        matrices = [p for m in muon_modules for p in m.parameters() if p.ndim == 2 and min(p.shape) > 8 and p.requires_grad]
    chosen = {id(p) for p in matrices}
    others = [p for p in module.parameters() if id(p) not in chosen and p.requires_grad]
    fused = others[0].is_cuda if others else False
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=settings.lr, betas=(0.9, 0.98), weight_decay=settings.weight_decay, fused=fused)]
    if matrices:
        found.append(muon(matrices, lr=settings.muon_lr, weight_decay=settings.weight_decay))
    return found


class Loop:
    """Trains `recipe`; `model` is the part that is averaged and saved. `run` may be called again on a directory: it resumes."""

    def __init__(
        self,
        recipe: nn.Module,
        model: nn.Module,
        directory: Path,
        settings: LoopSettings,
        *,
        muon_modules: list[nn.Module] = (),  # type: ignore[assignment]
        log: Callable[[int, dict], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        world: World | None = None,
    ):
        self.world = world or World(0, 1, torch.device("cpu"))
        if self.world.size > 1 and settings.seconds:
            raise ValueError("a time limit would stop the processes at different steps: give steps instead")
        self.recipe, self.model, self.directory, self.settings = recipe, model, directory, settings
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimisers = optimisers(recipe, list(muon_modules), settings)
        self.rates = [group["lr"] for o in self.optimisers for group in o.param_groups]
        self.log, self.should_stop = log or _print, should_stop or (lambda: False)
        self.step, self.elapsed = 0, 0.0
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def progress(self) -> float:
        """0..1, by steps or by time, whichever is further."""
        by_time = self.elapsed / self.settings.seconds if self.settings.seconds else 0.0
        return min(1.0, max(self.step / self.settings.steps, by_time))

    def run(self) -> nn.Module:
        """Returns the averaged model."""
        self._resume()
        settings, device = self.settings, next(self.model.parameters()).device
        began, before = time.monotonic(), self.elapsed
        saved = began
        self.recipe.train()
        recipe = self.world.wrap(self.recipe)
        sums: dict[str, torch.Tensor] = {}
        while self.progress < 1.0 and not self.should_stop():
            self._set_rate()
            # Every step has its own generator: a resumed run draws what the uninterrupted one would have drawn.
            seed = (settings.seed * 1_000_003 + self.step) * self.world.size + self.world.rank
            generator = torch.Generator(device=device).manual_seed(seed)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.bf16):
                loss, metrics = recipe(generator)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.recipe.parameters(), settings.clip)
            for optimiser in self.optimisers:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            self._average()
            self.step += 1
            self.elapsed = before + time.monotonic() - began
            for name, value in {"loss": loss.detach(), "grad_norm": norm, **metrics}.items():
                sums[name] = sums.get(name, 0.0) + torch.as_tensor(value).detach()  # type: ignore[operator]
            if self.step % settings.log_every == 0:
                if self.world.is_main:
                    self.log(self.step, {name: float(total) / settings.log_every for name, total in sums.items()} | {"seconds": self.elapsed})
                sums = {}
            if self.step % settings.save_every == 0 or time.monotonic() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.average

    def _set_rate(self) -> None:
        warm = min(1.0, (self.step + 1) / self.settings.warmup)
        cool = min(1.0, (1.0 - self.progress) / self.settings.decay)
        groups = [group for o in self.optimisers for group in o.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm * max(cool, 0.01)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.settings.ema, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    # ------------------------------------------------------------------ checkpoints

    def save(self) -> None:
        """The main process writes; whole or not at all."""
        if not self.world.is_main:
            return
        tensors = {f"recipe.{name}": value for name, value in self.recipe.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, optimiser in enumerate(self.optimisers):
            for key, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser{index}.{key}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors = {name: value.detach().clone().contiguous().cpu() for name, value in tensors.items()}
        partial = self.directory / "checkpoint.partial"
        save_file(tensors, partial, metadata={"progress": json.dumps({"step": self.step, "elapsed": self.elapsed})})
        partial.rename(self.directory / "checkpoint.safetensors")

    def _resume(self) -> None:
        path = self.directory / "checkpoint.safetensors"
        if not path.exists():
            return
        with safe_open(path, "pt") as file:
            progress = json.loads(file.metadata()["progress"])
        tensors = load_file(path)
        self.recipe.load_state_dict(_under(tensors, "recipe."))
        self.average.load_state_dict(_under(tensors, "average."))
        for index, optimiser in enumerate(self.optimisers):
            state: dict[int, dict] = {}
            for name, value in _under(tensors, f"optimiser{index}.").items():
                key, field = name.split(".", 1)
                state.setdefault(int(key), {})[field] = value
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        self.step, self.elapsed = progress["step"], progress["elapsed"]


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _print(step: int, metrics: dict) -> None:
    print(f"step {step} " + " ".join(f"{name}={value:.4g}" for name, value in metrics.items()), flush=True)
