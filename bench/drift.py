"""How far may the world drift from a dream before the policy should plan anew?

Plans without a dog are executed open loop twice from the same start: as they are, and with the robot driven back from the third step on,
as if something had got in its way. The drift of `training.learn.evaluate` is recorded at every step; the threshold that a plan as it is
exceeds in one step of a hundred is `drift_threshold` (`LoopOptions.drift`), and `drift_found` says in how many disturbed plans it is exceeded.

python -m bench.drift [--plans 100]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from bench.common import ROOT, figure, write_results
from bench.dreams import rate
from bench.policy import specs
from rollouts.dreams.policy import Policy
from rollouts.worlds.household.env import HouseholdEnv
from training.learn.evaluate import EpisodeSpec, LoopOptions, drift

DISTURBED_FROM = 2
BATCH = 10


def drifts(policy: Policy, env: HouseholdEnv, spec: EpisodeSpec, actions: np.ndarray, dream: torch.Tensor, steps: int, *, disturbed: bool) -> list[float]:
    """The drift after each of the first `steps` steps of a plan: actions [T, A], dream [T, C, h, w]."""
    env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
    start, found = policy.encode(env.render()), []
    for index in range(steps):
        action = actions[index].copy()
        if disturbed and index >= DISTURBED_FROM:
            action[:2] *= -1
        env.step(action)
        found.append(drift(policy.encode(env.render()), dream[index], start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--plans", type=int, default=100)
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    began, env = time.time(), HouseholdEnv()
    steps = LoopOptions().execute
    plain: list[list[float]] = []
    disturbed: list[list[float]] = []
    wanted = specs("go", options.plans, {"dog": "absent"})
    for first in range(0, len(wanted), BATCH):
        part, frames = wanted[first : first + BATCH], []
        for spec in part:
            env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
            frames.append(env.render())
        plan = policy.plan(np.stack(frames), [spec.prompt for spec in part], seeds=[[first + i] for i in range(len(part))])
        for spec, actions, dream in zip(part, plan.actions, plan.frames, strict=True):
            plain.append(drifts(policy, env, spec, actions, dream, steps, disturbed=False))
            disturbed.append(drifts(policy, env, spec, actions, dream, steps, disturbed=True))
    env.close()
    usual = np.concatenate(plain)
    threshold = float(np.quantile(usual, 0.99))
    rng = np.random.default_rng(0)
    low, high = np.quantile(
        [np.quantile(np.concatenate([plain[i] for i in rng.integers(len(plain), size=len(plain))]), 0.99) for _ in range(500)], [0.025, 0.975]
    )
    figures = {
        "drift_threshold": figure(threshold, n=len(usual), low=float(low), high=float(high), unit="mean squared latent distance"),
        "drift_median": figure(float(np.median(usual)), n=len(usual), unit="mean squared latent distance"),
        "drift_found": rate(sum(max(found) > threshold for found in disturbed), len(disturbed)),
        "drift_false_alarms": rate(sum(max(found) > threshold for found in plain), len(plain)),
        "drift_found_now": rate(sum(max(found) > LoopOptions().drift for found in disturbed), len(disturbed)),
        "drift_false_alarms_now": rate(sum(max(found) > LoopOptions().drift for found in plain), len(plain)),
    }
    write_results("drift", figures, began)


if __name__ == "__main__":
    main()
