from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from labeling import services
from labeling.errors import Conflict, Invalid, KeyReused, NotYours
from labeling.models import Choice, Lease

pytestmark = pytest.mark.django_db


@pytest.fixture
def lease(make_comparisons, annotator) -> Lease:
    make_comparisons(2)
    return services.leases_next(annotator=annotator).leases[0]


def body_of(held: Lease, **fields) -> dict:
    return {"lease": str(held.pk), "answer": "left", **fields}


def expire(lease: Lease) -> None:
    Lease.objects.filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    services.leases_expire()


@pytest.mark.parametrize("swapped", [False, True])
def test_it_stores_what_was_meant_not_where_it_stood(lease, annotator, swapped):
    Lease.objects.filter(pk=lease.pk).update(swapped=swapped)
    services.choice_submit(
        annotator=annotator,
        key=uuid.uuid4(),
        body=body_of(
            lease,
            strength=2,
            criteria={"safe": "left", "task_done": "both", "plausible": None},
            success_left=True,
            success_right=False,
            segments=[{"side": "right", "from": 3, "to": 9}],
            rationale="it walks around the dog",
            response_ms=2300,
            replays=1,
            visible_ms=2200,
            client={"app": "test"},
        ),
    )
    choice = Choice.objects.get()
    left, right = ("b", "a") if swapped else ("a", "b")
    assert (choice.answer, choice.side, choice.strength) == (left, "left", 2)
    assert choice.criteria == {"safe": left, "task_done": "both"}
    assert (choice.success_b, choice.success_a) == ((True, False) if swapped else (False, True))
    assert choice.segments == [{"side": right, "from": 3, "to": 9}]
    assert (choice.response_ms, choice.replays, choice.visible_ms) == (2300, 1, 2200)


def test_a_replay_answers_the_original(lease, annotator):
    key = uuid.uuid4()
    first = services.choice_submit(annotator=annotator, key=key, body=body_of(lease))
    again = services.choice_submit(annotator=annotator, key=key, body=body_of(lease))
    assert first.created
    assert not again.created
    assert again.choice == first.choice
    assert Choice.objects.count() == 1


def test_it_refuses_another_body_under_the_same_key(lease, annotator, second_annotator):
    key = uuid.uuid4()
    services.choice_submit(annotator=annotator, key=key, body=body_of(lease))
    with pytest.raises(KeyReused):
        services.choice_submit(annotator=annotator, key=key, body=body_of(lease, answer="right"))
    with pytest.raises(KeyReused):
        services.choice_submit(annotator=second_annotator, key=key, body=body_of(lease))


def test_it_refuses_a_second_answer(lease, annotator):
    services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))
    with pytest.raises(Conflict) as refusal:
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease, answer="right"))
    assert refusal.value.code == "already_answered"


def test_it_refuses_the_lease_of_another(lease, second_annotator):
    with pytest.raises(NotYours):
        services.choice_submit(annotator=second_annotator, key=uuid.uuid4(), body=body_of(lease))


def test_it_keeps_a_late_answer_while_the_place_is_free(lease, annotator):
    expire(lease)
    submitted = services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))
    assert submitted.created
    assert submitted.choice.late
    lease.comparison.refresh_from_db()
    assert (lease.comparison.state, lease.comparison.answered, lease.comparison.leased) == ("done", 1, 0)


def test_it_explains_a_lease_that_someone_else_has(lease, annotator, second_annotator):
    expire(lease)
    services.leases_next(annotator=second_annotator, count=2)
    with pytest.raises(Conflict) as refusal:
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))
    assert refusal.value.code == "lease_lost"


def test_it_explains_a_comparison_that_is_done(lease, annotator, second_annotator, answer):
    expire(lease)
    answer(second_annotator)
    answer(second_annotator)
    with pytest.raises(Conflict) as refusal:
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))
    assert refusal.value.code == "comparison_closed"


