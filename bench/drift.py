"""How far may the world drift from a dream before the policy should plan anew?

Episodes without a dog are played as an evaluation plays them, planning anew after `LoopOptions.execute` steps and never for drift; what their steps
drift by (`training.learn.evaluate.drift`) is `usual`. Their first plans are also carried out with the robot driven back from the third step on, as if
something had got in its way (`disturbed`). Figures say what one usual step of a hundred exceeds, and of the threshold that is set
(`LoopOptions.drift`), how many disturbed plans exceed it and how many usual ones do, where the robot goes somewhere and where it brings something.

What a threshold does to success is what counts, and `python -m bench.drift --success` plays `--episodes` episodes of each task for some thresholds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.common import ROOT, figure, write_results
from bench.dreams import rate
from bench.policy import specs
from rollouts.dreams.policy import Policy
from rollouts.worlds.household.env import HouseholdEnv
from training.learn.evaluate import EpisodeSpec, drift, evaluate
from training.learn.suites import USUAL_LOOP

DISTURBED_FROM = 2
NO_DOG = {"dog": "absent"}
THRESHOLDS = (0.0, 0.65, 1.5, 3.0)


def usual(policy: Policy, env: HouseholdEnv, spec: EpisodeSpec, seed: int) -> list[list[float]]:
    """An episode to its end; the drift of every step of each plan."""
    env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
    plans: list[list[float]] = []
    over = False
    while not over:
        actions, dream, start = planned(policy, env, spec.prompt, seed + len(plans))
        plans.append([])
        for action, expected in zip(actions, dream, strict=False):
            *_, terminated, truncated, _ = env.step(action)
            plans[-1].append(drift(policy.encode(env.render()), expected, start))
            if over := terminated or truncated:
                break
    return plans


def disturbed(policy: Policy, env: HouseholdEnv, spec: EpisodeSpec, seed: int) -> list[float]:
    """The drift of the steps of a first plan in which the robot is driven back."""
    env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
    actions, dream, start = planned(policy, env, spec.prompt, seed)
    found = []
    for index, (action, expected) in enumerate(zip(actions, dream, strict=False)):
        if index >= DISTURBED_FROM:
            action[:2] *= -1
        env.step(action)
        found.append(drift(policy.encode(env.render()), expected, start))
    return found


def planned(policy: Policy, env: HouseholdEnv, prompt: str, seed: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """What will be carried out of a plan: actions [execute, A], the frames that it dreams [T, C, h, w], and the one that it starts from."""
    frame = env.render()
    plan = policy.plan(frame[None], [prompt], seeds=[[seed]])
    return plan.actions[0][: USUAL_LOOP.execute].copy(), plan.frames[0], policy.encode(frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--episodes", type=int, default=50, help="of each task")
    parser.add_argument("--success", action="store_true", help="also play whole evaluations at some thresholds; tens of minutes")
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    began, env, set_to = time.time(), HouseholdEnv(), USUAL_LOOP.drift
    figures: dict[str, dict[str, Any]] = {}
    for task in ("go", "bring"):
        wanted = specs(task, options.episodes, NO_DOG)
        plans = [plan for index, spec in enumerate(wanted) for plan in usual(policy, env, spec, 1000 * index)]
        bumped = [disturbed(policy, env, spec, 1000 * index) for index, spec in enumerate(wanted)]
        steps = np.concatenate(plans)
        figures |= {
            f"drift_median_{task}": figure(float(np.median(steps)), n=len(steps), unit="mean squared latent distance"),
            f"drift_of_one_step_in_a_hundred_{task}": figure(float(np.quantile(steps, 0.99)), n=len(steps), unit="mean squared latent distance"),
            f"drift_found_{task}": rate(sum(max(found) > set_to for found in bumped), len(bumped)),
            f"drift_false_alarms_{task}": rate(sum(max(found) > set_to for found in plans), len(plans)),
        }
        for threshold in THRESHOLDS if options.success else ():
            results = evaluate(policy, wanted, options=replace(USUAL_LOOP, drift=threshold))
            figures[f"success_{task}_drift_{threshold:g}"] = rate(sum(result.success for result in results), len(results))
    env.close()
    write_results("drift", figures, began)


if __name__ == "__main__":
    main()
