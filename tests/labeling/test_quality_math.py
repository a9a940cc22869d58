from __future__ import annotations

import numpy as np
import pytest

from labeling.quality import Observation, fit_annotators, krippendorff_alpha, leaderboard


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_alpha_is_one_for_agreement_and_none_where_undefined():
    agree = [(person, unit, "a" if unit % 2 else "b") for person in (1, 2) for unit in range(6)]
    assert krippendorff_alpha(agree) == (1.0, 6)
    assert krippendorff_alpha([(1, 1, "a"), (2, 2, "b")]) == (None, 0)
    assert krippendorff_alpha([(1, unit, "a") for unit in range(3)] + [(2, unit, "a") for unit in range(3)]) == (None, 3)


def test_alpha_of_coin_tosses_is_near_zero():
    rng = np.random.default_rng(0)
    tosses = [(person, unit, str(rng.integers(2))) for person in (1, 2, 3) for unit in range(600)]
    alpha, units = krippendorff_alpha(tosses)
    assert units == 600
    assert abs(alpha) < 0.06


def crowd(skills, biases, *, items=40, answers=250, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, items)
    for person, (skill, bias) in enumerate(zip(skills, biases, strict=True)):
        for _ in range(answers):
            i, j = rng.choice(items, 2, replace=False)
            p = skill * sigmoid(score[i] - score[j]) + (1 - skill) * bias
            yield Observation(person, int(i), int(j), float(rng.random() < p))


def test_it_recovers_skill_and_left_bias():
    skills, biases = [0.95, 0.9, 0.3, 0.25], [0.5, 0.5, 0.5, 0.95]
    fits = fit_annotators(list(crowd(skills, biases)))
    assert [fit.annotator for fit in fits] == [0, 1, 2, 3]
    assert all(fit.n == 250 for fit in fits)
    assert min(fits[0].skill, fits[1].skill) > max(fits[2].skill, fits[3].skill) + 0.3
    assert fits[3].left_bias > 0.8
    assert 0.3 < fits[2].left_bias < 0.7
    assert [fit.weight for fit in fits] == [pytest.approx(fit.skill) for fit in fits]


def test_gold_tells_a_contrarian_from_a_good_annotator():
    # Both saw the same pairs and always disagree: only gold can say who is right.
    observations = []
    for pair in range(30):
        a, b = 2 * pair, 2 * pair + 1
        observations += [Observation(1, a, b, 1.0), Observation(2, a, b, 0.0)]
    gold = [(2 * pair, 2 * pair + 1) for pair in range(15)]
    right, wrong = fit_annotators(observations, gold)
    assert right.skill > wrong.skill + 0.2


def test_the_leaderboard_orders_versions_and_counts():
    rng = np.random.default_rng(1)
    strength = {10: 1.5, 20: 0.0, 30: -1.5}
    outcomes = []
    for _ in range(900):
        i, j = rng.choice(list(strength), 2, replace=False)
        d, u = strength[i] - strength[j], rng.random()
        win, loss = sigmoid(d - 0.5), sigmoid(-d - 0.5)
        outcomes.append((int(i), int(j), 1.0 if u < win else 0.0 if u < win + loss else 0.5))
    table = leaderboard(outcomes, bootstrap=60)
    assert [standing.version for standing in table] == [10, 20, 30]
    assert sum(standing.n for standing in table) == 2 * len(outcomes)
    # 400 points are odds of ten to one: 1.5 nats are 260 points.
    assert table[0].rating - table[1].rating == pytest.approx(1.5 * 400 / np.log(10), abs=70)
    assert all(standing.low < standing.rating < standing.high for standing in table)


def test_the_leaderboard_is_fair_to_mirrored_results_and_empty_without_any():
    first, second = leaderboard([(1, 2, 1.0), (1, 2, 0.0), (2, 1, 0.5)], bootstrap=20)
    assert first.rating == pytest.approx(second.rating, abs=1)
    assert leaderboard([(1, 1, 1.0)]) == []
