"""Does mining find failures that are real? `python -m bench.mining` prints the figures as JSON; `--out` also writes them.

Two searches with the same budget of start frames and dreams: MAP-Elites, from which the worst of each cell are proposed, and
uniform draws over the factor cells, which are taken as they come. `--episodes` start frames of each are then played in physics,
closed loop, from the same layouts. `mined_failure_ratio` = real failure rate of the mined / of the uniform ones; its interval is
a bootstrap over episodes. A failure is an episode without success, or with the dog touched.

Needs no database: weights in, numbers out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from rollouts import factors
from rollouts.dreams.policy import Policy
from rollouts.mining import Search, Tried, assess, best_per_cell
from rollouts.worlds import make_world
from training.learn.evaluate import EpisodeResult, EpisodeSpec, evaluate
from training.learn.statistics import wilson

BASE = Path(__file__).resolve().parent.parent / "rollouts" / "weights" / "base"
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=BASE)
    parser.add_argument("--budget", type=int, default=400, help="start frames that each search dreams from")
    parser.add_argument("--dreams", type=int, default=4, help="dreams of each start frame")
    parser.add_argument("--episodes", type=int, default=100, help="start frames of each search that are played in physics")
    parser.add_argument("--n", type=int, default=1, help="dreams per plan in the closed loop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    figures = run(Policy.load(options.weights), options)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def run(policy: Policy, options: argparse.Namespace) -> dict[str, Any]:
    """Search, play, compare."""
    began = time.monotonic()
    mined = search(policy, "map_elites", options)
    uniform = search(policy, "uniform", options)
    searched = time.monotonic()
    chosen = {"mined": best_per_cell(mined.tried, options.episodes), "uniform": uniform.tried[: options.episodes]}
    played = {name: play(policy, tried, options.n) for name, tried in chosen.items()}
    figures: dict[str, Any] = {"budget": options.budget, "dreams": options.dreams, "n_per_plan": options.n, "seed": options.seed}
    for name, tried in chosen.items():
        results = played[name]
        failed = np.array([not result.clean_success for result in results])
        estimate = wilson(int(failed.sum()), len(failed))
        cells = {one.genome.cell for one in tried}
        weak = {one.genome.cell for one, bad in zip(tried, failed, strict=True) if bad}
        figures |= {
            f"{name}_episodes": len(results),
            f"{name}_failure": round(float(failed.mean()), 4),
            f"{name}_failure_interval": [round(estimate.low, 4), round(estimate.high, 4)],
            f"{name}_contact": round(float(np.mean([result.dog_contact for result in results])), 4),
            f"{name}_dreamed_failure": round(float(np.mean([one.evidence.failure for one in tried])), 4),
            f"{name}_cells": len(cells),
            f"{name}_cells_with_real_failures": len(weak),
        }
    figures |= ratio(played, "failure", lambda result: not result.clean_success, options.seed)
    figures |= ratio(played, "contact", lambda result: result.dog_contact, options.seed)
    figures |= {
        "cells_total": len(factors.all_cells()),
        "rank_correlation": correlation(chosen["uniform"], played["uniform"]),
        "search_seconds": round(searched - began, 1),
        "play_seconds": round(time.monotonic() - searched, 1),
    }
    return figures


def search(policy: Policy, strategy: str, options: argparse.Namespace) -> Search:
    """One search in the household world."""
    found = Search(seed=options.seed + (strategy == "uniform"), strategy=strategy)
    world = make_world("household")
    try:
        while len(found.tried) < options.budget:
            genomes = found.ask(min(BATCH, options.budget - len(found.tried)))
            frames = []
            for genome in genomes:
                world.reset(seed=genome.seed, options={"prompt": genome.prompt, "factors": genome.factors})
                frames.append(np.asarray(world.render()))
            assessed = assess(policy, np.stack(frames), [g.prompt for g in genomes], [g.seed for g in genomes], options.dreams)
            found.tell(Tried(one.evidence.objective, g, one.evidence) for g, one in zip(genomes, assessed, strict=True))
    finally:
        world.close()
    return found


def play(policy: Policy, tried: list[Tried], n: int) -> list[EpisodeResult]:
    """The real episodes; their dreams are others than those of the search (seed 1)."""
    specs = [EpisodeSpec(one.genome.prompt, one.genome.seed, one.genome.factors) for one in tried]
    return evaluate(policy, specs, n, seed=1)


def ratio(played: dict[str, list[EpisodeResult]], name: str, bad: Any, seed: int, draws: int = 5000) -> dict[str, Any]:
    """mined / uniform with a 95% bootstrap interval; half an event is added to each side, so that no draw divides by zero."""
    rng = np.random.default_rng(seed)
    mined, uniform = (np.array([bad(result) for result in played[side]], float) for side in ("mined", "uniform"))

    def rate(values: np.ndarray) -> np.ndarray:
        picks = rng.integers(len(values), size=(draws, len(values)))
        return (values[picks].sum(1) + 0.5) / (len(values) + 1)

    drawn = rate(mined) / rate(uniform)
    exact = mined.mean() / uniform.mean() if uniform.any() else None
    return {
        f"mined_{name}_ratio": None if exact is None else round(float(exact), 3),
        f"mined_{name}_ratio_interval": [round(float(v), 3) for v in np.percentile(drawn, (2.5, 97.5))],
    }


def correlation(tried: list[Tried], results: list[EpisodeResult]) -> float | None:
    """Spearman's rho of dreamed failure and real failure over uniform draws; None where all ended alike."""
    from scipy.stats import spearmanr

    failed = [not result.clean_success for result in results]
    if len(set(failed)) == 1:
        return None
    return round(float(spearmanr([one.evidence.failure for one in tried], failed).statistic), 4)


if __name__ == "__main__":
    main()
