"""Speed on this machine: dreams per second for batches of 1 and 8, a training step against the machine's matrix rate, memory.

python -m bench.speed
"""

from __future__ import annotations

import argparse
import copy
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from bench.common import ROOT, figure, gemm_rate, write_results
from rollouts.dreams.flow import sample_times, velocity_error
from rollouts.dreams.policy import Policy
from rollouts.dreams.precision import autocast
from rollouts.dreams.transformer import VideoTransformer
from training.learn.pretrain import compile_parts

TEXT_TOKENS = 8


def step_flops(model: VideoTransformer, batch: int) -> float:
    """Multiply-adds of a forward pass twice, times three for the backward: the usual count of a training step."""
    c = model.config
    context = c.start_tokens + TEXT_TOKENS
    tokens = c.tokens + context
    matrices = c.layers * 12 * c.width**2 * tokens
    attention = c.layers * 2 * c.width * (c.tokens * tokens + context**2)
    start_cell = c.start_channels * c.start_patch**2
    ends = c.width * (2 * c.tokens * c.channels * c.patch**2 + TEXT_TOKENS * c.text_width + c.start_tokens * start_cell * 2)
    return 3 * 2 * batch * (matrices + attention + ends)


def train_step_seconds(model: VideoTransformer, batch: int, *, compiled: bool, repeats: int = 8) -> list[float]:
    """Seconds of a step; compiled: as `pretrain --compile` runs it."""
    c, model = model.config, copy.deepcopy(model)
    if compiled:
        compile_parts(model)
    model.train().requires_grad_(True)
    x, start = torch.randn(batch, *c.latent_shape), torch.randn(batch, c.start_channels, c.start_grid, c.start_grid)
    text, mask = torch.randn(batch, TEXT_TOKENS, c.text_width), torch.ones(batch, TEXT_TOKENS, dtype=torch.bool)
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        with autocast("cpu"):
            error = velocity_error(model, x, model.encode_context(start, text, mask), noise=torch.randn_like(x), t=sample_times(batch))
        error.mean().backward()
        model.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - began)
    return times[2:]


def dream_seconds(policy: Policy, n: int, repeats: int = 8) -> list[float]:
    size = policy.codec.config.size
    frame = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    times = []
    for index in range(repeats + 2):
        began = time.perf_counter()
        policy.dream(frame, "go to the red ball", n=n, seed=index)
        times.append(time.perf_counter() - began)
    return times[2:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    options = parser.parse_args()
    policy = Policy.load(options.weights)
    began = time.time()
    length = policy.world_model.config.frames / policy.fps
    figures = {}
    for n in (1, 8):
        times = dream_seconds(policy, n)
        factors = sorted(n * length / t for t in times)
        figures[f"realtime_factor_n{n}"] = figure(statistics.median(factors), n=len(times), low=factors[0], high=factors[-1], unit="dreamed s / s")
        figures[f"dream_seconds_n{n}"] = figure(statistics.median(times), n=len(times), low=min(times), high=max(times), unit="s")
    ceiling = gemm_rate()
    for name, compiled in (("train_gemm_share", True), ("train_gemm_share_eager", False)):
        times = train_step_seconds(policy.world_model, 64, compiled=compiled)
        shares = sorted(step_flops(policy.world_model, 64) / t / ceiling for t in times)
        figures[name] = figure(statistics.median(shares), n=len(shares), low=shares[0], high=shares[-1], unit="share")
    figures["gemm_gflops"] = figure(ceiling / 1e9, n=1, unit="GFLOP/s, the best of ten windows")
    figures["peak_memory"] = figure(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, n=1, unit="GiB")
    write_results("speed", figures, began)


if __name__ == "__main__":
    main()
