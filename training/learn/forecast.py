"""Teaching mining's forecast: rooms drawn uniformly over the factor cells, dreamed from and then played.

    python -m training.learn.forecast --weights rollouts/weights/base --rooms 832 --episodes var/forecast

writes rollouts/mining/forecast.json. What was played is kept in `--episodes` after every few rooms; called again, it goes on from there. In five parts, each
foretold by the other four, it prints how well the forecast orders the episodes, and how well dreams alone do.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rollouts.dreams.policy import Policy
from rollouts.mining import Search, photograph
from rollouts.mining.evidence import Evidence, assess
from rollouts.mining.forecast import FACTS, SHIPPED, Forecast
from rollouts.mining.tries import facts_of
from rollouts.worlds import make_world
from training.learn.evaluate import EpisodeSpec, evaluate

SEED = 7001  # of the rooms: not those of any bench
AT_ONCE = 32
DREAMED_AT_ONCE = 8
DREAMS = 4
FOLDS = 5


def play(policy: Policy, rooms: int, kept: Path) -> list[dict[str, Any]]:
    """Rooms with their facts, evidence and outcome: [{"prompt", "seed", "factors", "facts", "evidence", "failed"}], those in `kept` first."""
    rows: list[dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else []
    search, world = Search(seed=SEED, strategy="uniform"), make_world("household")
    search.ask(len(rows))
    try:
        while len(rows) < rooms:
            genomes = search.ask(min(AT_ONCE, rooms - len(rows)))
            frames = np.stack([photograph(world, genome) for genome in genomes])
            facts, evidence = facts_of(policy, frames, genomes), []
            for first in range(0, len(genomes), DREAMED_AT_ONCE):
                part = slice(first, first + DREAMED_AT_ONCE)
                found = assess(policy, frames[part], [one.prompt for one in genomes[part]], [one.seed for one in genomes[part]], DREAMS)
                evidence += [one.evidence for one in found]
            results = evaluate(policy, [EpisodeSpec(one.prompt, one.seed, one.factors) for one in genomes], seed=1)
            rows += [
                {**asdict(genome), "facts": numbers.tolist(), "evidence": asdict(said), "failed": not result.clean_success}
                for genome, numbers, said, result in zip(genomes, facts, evidence, results, strict=True)
            ]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(rows))
            print(f"{len(rows)} of {rooms} rooms, {sum(row['failed'] for row in rows)} failed", flush=True)
    finally:
        world.close()
    return rows


def taught_by(rows: list[dict[str, Any]]) -> Forecast:
    """Raises ValueError where all episodes ended alike."""
    return Forecast.fit(*_columns(rows))


def judged(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Spearman's rho with what happened: of the forecast, of the layout's part of it, each foretelling a fifth of the rooms by the others, and of dreams."""
    from scipy.stats import spearmanr

    facts, evidence, failed = _columns(rows)
    whole, layout, part_of = np.zeros(len(rows)), np.zeros(len(rows)), np.arange(len(rows)) % FOLDS
    for fold in range(FOLDS):
        forecast = taught_by([row for row, part in zip(rows, part_of, strict=True) if part != fold])
        mine = part_of == fold
        layout[mine] = forecast.before_dreaming(facts[mine])
        whole[mine] = forecast.failure(facts[mine], [one for one, own in zip(evidence, mine, strict=True) if own])
    told = {"forecast": whole, "layout_alone": layout, "dreams_alone": np.array([one.objective for one in evidence])}
    return {name: round(float(spearmanr(chances, failed).statistic), 3) for name, chances in told.items()}


def _columns(rows: list[dict[str, Any]]) -> tuple[np.ndarray, list[Evidence], np.ndarray]:
    facts = np.array([row["facts"] for row in rows]).reshape(len(rows), len(FACTS))
    return facts, [Evidence(**row["evidence"]) for row in rows], np.array([row["failed"] for row in rows], dtype=bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("rollouts/weights/base"))
    parser.add_argument("--rooms", type=int, default=832)
    parser.add_argument("--episodes", type=Path, required=True, help="directory of what was played")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    rows = play(policy, options.rooms, options.episodes / "rooms.json")
    print(json.dumps({"rooms": len(rows), "failed": round(float(np.mean([row["failed"] for row in rows])), 3), **judged(rows)}))
    options.out.write_text(json.dumps(taught_by(rows).to_dict(), indent=1) + "\n")


if __name__ == "__main__":
    main()