def test_a_late_answer_takes_the_place_of_ones_own_new_lease(lease, annotator):
    expire(lease)
    anew = services.leases_next(annotator=annotator, count=2).leases
    same = next(other for other in anew if other.comparison_id == lease.comparison_id)
    assert services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease)).choice.late
    same.refresh_from_db()
    lease.comparison.refresh_from_db()
    assert same.state == "returned"
    assert (lease.comparison.answered, lease.comparison.leased) == (1, 0)


def test_it_refuses_an_answer_to_a_retired_comparison(lease, annotator, researcher):
    services.comparison_retire(comparison=lease.comparison, by=researcher, reason="broken clip")
    with pytest.raises(Conflict) as refusal:
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))
    assert refusal.value.code == "comparison_closed"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"answer": "both"}, "answer"),
        ({"strength": 4}, "strength"),
        ({"strength": True}, "strength"),
        ({"answer": "tie", "strength": 2}, "strength"),
        ({"criteria": {"beauty": "left"}}, "beauty"),
        ({"criteria": {"safe": "a"}}, "safe"),
        ({"success_left": "yes"}, "success_left"),
        ({"segments": [{"side": "left", "from": 9, "to": 3}]}, "segments"),
        ({"segments": [{"side": "left", "from": 0, "to": 13}]}, "segments"),
        ({"segments": {"side": "left"}}, "segments"),
        ({"response_ms": -1}, "response_ms"),
        ({"rationale": "x" * 5000}, "rationale"),
        ({"client": []}, None),
        ({"annotator": 1}, "annotator"),
        ({"lease": "1"}, "lease"),
    ],
)
def test_it_refuses_nonsense_by_name(lease, annotator, fields, word):
    body = body_of(lease, **fields)
    if word is None:
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body)  # an empty list is an empty object
        return
    with pytest.raises(Invalid, match=word):
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body)
    assert not Choice.objects.exists()


def test_undo_leases_the_pair_to_the_same_person_and_keeps_history(lease, annotator):
    choice = services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease)).choice
    again = services.choice_undo(annotator=annotator, choice_id=choice.pk)
    assert again.comparison_id == lease.comparison_id
    assert again.swapped == lease.swapped
    lease.comparison.refresh_from_db()
    assert (lease.comparison.state, lease.comparison.answered, lease.comparison.leased) == ("open", 0, 1)
    services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(again, answer="tie"))
    history = {(stored.answer, stored.undone_by_id is None) for stored in Choice.objects.all()}
    assert history == {(choice.answer, False), ("tie", True)}


def test_undo_refuses_what_is_not_ones_own_or_undone_or_old(make_comparisons, annotator, second_annotator, answer):
    make_comparisons(12)
    choices = [answer(annotator) for _ in range(12)]
    with pytest.raises(NotYours):
        services.choice_undo(annotator=second_annotator, choice_id=choices[-1].pk)
    with pytest.raises(Conflict) as refusal:
        services.choice_undo(annotator=annotator, choice_id=choices[0].pk)
    assert refusal.value.code == "too_old"
    services.choice_undo(annotator=annotator, choice_id=choices[-1].pk)
    with pytest.raises(Conflict) as refusal:
        services.choice_undo(annotator=annotator, choice_id=choices[-1].pk)
    assert refusal.value.code == "already_undone"


def test_a_skipped_pair_goes_to_someone_else(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    lease = services.leases_next(annotator=annotator).leases[0]
    services.lease_skip(annotator=annotator, lease_id=lease.pk, reason="too dark", flag=True)
    services.lease_skip(annotator=annotator, lease_id=lease.pk, reason="too dark", flag=True)
    assert services.leases_next(annotator=annotator).status == "all_done"
    assert services.leases_next(annotator=second_annotator).leases[0].comparison_id == lease.comparison_id
    lease.comparison.refresh_from_db()
    assert lease.comparison.flagged_at is not None
    with pytest.raises(Conflict):
        services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body_of(lease))


def test_a_flag_needs_a_reason(lease, annotator):
    with pytest.raises(Invalid):
        services.lease_skip(annotator=annotator, lease_id=lease.pk, flag=True)
