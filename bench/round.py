"""A round end to end on this machine: how long it takes, and where the time goes.

    python -m bench.round                 # 200 choices, the default settings
    python -m bench.round --lora          # also compares adapters with a frozen copy

Writes bench/results/round.json: `round_minutes` (goal 15, moonshot 10 on 2 cores), `round_share_<stage>`, `dpo_gemm_share` (share of the
measured matrix multiplication rate that a DPO step reaches; goal 0.5), `dpo_multiplying` (share of its time that passes in multiplications),
`dpo_gemm_share_multiplying` (what it reaches in that time, and so what it could reach if it did nothing else), `dpo_steps_per_s`, and with --lora the
same for adapters.
The choices are those of simulated annotators about fresh rollouts; making them is not part of the round and not timed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.common import RESULTS, ROOT, figure, finish_round, gemm_rate, product, write_results

MULTIPLICATIONS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mkldnn_convolution", "aten::convolution_backward")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--choices", type=int, default=200)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--source", choices=("generated", "captured"), default="captured")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--weights", type=Path, help="base weights other than the shipped ones")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "round-bench")
    options = parser.parse_args()
    with product(options.home):
        measure(options)


def measure(options: argparse.Namespace) -> None:
    import torch

    from bench.proof_arms import Experience, choices_make, frames_make
    from core.models import User
    from core.people import person_ensure
    from labeling.simulate import Judge
    from rollouts.services import base_version_ensure, policy_load
    from training.services import round_start
    from training.services.snapshots import snapshot_directory

    started = time.time()
    if options.threads:
        torch.set_num_threads(options.threads)
    by = person_ensure(username="bench", roles=("admin", "researcher"))
    base = base_version_ensure(directory=options.weights)
    wanted = Experience(options.frames, options.rollouts, options.choices, options.source)
    frames = frames_make(seed=0, wanted=wanted, version=base, by=by)
    policy = policy_load(base)
    counts = choices_make(seed=0, wanted=wanted, version=base, frames=frames, say=print, judge=Judge(policy.probe), uniformly=False)
    careful = User.objects.get(username="careful-s0-1")
    row = round_start(parent=base, settings={"choices": {"annotators": [careful.pk]}, "auto_promote": False}, created_by=by)
    row = finish_round(row)
    if row.gate is None:
        raise SystemExit(f"the round ended {row.state}: {row.error}")
    total = sum(row.seconds.values())
    figures = {"round_minutes": figure(total / 60, n=counts["choices_careful"], unit="minutes of work, snapshot to decision; n choices")}
    for stage, seconds in row.seconds.items():
        figures[f"round_share_{stage}"] = figure(seconds / total, n=1, unit=f"of the time: {seconds:.0f} s")
    directory = snapshot_directory(row.snapshot)
    figures |= step_figures(policy, directory, "dpo", {})
    if options.lora:
        figures |= step_figures(policy, directory, "lora", {"adapt": "lora"})
    write_results("round", figures, started, options.home / "results" if options.weights else RESULTS)


def step_figures(policy: Any, directory: Path, name: str, settings: dict[str, Any], steps: int = 12) -> dict[str, dict[str, Any]]:
    """Speed of DPO steps alone, and the share of the measured matrix multiplication rate that they reach.

    Counted are the multiplications of the forward and backward passes of the trained model and the forward pass of the
    reference (torch's FlopCounterMode, two operations each).
    """
    import copy

    from torch.utils.flop_counter import FlopCounterMode

    from training.learn.dpo_settings import DPOSettings
    from training.learn.policy_flow import PolicyFlow
    from training.learn.post_train import PostTrain
    from training.learn.preferences import PreferenceData
    from training.services.stages import text_encoder

    with tempfile.TemporaryDirectory() as out:
        recipe = PostTrain(
            DPOSettings.from_dict({"motion_dreams": 0, "held_out": 0.0, **settings}),
            PreferenceData.load(directory),
            copy.deepcopy(policy.world_model),
            text_encoder(policy),
            Path(out),
            view=PolicyFlow.of,
            own_C=policy.motion.own,
        )
        recipe.setup()
        recipe.step(0)
        with FlopCounterMode(display=False) as counter:
            recipe.step(1)
        rate = gemm_rate()
        began = time.perf_counter()
        for step in range(2, 2 + steps):
            recipe.step(step)
        seconds = (time.perf_counter() - began) / steps
        rate = max(rate, gemm_rate())  # a neighbour who takes the processor meanwhile would make the share look better
        spent = multiplying(recipe, range(2 + steps, 2 + 2 * steps))
    share = counter.get_total_flops() / seconds / rate
    return {
        f"{name}_gemm_share": figure(share, n=steps, unit=f"of {rate / 1e9:.0f} GFLOP/s measured"),
        f"{name}_multiplying": figure(spent, n=steps, unit="of a step's time"),
        f"{name}_gemm_share_multiplying": figure(share / spent, n=steps, unit="of the measured rate, while it multiplies"),
        f"{name}_steps_per_s": figure(1 / seconds, n=steps, unit="steps per second"),
    }


def multiplying(recipe: Any, steps: range) -> float:
    """Share of the time of these steps that passes within matrix products and convolutions, as torch's profiler sees it."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for step in steps:
            recipe.step(step)
    rows = seen.key_averages()
    return sum(row.self_cpu_time_total for row in rows if row.key in MULTIPLICATIONS) / sum(row.self_cpu_time_total for row in rows)


if __name__ == "__main__":
    main()
