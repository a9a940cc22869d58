"""Checkpoints as safetensors: weights, optimiser state and progress in one file, never pickled.

A checkpoint appears by rename, so a run that is killed leaves the one before it or a whole new one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from training.learn.distributed import gathered, laid_out_like

NAME = "checkpoint.safetensors"


@dataclass
class Checkpoint:
    """Progress of a run, all that a resumption needs besides tensors."""

    identity: str
    step: int = 0
    best_step: int = 0
    lowest: list[float] = field(default_factory=list)  # held-out losses by pair where their mean was lowest
    worse: int = 0
    stopped: str = ""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Write a state dict atomically; tensors that share memory are written apart."""
    write_atomically({k: v.detach().cpu().clone().contiguous() for k, v in state.items()}, path, {})


def write_atomically(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata=metadata or None)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def save_checkpoint(out: Path, progress: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer, *, write: bool = True) -> None:
    """Write everything to ``out/checkpoint.safetensors``, in one form however many processes train.

    With sharded weights every process must call this, and one of them with ``write``.
    """
    tensors = {f"model/{k}": gathered(v.detach()).cpu().clone() for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer/{index}/{name}"] = gathered(torch.as_tensor(value)).cpu().clone()
    if not write:
        return
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    write_atomically(tensors, out / NAME, {"progress": json.dumps(asdict(progress))})


def load_checkpoint(out: Path, progress: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Restore in place; False if there is nothing to restore.

    Raises:
        ValueError: if the checkpoint belongs to other settings, data or parent: continuing it would
            give weights that no settings describe.
    """
    path = out / NAME
    if not path.exists():
        return False
    with safe_open(path, framework="pt") as file:
        body = json.loads(file.metadata()["progress"])
        if body["identity"] != progress.identity:
            raise ValueError(f"the checkpoint in {out} was made with other settings, data or parent; give another directory or remove it")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = model.state_dict()
    model.load_state_dict({k[6:]: laid_out_like(v, own[k[6:]]) for k, v in tensors.items() if k.startswith("model/")})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/", 2)
            parameter = parameters[int(index)]
            # The step counter is a number, not a tensor of the parameter's shape.
            state["state"].setdefault(int(index), {})[key] = laid_out_like(value, parameter) if value.shape == parameter.shape else value
    optimizer.load_state_dict(state)
    for key, value in body.items():
        setattr(progress, key, value)
    return True
