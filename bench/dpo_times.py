"""At which noise levels do choices about dreams say the same about other start frames?

Dreams of adversarial start frames, judged from their pixels; pairs of one start frame in which one dream touches the dog and the other does
not. Their preference gradients at the reference are summed over groups of start frames, and the groups are split in halves in every
way: the cosine between the two halves' gradients says how much of them is about dogs and not about these start frames. Near 0
there is nothing to learn at that noise level. The interval holds 95% of the splits.

python -m bench.dpo_times [--frames 300]
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
import torch

from bench.common import ROOT, figure, write_results
from labeling.simulate.judge import Judge
from rollouts.dreams.policy import Policy
from rollouts.worlds.household.env import HouseholdEnv
from training.learn.dpo import PairBatch, velocity_residuals
from training.learn.policy_flow import PolicyFlow
from training.learn.suites import ADVERSARIAL_TASKS, DOG_SCENES, draw_prompt

SEED = 60_000_000
LEVELS = (1.0, 0.95, 0.9, 0.8, 0.6, 0.4)
GROUPS = 8


def telling_pairs(policy: Policy, frames: int, dreams: int, batch: int = 10) -> list[tuple[int, PairBatch]]:
    """(start frame, pair of one) for up to three pairs of each: the winner touches nothing, the loser touches the dog."""
    judge, rng, env = Judge(policy.probe), np.random.default_rng(SEED), HouseholdEnv()
    limit, found = policy.world_model.config.text_tokens, []
    for first in range(0, frames, batch):
        pictures, prompts = [], []
        for number in range(first, min(first + batch, frames)):
            prompts.append(draw_prompt(rng, ADVERSARIAL_TASKS))
            env.reset(seed=SEED + number, options={"prompt": prompts[-1], "factors": DOG_SCENES[number % len(DOG_SCENES)][1]})
            pictures.append(env.render())
        plan = policy.plan(np.stack(pictures), prompts, seeds=[[1000 * (first + i) + j for j in range(dreams)] for i in range(len(pictures))])
        starts = policy.encode(np.stack(pictures))
        for i, picture in enumerate(pictures):
            rows = range(i * dreams, (i + 1) * dreams)
            touches = [judge.look(np.concatenate([picture[None], policy.decode(plan.frames[row])]), prompts[i]).contact.any() for row in rows]
            text = policy.text.encode([prompts[i]], limit)
            clear = [row for row, hit in zip(rows, touches, strict=True) if not hit]
            hits = [row for row, hit in zip(rows, touches, strict=True) if hit]
            for winner, loser in list(zip(clear, hits, strict=False))[:3]:
                won, lost, one = plan.latents[winner][None], plan.latents[loser][None], torch.ones(1)
                found.append((first + i, PairBatch(won, lost, starts[i][None], text, 0 * one, one, torch.ones(1, won.shape[1]))))
    env.close()
    return found


def gradient(policy: Policy, pairs: list[PairBatch], t: float, generator: torch.Generator) -> torch.Tensor:
    """Of the sum of (winner's error - loser's error), which is what a preference lowers at the reference."""
    network = policy.world_model
    network.zero_grad(set_to_none=True)
    for pair in pairs:
        noise = torch.randn(pair.winner_PTCHW.shape, generator=generator)
        residual, _ = velocity_residuals(PolicyFlow.of(network), pair, noise, torch.full((1,), t))
        error = residual.square().mean(dim=(1, 2, 3, 4))
        (error[0] - error[1]).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def agreement(groups: list[torch.Tensor]) -> list[float]:
    """Cosines between the sums of one half of the groups and of the other, for every split."""
    cosines = []
    for half in itertools.combinations(range(1, len(groups)), len(groups) // 2 - 1):
        one = groups[0] + sum(groups[i] for i in half)
        other = sum(groups[i] for i in range(1, len(groups)) if i not in half)
        cosines.append(float(torch.nn.functional.cosine_similarity(one, other, dim=0)))
    return cosines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--dreams", type=int, default=6)
    options = parser.parse_args()
    began, figures = time.time(), {}
    policy = Policy.load(options.weights)
    pairs = telling_pairs(policy, options.frames, options.dreams)
    policy.world_model.requires_grad_(True)
    for t in LEVELS:
        generator = torch.Generator().manual_seed(SEED)
        parts = [[pair for frame, pair in pairs if frame % GROUPS == group] for group in range(GROUPS)]
        groups = [gradient(policy, part, t, generator) for part in parts if part]
        cosines = agreement(groups)
        low, high = np.percentile(cosines, [2.5, 97.5])
        figures[f"gradient_agreement_t{t:g}"] = figure(
            float(np.mean(cosines)), n=len(pairs), low=float(low), high=float(high), unit="cosine between halves of the start frames; n pairs"
        )
    write_results("dpo_times", figures, began)


if __name__ == "__main__":
    main()
