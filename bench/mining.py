"""Does mining find failures that are real? `python -m bench.mining` writes bench/results/mining.json.

Of a policy that a round has taught, which mining looks at again after its promotion: `--weights ROUND/child --results mining_after_a_round`.

MAP-Elites looks at sixteen layouts of each of `--budget` rooms and dreams from the one that looks worst; of these the worst finds are proposed: one of each
cell, then the worst of the rest. Nothing is learned meanwhile: the forecast is the one that ships. Uniform draws over the factor cells are taken as they
come, so that dreaming from more of them would change nothing. `--episodes` start frames of each are then played in
physics, closed loop, from the same layouts. `mined_failure_ratio` = real failure rate of the mined / of the uniform ones; its interval is a bootstrap over
episodes. A failure is an episode without success, or with the dog touched: no ratio can be above 1 / `uniform_failure`.

Finds whose dreams disagree (`unsure_finds`), which mining proposes as well, and uniform draws are played twice, `--twice` of each, with other dreams:
`unsure_undecided` and `uniform_undecided` are the shares of which one episode fails and the other does not.

`--task go --results mining_go` asks the same of one task alone: of any, mining proposes what the policy is worse at.

Needs no database: weights in, numbers out.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import ROOT, figure, write_results
from bench.dreams import rate
from rollouts import factors
from rollouts.dreams.policy import Policy
from rollouts.mining import Search, Tried, attempt, forecast_for, unsure_finds, worst_finds
from rollouts.mining.search import PROMPTS
from rollouts.worlds import make_world
from training.learn.evaluate import EpisodeResult, EpisodeSpec, evaluate

BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base")
    parser.add_argument("--budget", type=int, default=400, help="start frames that the search dreams from")
    parser.add_argument("--dreams", type=int, default=4, help="dreams of each start frame")
    parser.add_argument("--episodes", type=int, default=100, help="start frames of each search that are played in physics")
    parser.add_argument("--twice", type=int, default=50, help="unsure finds, and uniform draws, that are played twice")
    parser.add_argument("--task", choices=tuple(PROMPTS), help="search, and draw, for this task alone")
    parser.add_argument("--n", type=int, default=1, help="dreams per plan in the closed loop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", default="mining", help="name of the file of results")
    options = parser.parse_args()
    began = time.time()
    write_results(options.results, run(Policy.load(options.weights), options), began)


def run(policy: Policy, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Search, play, compare. Per search: failure, contact and dreamed_failure of what was played, the cells it lies in, and those of them in
    which something really failed; rank_correlation of objective and real failure over the uniform draws, and of what dreams say without the forecast."""
    began = time.monotonic()
    mined = search(policy, "map_elites", options.budget, options)
    uniform = search(policy, "uniform", options.episodes, options)  # those that are played are the first ones: more would change nothing
    searched = time.monotonic()
    chosen = {"mined": worst_finds(mined.tried, options.episodes), "uniform": uniform.tried[: options.episodes]}
    played = {name: play(policy, tried, options.n) for name, tried in chosen.items()}
    figures: dict[str, dict[str, Any]] = {}
    for name, tried in chosen.items():
        results = played[name]
        n = len(results)
        weak = {one.genome.cell for one, result in zip(tried, results, strict=True) if not result.clean_success}
        figures |= {
            f"{name}_failure": rate(sum(not result.clean_success for result in results), n),
            f"{name}_contact": rate(sum(result.dog_contact for result in results), n),
            f"{name}_dreamed_failure": figure(float(np.mean([one.evidence.failure for one in tried])), n=n, unit="share"),
            f"{name}_cells": figure(len({one.genome.cell for one in tried}), n=n, unit=f"of {len(factors.all_cells())} cells"),
            f"{name}_cells_with_real_failures": figure(len(weak), n=n, unit="cells"),
        }
    figures["mined_failure_ratio"] = ratio(played, lambda result: not result.clean_success, options.seed)
    figures["mined_contact_ratio"] = ratio(played, lambda result: result.dog_contact, options.seed)
    unsure = unsure_finds(mined.tried, options.twice)
    again = {"unsure": (unsure, play(policy, unsure, options.n)), "uniform": (uniform.tried[: options.twice], played["uniform"][: options.twice])}
    for name, (tried, first) in again.items():
        second = play(policy, tried, options.n, seed=2)
        figures[f"{name}_undecided"] = rate(sum(a.clean_success != b.clean_success for a, b in zip(first, second, strict=True)), len(tried))
    figures["search_seconds"] = figure(searched - began, n=options.budget + options.episodes, unit="s")
    figures["play_seconds"] = figure(time.monotonic() - searched, n=2 * options.episodes + 3 * options.twice, unit="s")
    for name, objective in (("rank_correlation", lambda one: one.objective), ("rank_correlation_dreams_alone", lambda one: one.evidence.objective)):
        told = correlation([objective(one) for one in chosen["uniform"]], played["uniform"])
        if told is not None:
            figures[name] = figure(told, n=len(played["uniform"]), unit="Spearman's rho")
    return figures


def search(policy: Policy, strategy: str, budget: int, options: argparse.Namespace) -> Search:
    """One search in the household world; budget: start frames."""
    found = Search(seed=options.seed + (strategy == "uniform"), strategy=strategy, kinds=[options.task] if options.task else tuple(PROMPTS))
    forecast, world = forecast_for(policy), make_world("household")
    try:
        while len(found.tried) < budget:
            attempt(policy, world, found, min(BATCH, budget - len(found.tried)), options.dreams, forecast)
    finally:
        world.close()
    return found


def play(policy: Policy, tried: list[Tried], n: int, seed: int = 1) -> list[EpisodeResult]:
    """The real episodes; their dreams are others than those of the search."""
    specs = [EpisodeSpec(one.genome.prompt, one.genome.seed, one.genome.factors) for one in tried]
    return evaluate(policy, specs, n, seed=seed)


def ratio(played: dict[str, list[EpisodeResult]], bad: Any, seed: int, draws: int = 5000) -> dict[str, Any]:
    """mined / uniform with a 95% bootstrap interval; half an event is added to each side, so that nothing divides by zero."""
    rng = np.random.default_rng(seed)
    mined, uniform = (np.array([bad(result) for result in played[side]], float) for side in ("mined", "uniform"))

    def drawn(values: np.ndarray) -> np.ndarray:
        picks = rng.integers(len(values), size=(draws, len(values)))
        return (values[picks].sum(1) + 0.5) / (len(values) + 1)

    low, high = np.percentile(drawn(mined) / drawn(uniform), (2.5, 97.5))
    exact = ((mined.sum() + 0.5) / (len(mined) + 1)) / ((uniform.sum() + 0.5) / (len(uniform) + 1))
    return figure(float(exact), n=len(mined), low=float(low), high=float(high), unit="mined / uniform")


def correlation(objectives: list[float], results: list[EpisodeResult]) -> float | None:
    """Spearman's rho of objectives and real failure; None where all ended alike."""
    from scipy.stats import spearmanr

    failed = [not result.clean_success for result in results]
    if len(set(failed)) == 1:
        return None
    return round(float(spearmanr(objectives, failed).statistic), 4)


if __name__ == "__main__":
    main()
