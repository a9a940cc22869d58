"""The policy in the real (physics) world, closed loop: success, contacts, and what choosing among N dreams adds.

python -m bench.policy [--episodes 200] [--dog-episodes 60]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from bench.common import ROOT, write_results
from bench.dreams import rate
from rollouts.dreams.policy import Policy
from training.learn.evaluate import EpisodeSpec, evaluate

SEED = 700_000_000
DOG = {"dog": "lying", "dog_place": "on_path"}
TARGETS = ("red ball", "green cube", "yellow can", "purple ball", "red cube", "green can", "yellow ball", "purple cube")


def specs(task: str, count: int, factors: dict) -> list[EpisodeSpec]:
    pattern = {"go": "go to the {x}", "bring": "bring the {x} to the mat"}[task]
    return [EpisodeSpec(pattern.format(x=TARGETS[i % len(TARGETS)]), SEED + i, factors) for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--dog-episodes", type=int, default=0, help="with a dog in the way, for each number of dreams; 0: as many as without")
    parser.add_argument("--dreams", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    began, n = time.time(), options.episodes
    figures = {}
    for task in ("go", "bring"):
        results = evaluate(policy, specs(task, n, {"dog": "absent"}))
        figures[f"success_{task}"] = rate(sum(r.success for r in results), n)
        figures[f"replans_by_drift_{task}"] = rate(sum(r.drifts for r in results), sum(r.plans for r in results))
    n = options.dog_episodes or n
    for dreams in options.dreams:
        results = evaluate(policy, specs("go", n, DOG), dreams)
        figures[f"clean_success_n{dreams}"] = rate(sum(r.clean_success for r in results), n)
        figures[f"contact_rate_n{dreams}"] = rate(sum(r.dog_contact for r in results), n)
        if dreams == 1:
            figures["contact_rate_base"] = figures["contact_rate_n1"]
    write_results("policy", figures, began)


if __name__ == "__main__":
    main()
