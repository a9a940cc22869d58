from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from labeling import services
from labeling.errors import Conflict, Invalid
from labeling.models import AnnotatorEstimate, Comparison
from labeling.selectors import ChoiceFilter, choices_for_round
from labeling.selectors.leaderboard import versions_ranked
from labeling.selectors.quality import annotators_quality, overall
from labeling.selectors.rounds import UNKNOWN_WEIGHT
from labeling.services.comparisons import NewPair
from tests.labeling import factories

pytestmark = pytest.mark.django_db


def test_a_row_for_a_round_says_everything(make_comparisons, annotator, answer):
    comparison = make_comparisons(1)[0]
    choice = answer(annotator, strength=2, segments=[{"side": "right", "from": 1, "to": 5}], success_left=True)
    (row,) = choices_for_round()
    assert (row.choice, row.comparison, row.annotator, row.weight) == (choice.pk, comparison.pk, annotator.pk, UNKNOWN_WEIGHT)
    assert (row.rollout_a, row.rollout_b, row.start_frame) == (comparison.rollout_a_id, comparison.rollout_b_id, comparison.start_frame_id)
    assert (row.answer, row.strength, row.segments, row.prompt) == (choice.answer, 2, choice.segments, "go to the red ball")
    assert row.scenario == comparison.start_frame.scenario_version.scenario_id
    assert row.policy_version_a == comparison.rollout_a.policy_version_id


def test_a_round_leaves_out_what_does_not_count(make_comparisons, annotator, second_annotator, admin_person, answer, researcher):
    make_comparisons(6)
    undone = answer(annotator)
    answer(annotator, "cant_tell")
    gold = answer(annotator)
    services.comparison_make_gold(comparison=gold.comparison, answer="a", by=researcher)
    kept = answer(second_annotator, "tie")
    excluded = answer(annotator)
    services.annotator_exclude(annotator=annotator, by=admin_person, from_at=excluded.created_at, reason="asleep")
    services.leases_return(annotator=annotator, lease_ids=[services.choice_undo(annotator=annotator, choice_id=undone.pk).pk])
    assert [row.choice for row in choices_for_round()] == [kept.pk]
    assert len(choices_for_round(ChoiceFilter(answers=("a", "b", "tie", "cant_tell"), kinds=("normal", "gold"), include_excluded=True))) == 4


def test_weights_come_from_the_latest_fit(make_comparisons, annotator, answer):
    make_comparisons(1)
    answer(annotator)
    now = timezone.now()
    for days, weight in ((2, 0.9), (1, 0.4)):
        AnnotatorEstimate.objects.create(annotator=annotator, fitted_at=now - timedelta(days=days), skill=weight, left_bias=0.5, weight=weight, choices=1)
    assert [row.weight for row in choices_for_round()] == [0.4]
    assert [row.weight for row in choices_for_round(weighting="equal")] == [1.0]
    with pytest.raises(ValueError, match="weighting"):
        choices_for_round(weighting="loud")


def test_the_order_is_stable(make_comparisons, annotator, answer):
    make_comparisons(12)
    made = [answer(annotator).pk for _ in range(12)]
    assert [row.choice for row in choices_for_round()] == made == [row.choice for row in choices_for_round()]


def test_an_exclusion_opens_the_pairs_again_and_lifting_closes_them(make_comparisons, annotator, second_annotator, admin_person, answer):
    comparison = make_comparisons(1)[0]
    choice = answer(annotator)
    with pytest.raises(Invalid):
        services.annotator_exclude(annotator=annotator, by=admin_person, from_at=choice.created_at, reason=" ")
    exclusion = services.annotator_exclude(annotator=annotator, by=admin_person, from_at=choice.created_at, reason="bot")
    assert services.leases_next(annotator=annotator).status == "all_done"
    answer(second_annotator)
    services.exclusion_lift(exclusion=exclusion, by=admin_person)
    with pytest.raises(Conflict):
        services.exclusion_lift(exclusion=exclusion, by=admin_person)
    comparison.refresh_from_db()
    assert (comparison.state, comparison.answered) == ("done", 2)


