"""One process, or as many as ``torchrun`` starts: the recipe reads the same either way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes that train together. A single process is a world of size 1.

    sharded  every process keeps its part of weights, gradients and optimiser state (FSDP2) instead of a copy of all (DDP).
    """

    rank: int
    size: int
    device: torch.device
    sharded: bool = False

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This rank's contiguous share of ``count`` items; shares differ by at most one item."""
        small, extra = divmod(count, self.size)
        start = self.rank * small + min(self.rank, extra)
        return slice(start, start + small + (self.rank < extra))

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks; the value itself in a world of one."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wrap(self, module: nn.Module) -> nn.Module:
        """DistributedDataParallel or FSDP2 in a world of several, the module itself otherwise.

        FSDP2 changes the module in place and replaces its parameters: make the optimiser afterwards.
        """
        if self.size == 1:
            return module
        if self.sharded:
            return fully_shard(module)
        return DistributedDataParallel(module)

    def no_sync(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Skip the gradient exchange for all but the last micro-batch of a step."""
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(last)
        elif isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        return nullcontext()

    @contextmanager
    def whole(self, module: nn.Module) -> Iterator[None]:
        """All weights on every process, for whatever runs outside the wrapped module's own forward pass."""
        if not isinstance(module, FSDPModule):
            yield
            return
        module.unshard()
        try:
            yield
        finally:
            module.reshard()

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


def gathered(value: Tensor) -> Tensor:
    """A sharded tensor in one piece on every process (all of them must ask); any other as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def laid_out_like(value: Tensor, other: Tensor) -> Tensor:
    """The inverse of `gathered`: `value` sharded as `other` is."""
    return distribute_tensor(value.to(other.device), other.device_mesh, other.placements) if isinstance(other, DTensor) else value


@contextmanager
def join_world(sharded: bool = False) -> Iterator[World]:
    """Join the process group that torchrun described in the environment, and leave it at the end.

    NCCL with one GPU a process where CUDA is present, gloo otherwise.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else "cpu"
    if size > 1 and not dist.is_initialized():
        if cuda:
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
        try:
            yield World(rank, size, torch.device(device), sharded)
            dist.barrier()  # who leaves while another one still talks to it may take it down
        finally:
            dist.destroy_process_group()
    else:
        yield World(rank, size, torch.device(device), sharded)
