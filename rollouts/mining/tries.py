"""Trying start frames: draw rooms, look at them, dream of those that look worst, and say how likely the policy fails there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rollouts.mining.evidence import assess
from rollouts.mining.forecast import Forecast, shipped
from rollouts.mining.search import Genome, Search, Tried

if TYPE_CHECKING:
    from rollouts.dreams.policy import Policy
    from rollouts.worlds import World

# Layouts that are looked at for each that is dreamed from. A look costs about a hundredth of four dreamed episodes.
LOOKED_AT = 16


@dataclass(frozen=True)
class Attempt:
    """A try, its start frame uint8 [H, W, 3], and the frames uint8 [F, H, W, 3] of the dreamed episode that is likeliest to fail."""

    tried: Tried
    frame: np.ndarray
    worst: np.ndarray


def forecast_for(policy: Policy) -> Forecast | None:
    """What is known of such policies before they have played; None where the world model has no tracker (versions up to 6)."""
    return shipped() if policy.world_model.config.things else None


def attempt(policy: Policy, world: World, search: Search, count: int, dreams: int, forecast: Forecast | None) -> list[Attempt]:
    """The search's next `count` tries, of `dreams` dreamed episodes each, told to it. Without a forecast the objective is what the dreams say alone."""
    rivals = [search.rivals(genome, LOOKED_AT if forecast else 1) for genome in search.ask(count)]
    genomes = [genome for group in rivals for genome in group]
    frames = np.stack([photograph(world, genome) for genome in genomes])
    facts = None
    if forecast:
        facts = facts_of(policy, frames, genomes)
        chances, ends = forecast.before_dreaming(facts), np.cumsum([len(group) for group in rivals])
        picked = [end - len(group) + int(np.argmax(chances[end - len(group) : end])) for group, end in zip(rivals, ends, strict=True)]
        genomes, frames, facts = [genomes[i] for i in picked], frames[picked], facts[picked]
    found = assess(policy, frames, [one.prompt for one in genomes], [one.seed for one in genomes], dreams)
    evidence = [one.evidence for one in found]
    objectives = forecast.failure(facts, evidence) if forecast and facts is not None else [one.objective for one in evidence]
    tries = [
        Tried(float(objective), genome, said, None if facts is None else tuple(facts[i].tolist()))
        for i, (objective, genome, said) in enumerate(zip(objectives, genomes, evidence, strict=True))
    ]
    search.tell(tries)
    return [Attempt(tried, frame, one.worst) for tried, frame, one in zip(tries, frames, found, strict=True)]


def photograph(world: World, genome: Genome) -> np.ndarray:
    """The start frame uint8 [H, W, 3] of a genome."""
    world.reset(seed=genome.seed, options={"prompt": genome.prompt, "factors": genome.factors})
    return np.asarray(world.render())


def facts_of(policy: Policy, frames: np.ndarray, genomes: list[Genome]) -> np.ndarray:
    """`FACTS` of these rooms as the policy sees them: float [N, FACTS]."""
    import torch

    from rollouts.mining.layout import layout_facts  # torch, which pages and commands do without

    prompts = [one.prompt for one in genomes]
    with torch.no_grad():
        return layout_facts(policy.context(policy.encode(frames), prompts), prompts).cpu().numpy()
