"""One process, or as many as ``torchrun`` starts: the recipe reads the same either way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """The processes that train together. A single process is a world of size 1."""

    rank: int
    size: int
    device: torch.device

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
        """DistributedDataParallel in a world of several, the module itself otherwise."""
        if self.size == 1:
            return module
        return DistributedDataParallel(module)

    def no_sync(self, module: nn.Module, last: bool):
        """Skip the gradient exchange for all but the last micro-batch of a step."""
        if isinstance(module, DistributedDataParallel) and not last:
            return module.no_sync()
        return nullcontext()

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextmanager
def join_world() -> Iterator[World]:
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
            yield World(rank, size, torch.device(device))
        finally:
            dist.destroy_process_group()
    else:
        yield World(rank, size, torch.device(device))
