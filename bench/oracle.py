"""Where does a dog get touched: in the dream, in the actions inferred from it, in the choice among dreams?

On adversarial start frames whose true state is known: N dreams of each, the gap that the robot's inferred path leaves to the real dog, and
the same actions executed from the same state, open loop, in the physics world. What a perfect judge of the dreams would get is the
upper bound of choosing; what a clear path gets when it is executed is the upper bound of dreaming.

python -m bench.oracle [--frames 60] [--guidance 1 2 4]
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bench.common import ROOT, write_results
from bench.dreams import rate
from bench.policy import DOG, specs
from rollouts.dreams.policy import Policy
from rollouts.dreams.probe import DOG_RADIUS, DOG_SPINE, ROBOT_RADIUS
from training.learn.executed import Executed, executed_dreams


def path_gap(path: np.ndarray, dog: list[float]) -> float:
    """Metres between the robot's rim and the flank of a dog [x, y, yaw] that lies still, at the nearest point of a path [T, 2]."""
    along = np.array([np.cos(dog[2]), np.sin(dog[2])])
    fine = np.concatenate([np.linspace(a, b, 6) for a, b in itertools.pairwise(path)]) - dog[:2]
    nearest = np.clip(fine @ along, *DOG_SPINE)
    return float(np.linalg.norm(fine - nearest[:, None] * along, axis=1).min() - ROBOT_RADIUS - DOG_RADIUS)


def clear(one: Executed) -> bool:
    """Whether a dream's path leaves the dog untouched."""
    assert one.dog is not None, "an episode without a dog"
    return path_gap(one.path, one.dog) > 0


def figures_of(tried: list[Executed], n: int) -> dict[str, dict]:
    """dreams_clear: dreams whose path is clear; frames_with_a_clear_dream: a perfect judge's share; clear_and_untouched: of the clear ones, those
    whose actions touch nothing; executed_untouched: of all; best_value_untouched: of the dreams that the value head prefers in each frame;
    value_prefers_untouched: pairs of one frame in which it prefers the one that touches nothing."""
    frames = [tried[i : i + n] for i in range(0, len(tried), n)]
    paths_clear = [one for one in tried if clear(one)]
    pairs = [(a, b) for own in frames for a in own for b in own if b.touched and not a.touched]
    best = [max(own, key=lambda one: one.value) for own in frames]
    return {
        "dreams_clear": rate(len(paths_clear), len(tried)),
        "frames_with_a_clear_dream": rate(sum(any(clear(one) for one in own) for own in frames), len(frames)),
        "clear_and_untouched": rate(sum(not one.touched for one in paths_clear), len(paths_clear)),
        "executed_untouched": rate(sum(not one.touched for one in tried), len(tried)),
        "best_value_untouched": rate(sum(not one.touched for one in best), len(best)),
        "value_prefers_untouched": rate(sum(a.value > b.value for a, b in pairs), len(pairs)),
        "reached_in_one_dream": rate(sum(one.reached for one in tried), len(tried)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--dreams", type=int, default=8)
    parser.add_argument("--guidance", type=float, nargs="+", default=[], help="sampler guidances to compare; the policy's own if none is given")
    parser.add_argument("--results", type=Path, default=None, help="directory for the figures, instead of bench/results")
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    began, figures = time.time(), {}
    for guidance in options.guidance or [policy.sampler.guidance]:
        policy.sampler = replace(policy.sampler, guidance=guidance)
        found = figures_of(list(executed_dreams(policy, specs("go", options.frames, DOG), options.dreams)), options.dreams)
        figures |= {f"{name}_g{guidance:g}": value for name, value in found.items()}
    write_results("oracle", figures, began, *([options.results] if options.results else []))


if __name__ == "__main__":
    main()
