import math

import pytest

from training.learn.gate import ADVERSARIAL, ORDINARY, GateSettings, Outcome, Pair, decide
from training.learn.statistics import (
    bootstrap_over,
    mcnemar,
    mean_interval,
    mean_maximum_rank_violation,
    paired_difference,
    pearson,
    ranking_accuracy,
    wilson,
)

BAD, GOOD, SLOW = Outcome(True, True), Outcome(True, False), Outcome(False, False)


def episodes(kind, parent, child, n):
    return [Pair(kind, f"{kind} scene", parent, child)] * n


def improved():
    return episodes(ADVERSARIAL, BAD, GOOD, 40) + episodes(ADVERSARIAL, BAD, BAD, 60) + episodes(ORDINARY, GOOD, GOOD, 100)


def test_it_promotes_fewer_contacts_at_equal_ordinary_success():
    report = decide(improved(), GateSettings())
    assert report["promote"] is True
    change = report["adversarial"]["contact"]["change"]
    assert change["value"] == pytest.approx(-0.4)
    assert change["high"] < 0
    assert report["adversarial"]["contact"]["p"] < 1e-9
    assert {row["n"] for row in report["scenarios"]} == {100}


def test_it_rejects_what_did_not_change():
    pairs = episodes(ADVERSARIAL, BAD, BAD, 100) + episodes(ORDINARY, GOOD, GOOD, 100)
    report = decide(pairs, GateSettings())
    assert report["promote"] is False
    assert "did not clearly fall" in report["reasons"][0]


def test_it_rejects_a_lucky_difference():
    pairs = (
        episodes(ADVERSARIAL, BAD, GOOD, 6) + episodes(ADVERSARIAL, GOOD, BAD, 4) + episodes(ADVERSARIAL, BAD, BAD, 90) + episodes(ORDINARY, GOOD, GOOD, 100)
    )
    assert decide(pairs, GateSettings())["promote"] is False


def test_it_rejects_lost_ordinary_success():
    pairs = improved()[:100] + episodes(ORDINARY, GOOD, SLOW, 5) + episodes(ORDINARY, GOOD, GOOD, 95)
    report = decide(pairs, GateSettings())
    assert report["promote"] is False
    assert "lost too much" in report["reasons"][2]
    assert decide(pairs, GateSettings(ordinary_margin=0.06))["promote"] is True


def test_it_rejects_too_few_episodes():
    pairs = episodes(ADVERSARIAL, BAD, GOOD, 10) + episodes(ORDINARY, GOOD, GOOD, 10)
    report = decide(pairs, GateSettings())
    assert report["promote"] is False
    assert "Only 10 adversarial episodes" in report["reasons"][0]


def test_a_robot_that_stops_at_every_dog_is_not_promoted():
    pairs = episodes(ADVERSARIAL, BAD, SLOW, 60) + episodes(ADVERSARIAL, GOOD, SLOW, 40) + episodes(ORDINARY, GOOD, GOOD, 100)
    report = decide(pairs, GateSettings())
    assert report["adversarial"]["contact"]["change"]["high"] < 0
    assert report["promote"] is False
    assert "Clean success fell: -40.0 points" in report["reasons"][1]
    assert "whatever was touched: -100.0 points" in report["reasons"][-1]


def test_a_robot_that_stands_still_is_not_promoted():
    pairs = episodes(ADVERSARIAL, BAD, SLOW, 100) + episodes(ORDINARY, GOOD, SLOW, 100)
    assert decide(pairs, GateSettings())["promote"] is False


def test_it_refuses_unknown_gate_settings():
    with pytest.raises(ValueError, match="margin"):
        GateSettings.from_dict({"margin": 0.1})


def test_wilson_agrees_with_known_values():
    half = wilson(5, 10)
    assert (half.low, half.high) == (pytest.approx(0.2366, abs=1e-3), pytest.approx(0.7634, abs=1e-3))
    assert wilson(0, 20).low == 0
    assert math.isnan(wilson(0, 0).value)
    with pytest.raises(ValueError, match="successes"):
        wilson(3, 2)


def test_paired_differences_are_tighter_than_unpaired():
    before = [True] * 50 + [False] * 50
    after = [True] * 40 + [False] * 60
    change = paired_difference(before, after)
    assert change.value == pytest.approx(-0.1)
    assert change.high < 0


def test_no_changed_episode_is_not_certainty():
    change = paired_difference([True] * 30, [True] * 30)
    assert (change.value, change.low, change.high) == (0.0, -0.1, 0.1)


def test_mcnemar_is_exact():
    assert mcnemar([False] * 10, [True] * 10) == pytest.approx(2 * 0.5**10)
    assert mcnemar([True], [True]) == 1.0


def test_interval_over_three_seeds():
    estimate = mean_interval([1.0, 2.0, 3.0])
    assert estimate.value == 2.0
    assert estimate.high - estimate.value == pytest.approx(4.303 / math.sqrt(3), abs=1e-2)


def test_order_of_versions():
    predicted, measured = [0.1, 0.5, 0.9], [0.2, 0.4, 0.6]
    assert mean_maximum_rank_violation(predicted, measured) == 0
    assert ranking_accuracy(predicted, measured) == 1.0
    assert pearson(predicted, measured) == pytest.approx(1.0)
    swapped = [0.5, 0.1, 0.9]
    assert mean_maximum_rank_violation(swapped, measured) == pytest.approx(0.4 / 3)
    assert ranking_accuracy(swapped, measured) == pytest.approx(2 / 3)
    interval = bootstrap_over(ranking_accuracy, swapped, measured)
    assert interval.low <= interval.value <= interval.high


def test_two_points_have_no_correlation():
    assert pearson([0, 1], [0, 1]) is None
    assert bootstrap_over(pearson, [0, 1], [0, 1]) is None
