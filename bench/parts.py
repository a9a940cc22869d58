"""What each part of the shipped policy learned, on demonstrations that no training has seen.

python -m bench.parts [--episodes 300] [--weights rollouts/weights/base]

Writes bench/results/parts.json: the codec's PSNR; how far off the tracker sees things and the grounder named objects; how much of what moves the
motion codec draws wrong, given the true motion (1: as wrong as the mean frame); the world model's flow loss by noise level; and
what the value head can tell. Values without an interval are means or, where the unit says so, medians over n.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from bench.common import ROOT, figure, write_results
from bench.dreams import mean
from bench.held_out import FIRST_SEED
from rollouts.dreams.grounding import LANDMARKS
from rollouts.dreams.motion import codes_between
from rollouts.dreams.policy import Policy
from rollouts.dreams.probe import DOG, ROBOT
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.factors import OBJECTS
from rollouts.worlds.household.tasks import parse
from training.learn.clips import Clips, load_clips
from training.learn.collect import play_episode, save_shard
from training.learn.pretrain import clause_table
from training.learn.recipes import WorldModelRecipe
from training.learn.value import value_data, value_figures

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def clips_of(policy: Policy, episodes: int, clauses: Path | None) -> Clips:
    """Demonstrations of all skills; seeds 2k and 2k + 1 are two from one start."""
    env = HouseholdEnv()
    with tempfile.TemporaryDirectory() as directory:
        shard = Path(directory) / "shard-00000.npz"
        save_shard(shard, [play_episode(env, FIRST_SEED + 200_000 + i) for i in range(episodes)])
        env.close()
        return load_clips([shard], clause_table(clauses)).encode(policy.codec)


@torch.no_grad()
def codec_figures(policy: Policy, clips: Clips, frames: torch.Tensor) -> dict[str, dict]:
    real = clips.frames[frames].float() / 255
    rebuilt = policy.codec.decode(policy.codec.encode(clips.frames[frames])).clamp(0, 1).movedim(-3, -1)
    psnr = -10 * (real - rebuilt).square().mean((1, 2, 3)).log10()
    return {"codec_psnr": mean(psnr.tolist(), "dB")}


@torch.no_grad()
def place_figures(policy: Policy, clips: Clips, frames: torch.Tensor) -> dict[str, dict]:
    """Median distances [m] between where things are and where the tracker, the probe and the grounder see them; and how well they see
    which way the dog faces, which is where it will walk."""
    assert clips.latents is not None
    assert clips.words is not None
    latents, there = clips.latents[frames].float(), clips.places(frames)
    tracked, (_, probed, posed) = policy.motion.track(latents), policy.probe.net(latents)
    seen = {"tracker": tracked.xy, "probe": probed}
    figures = {}
    for name, xy in seen.items():
        off = (xy - there.xy).norm(dim=-1)
        for thing, columns in (("robot", [ROBOT]), ("dog", [DOG]), ("object", range(2, off.shape[1]))):
            own = off[:, list(columns)][there.present[:, list(columns)] > 0]
            figures[f"{name}_{thing}_error"] = figure(float(own.median()), n=len(own), unit="m, median")
    faced = {
        "tracker": tracked.dog_heading,
        "probe": posed[:, :2],
        "grounder": policy.world_model.grounder.landmarks(latents)[:, LANDMARKS.index("dog"), 3:],
    }
    for name, heading in faced.items():
        own = there.present[:, DOG] > 0
        off = turn_between(heading[own], there.dog_heading[own])
        figures[f"{name}_dog_heading_error"] = figure(float(off.median()), n=len(off), unit="degrees, median")
        figures[f"{name}_dog_turned_round"] = figure(float((off > 90).float().mean()), n=len(off), unit="share further off than 90 degrees")
    named = [(row, parse(clips.meta[int(clips.episode[frame])]["prompt"]).target) for row, frame in enumerate(frames)]
    rows = [(row, OBJECTS.index(target)) for row, target in named if target and there.present[row, 2 + OBJECTS.index(target)] > 0]
    pick, which = torch.tensor(rows).unbind(1)
    text, mask = clips.words.pack(clips.prompt[clips.episode[frames[pick]]], torch.full((len(pick), 1), -1), policy.world_model.config.text_tokens)
    off = (policy.world_model.grounder(latents[pick], text, mask)[1] - there.xy[pick, 2 + which]).norm(dim=-1)
    figures["grounder_error"] = figure(float(off.median()), n=len(off), unit="m, median")
    figures["grounder_wrong"] = figure(float((off > 0.3).float().mean()), n=len(off), unit="share further off than 0.3 m")
    return figures


def turn_between(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Degrees [N] between the directions [N, 2]."""
    return torch.rad2deg(torch.atan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)).abs())


@torch.no_grad()
def motion_figures(policy: Policy, clips: Clips, starts: torch.Tensor) -> dict[str, dict]:
    assert clips.latents is not None
    error = spread = 0.0
    mean_latents = clips.latents[starts].float().mean(0, keepdim=True)
    for part in starts.split(64):
        then, before = clips.window(part)[:, -1], clips.places(part)
        start, latents = clips.latents[part].float(), clips.latents[then].float()
        drawn = policy.motion.picture(codes_between(before, clips.places(then)), start, before)
        moved = (latents - start).square().mean(1) > 0.25
        error += float((drawn - latents).square().mean(1)[moved].sum())
        spread += float((mean_latents - latents).square().mean(1)[moved].sum())
    return {"motion_moving_error": figure(error / spread, n=len(starts), unit="share of the variance of what moved, 12 frames later")}


@torch.no_grad()
def flow_figures(policy: Policy, clips: Clips, starts: torch.Tensor) -> dict[str, dict]:
    recipe, generator = WorldModelRecipe(policy.world_model, clips, 64), torch.Generator().manual_seed(0)
    figures = {}
    for level in LEVELS:
        errors = torch.cat([recipe.errors(part, generator, times=torch.full((len(part),), level)).mean((1, 2, 3, 4)) for part in starts.split(64)])
        figures[f"flow_loss_t{level}"] = mean(errors.tolist(), "squared velocity error")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--clauses", type=Path, default=None, help="cache of encoded clauses")
    options = parser.parse_args()
    began = time.time()
    policy = Policy.load(options.weights)
    clips = clips_of(policy, options.episodes, options.clauses)
    generator = torch.Generator().manual_seed(0)
    frames = torch.randperm(len(clips.frames), generator=generator)[:1000]
    starts = clips.starts[torch.randperm(len(clips.starts), generator=generator)[:400]]
    value = value_figures(policy.value_head, value_data(policy.value_head, policy.world_model, policy.motion, clips, 1200, seed=2))
    count = {"twin_accuracy": int(value.pop("twins"))}
    n = int(value.pop("n"))
    figures = {
        **codec_figures(policy, clips, frames[:200]),
        **place_figures(policy, clips, frames),
        **motion_figures(policy, clips, starts),
        **flow_figures(policy, clips, starts),
        **{f"value_{name}": figure(number, n=count.get(name, n), unit="pairs" if name in count else "of real clips") for name, number in value.items()},
    }
    write_results("parts", figures, began)


if __name__ == "__main__":
    main()
