"""Does a dream foresee the dog, or wish it away?

On start frames in which a dog is about to cross the robot's way: where is the dog after two seconds of a dream, and where is the real one, which
walks on whatever the robot does? And does the path that the robot takes in the dream touch the dreamed dog, or the real one? A policy whose dogs
stand still or step aside in its dreams has nothing to avoid.

python -m bench.foresight [--scenes 160] [--weights rollouts/weights/base var/child ...]

Figures carry the name of the weights' directory.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.common import ROOT, figure, write_results
from rollouts.dreams.motion import units
from rollouts.dreams.policy import Policy
from rollouts.dreams.probe import DOG_RADIUS, DOG_SPINE, ROBOT_RADIUS
from rollouts.worlds.household.env import CONTROL_HZ, HouseholdEnv
from training.learn.suites import DOG_SCENES, Scene, suite_episodes

BASE = ROOT / "rollouts" / "weights" / "base"
STEPS = 2 * CONTROL_HZ
SEED = 50  # of the suite, apart from those of rounds and proofs
BETWEEN = 4  # places looked at between two steps


@dataclass(frozen=True)
class Crossing:
    """A start frame; robot [2] in metres; dog [STEPS + 1, 3]: x, y, yaw of the real one, which nobody gets in the way of."""

    frame: np.ndarray
    prompt: str
    robot: np.ndarray
    dog: np.ndarray


def crossings(count: int) -> list[Crossing]:
    """Beginnings of episodes in which a dog is about to cross the robot's way, while the robot stands still."""
    env = HouseholdEnv()
    scene = Scene(*next(row for row in DOG_SCENES if row[1]["dog"] == "walking"))
    found = []
    for episode in suite_episodes(adversarial=count, ordinary=0, seed=SEED, scenes=[scene]):
        _, info = env.reset(seed=episode.seed, options={"prompt": episode.prompt, "factors": episode.factors})
        frame, robot, dogs = env.render(), np.array(info["state"]["robot"][:2]), [info["state"]["dog"]]
        for _ in range(STEPS):
            dogs.append(env.step(np.zeros(5, np.float32))[4]["state"]["dog"])
        found.append(Crossing(frame, episode.prompt, robot, np.array(dogs)))
    env.close()
    return found


def gap(robot: np.ndarray, dog: np.ndarray) -> float:
    """Least distance in metres between the robot's rim and the dog's flank on their ways [T, 2] and [T, 3]."""
    least = np.inf
    for (r0, r1), (d0, d1) in zip(itertools.pairwise(robot), itertools.pairwise(dog), strict=True):
        along = np.array([np.cos(d0[2]), np.sin(d0[2])])
        for share in np.arange(BETWEEN) / BETWEEN:
            offset = r0 + share * (r1 - r0) - (d0 + share * (d1 - d0))[:2]
            least = min(least, np.linalg.norm(offset - np.clip(offset @ along, *DOG_SPINE) * along))
    return float(least - ROBOT_RADIUS - DOG_RADIUS)


def look(policy: Policy, scene: Crossing, dreams: int) -> dict[str, list[float]]:
    """Of each dream: how far its dog gets along its heading as a share of the real one's way, how far it ends from the real one [m], and whether the
    robot's way in the dream touches the dreamed dog, and the real one."""
    codes = policy.plan(scene.frame[None], [scene.prompt], seeds=[list(range(dreams))]).latents[:, :STEPS, :, 0, 0]
    raw = (codes * units(policy.motion.config.objects, codes.device)).cpu().numpy()
    start = scene.dog[0]
    heading, way = np.array([np.cos(start[2]), np.sin(start[2])]), scene.dog[STEPS, :2] - start[:2]
    found: dict[str, list[float]] = {"progress": [], "error": [], "touches_dreamed": [], "touches_real": []}
    for row in raw:
        robot = scene.robot + np.concatenate([np.zeros((1, 2)), row[:, :2]])
        yaw = start[2] + np.arctan2(row[:, 10], row[:, 9] + 1)
        dog = np.concatenate([start[None], np.column_stack([start[:2] + row[:, 7:9], yaw])])
        found["progress"].append(row[-1, 7:9] @ heading / (way @ heading))
        found["error"].append(np.linalg.norm(row[-1, 7:9] - way))
        found["touches_dreamed"].append(gap(robot, dog) < 0)
        found["touches_real"].append(gap(robot, scene.dog) < 0)
    return found


def figures_of(policy: Policy, scenes: list[Crossing], dreams: int) -> dict[str, dict[str, Any]]:
    """Means over all dreams; intervals by bootstrap over the scenes."""
    rows = [look(policy, scene, dreams) for scene in scenes]
    names = {
        "progress": ("dog_progress", "of the real dog's way in 2 s"),
        "error": ("dog_error", "m from the real dog after 2 s"),
        "touches_dreamed": ("touches_dreamed_dog", ""),
        "touches_real": ("touches_real_dog", ""),
    }
    draws = np.random.default_rng(0).integers(len(rows), size=(2000, len(rows)))
    figures = {}
    for key, (name, unit) in names.items():
        values = np.array([np.mean(row[key]) for row in rows])
        low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
        figures[name] = figure(float(values.mean()), n=len(rows) * dreams, low=float(low), high=float(high), unit=unit)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--dreams", type=int, default=4, help="of each scene")
    parser.add_argument("--weights", type=Path, nargs="+", default=[BASE])
    parser.add_argument("--results", type=Path, default=None, help="directory for the figures, instead of bench/results")
    options = parser.parse_args()
    began, scenes, figures = time.time(), crossings(options.scenes), {}
    for directory in options.weights:
        found = figures_of(Policy.load(directory, "cuda" if torch.cuda.is_available() else "cpu"), scenes, options.dreams)
        figures |= {f"{name}_{directory.name}": row for name, row in found.items()}
    write_results("foresight", figures, began, *([options.results] if options.results else []))


if __name__ == "__main__":
    main()
