"""The inverse dynamics model on held-out real video: error of each action, and where the robot ends up when the inferred
actions of a video are replayed from its start.

    python -m bench.idm [--episodes 200]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from bench import held_out
from bench.common import ROOT, figure, write_results
from bench.dreams import mean, rate
from rollouts.dreams.policy import Policy
from rollouts.worlds.household.env import HouseholdEnv
from training.learn.lerobot import ACTION_NAMES


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--episodes", type=int, default=200)
    options = parser.parse_args()
    policy = Policy.load(options.weights)
    began = time.time()
    horizon = policy.world_model.config.frames
    env = HouseholdEnv()
    errors, places, ends, verdicts, extremes = [], [], [], [], []
    for episode in held_out.episodes(options.episodes, offset=50_000):
        latents = policy.encode(episode.frames[None, : horizon + 1])
        actions, _, paths, found = policy.infer_actions(latents)
        errors.append(np.abs(actions[0] - episode.actions[:horizon]))
        places.append(float(np.hypot(*(paths[0] - episode.robot[: horizon + 1, :2]).T).mean()))
        verdicts.append(found[0].accepted)
        extremes.append([check.value for check in found[0].checks])
        env.reset(seed=episode.meta["seed"] // 2)
        for action in actions[0]:
            _, _, _, _, info = env.step(action)
        ends.append(float(np.hypot(*(np.array(info["state"]["robot"][:2]) - episode.robot[horizon, :2]))))
    env.close()
    figures = {"replay_within_15cm": rate(sum(end <= 0.15 for end in ends), len(ends)), "replay_error_m": mean(ends, "m"), "path_error_m": mean(places, "m")}
    for index, name in enumerate(ACTION_NAMES):
        figures[f"error_{name}"] = mean([float(e[:, index].mean()) for e in errors], "m/s" if name in ("vx", "vy") else "")
    figures["accepted_real_clips"] = rate(sum(verdicts), len(verdicts))
    for index, check in enumerate(found[0].checks):
        figures[f"{check.name}_p995"] = figure(float(np.quantile([row[index] for row in extremes], 0.995)), n=len(extremes))
    write_results("idm", figures, began)


if __name__ == "__main__":
    main()