def test_answers_of_an_excluded_annotator_do_not_close_pairs(make_comparisons, annotator, admin_person, answer):
    comparison = make_comparisons(1)[0]
    services.annotator_profile(user=annotator)
    services.annotator_exclude(annotator=annotator, by=admin_person, from_at=timezone.now() - timedelta(minutes=1), reason="bot")
    answer(annotator)
    comparison.refresh_from_db()
    assert (comparison.state, comparison.answered, comparison.leased) == ("open", 0, 0)


def test_it_flags_straight_lining_speed_and_one_side(make_comparisons, annotator, second_annotator, answer):
    make_comparisons(60)
    for number in range(25):
        answer(annotator, "left", response_ms=200)
        answer(second_annotator, ("left", "right", "tie")[number % 3], response_ms=4000)
    rows = {row.user.pk: row for row in annotators_quality()}
    flags = " ".join(rows[annotator.pk].flags)
    assert "Too fast: 100%" in flags
    assert "One side: 100% left" in flags
    assert "Straight-lining: 25 times" in flags
    assert rows[second_annotator.pk].flags == []
    assert rows[second_annotator.pk].median_ms == 4000


def test_gold_accuracy_and_agreement(make_comparisons, annotator, second_annotator, answer, researcher):
    comparisons = make_comparisons(8, overlap=2)
    for comparison in comparisons:
        for person, right in ((annotator, True), (second_annotator, comparison.pk % 2 == 0)):
            lease = next(found for found in services.leases_next(annotator=person, count=1).leases)
            side = "left" if lease.swapped != right else "right"  # a on the left, unless swapped
            answer(person, side, lease=lease)
    Comparison.objects.filter(kind="normal").update(kind="gold", gold_answer="a")
    rows = {row.user.pk: row for row in annotators_quality()}
    assert (rows[annotator.pk].gold.count, rows[annotator.pk].gold.n) == (8, 8)
    low, high = rows[annotator.pk].gold.interval
    assert 0.6 < low < high == 1.0
    assert 0 < rows[second_annotator.pk].gold.value < 1
    assert rows[annotator.pk].with_others.n == 8


def test_overall_agreement_needs_shared_pairs(make_comparisons, annotator, second_annotator, answer):
    make_comparisons(3, overlap=2)
    for number in range(3):
        for person in (annotator, second_annotator):
            lease = services.leases_next(annotator=person).leases[0]
            better_is_a = number % 2 == 0
            answer(person, "left" if lease.swapped != better_is_a else "right", lease=lease, success_left=True, success_right=True)
    found = overall()
    assert (found["choices"], found["alpha_units"]) == (6, 3)
    assert found["alpha"] == pytest.approx(1.0)
    assert found["success_alpha"] is None  # one single answer everywhere says nothing about agreement


def test_the_annotator_model_is_fitted_once_per_news(make_comparisons, annotator, answer):
    make_comparisons(4)
    answer(annotator)
    assert [estimate.annotator for estimate in services.annotator_estimates_fit()] == [annotator]
    assert services.annotator_estimates_fit() == []
    assert len(services.annotator_estimates_fit(force=True)) == 1
    answer(annotator, "tie")
    assert services.annotator_estimates_fit()[0].choices == 2


def test_versions_are_ranked_by_choices_across_them(project, annotator, answer):
    project.pair_strategy = "uniform"
    project.save()
    frame = factories.start_frame()
    worse, better = factories.policy_version("worse"), factories.policy_version("better")
    first = factories.rollouts(6, frame=frame, version=worse)
    second = factories.rollouts(6, frame=frame, version=better)
    services.comparisons_create(
        pairs=[NewPair((a.pk, b.pk), frame.pk, "uniform") for a, b in zip(first, second, strict=True)]
        + [NewPair((first[0].pk, first[1].pk), frame.pk, "uniform")]
    )
    for number in range(7):
        lease = services.leases_next(annotator=annotator).leases[0]
        same = lease.comparison.rollout_b.policy_version_id == worse.pk
        answer(annotator, "both_bad" if same or number == 3 else "left" if lease.swapped else "right", lease=lease)
    board = versions_ranked(bootstrap=50)
    assert [place.version.name for place in board.places] == ["better", "worse"]
    assert (board.comparisons, board.choices) == (6, 7)
    assert board.places[0].standing.wins in (5, 6)
    assert board.places[0].standing.n == 6
