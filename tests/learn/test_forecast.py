"""Teaching the forecast: rooms are dreamed from and played, and what was played is kept."""

import json

import numpy as np
import pytest

from rollouts.dreams.policy import Policy
from rollouts.mining import Search
from rollouts.mining.forecast import FACTS
from training.learn.forecast import SEED, judged, play, taught_by


def test_it_goes_on_from_what_was_played(tmp_path):
    policy, kept = Policy.tiny(), tmp_path / "deep" / "rooms.json"
    first = play(policy, 2, kept)
    both = play(policy, 3, kept)
    assert both[:2] == first
    assert json.loads(kept.read_text()) == both
    drawn = Search(seed=SEED, strategy="uniform").ask(3)
    assert [(row["prompt"], row["seed"], row["factors"]) for row in both] == [(one.prompt, one.seed, one.factors) for one in drawn]
    assert {len(row["facts"]) for row in both} == {len(FACTS)}
    assert play(policy, 3, kept) == both, "nothing is left to do"


def rows(count: int) -> list[dict]:
    """Rooms in which a dog near the way decides, of which dreams know nothing."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        facts = rng.uniform(0, 2, len(FACTS)).tolist()
        best = float(rng.uniform())
        evidence = {"contact": 0.0, "rejected": 0.0, "failure": 1 - best, "best": best, "dreams": 4}
        made.append({"facts": facts, "evidence": evidence, "failed": bool(facts[FACTS.index("dog_to_way")] + rng.normal(0, 0.2) < 1)})
    return made


def test_it_is_judged_on_rooms_that_it_was_not_taught():
    told = judged(rows(300))
    assert told["forecast"] > 0.7
    assert told["layout_alone"] > 0.7
    assert abs(told["dreams_alone"]) < 0.2
    noise = [{**row, "failed": bool(i % 2)} for i, row in enumerate(rows(300))]
    assert abs(judged(noise)["forecast"]) < 0.2, "what is learned by heart does not count"


def test_rooms_that_all_end_alike_teach_nothing():
    with pytest.raises(ValueError, match="end alike"):
        taught_by([{**row, "failed": True} for row in rows(20)])
