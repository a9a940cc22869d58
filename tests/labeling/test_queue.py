from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from core.models import AuditEntry
from labeling import services
from labeling.errors import Conflict
from labeling.models import AnnotatorProfile, Choice, Comparison, Lease

pytestmark = pytest.mark.django_db


class Draws(random.Random):
    """Draws given numbers: the first decides gold or repeat, the next the side, and so on."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(0)
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0) if self.numbers else 0.99


def test_it_leases_what_is_there(make_comparisons, annotator):
    comparisons = make_comparisons(3)
    found = services.leases_next(annotator=annotator, count=2)
    assert found.status == "ok"
    assert len(found.leases) == 2
    assert {lease.comparison_id for lease in found.leases} <= {comparison.pk for comparison in comparisons}
    assert all(lease.annotator == annotator and lease.expires_at > timezone.now() for lease in found.leases)


def test_it_serves_higher_priority_first(make_comparisons, annotator):
    make_comparisons(2, priority=1.0)
    high = make_comparisons(1, priority=5.0)[0]
    assert services.leases_next(annotator=annotator).leases[0].comparison_id == high.pk


def test_it_serves_a_newcomer_of_higher_priority_after_the_cursor_moved(make_comparisons, annotator):
    make_comparisons(3, priority=1.0)
    services.leases_next(annotator=annotator)
    high = make_comparisons(1, priority=5.0)[0]
    assert services.leases_next(annotator=annotator).leases[0].comparison_id == high.pk


def test_it_never_gives_one_pair_to_two_with_overlap_one(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    assert services.leases_next(annotator=annotator).status == "ok"
    assert services.leases_next(annotator=second_annotator).status == "all_leased"


def test_it_gives_a_pair_to_as_many_as_overlap_asks_for(make_comparisons, annotator, second_annotator, answer):
    comparison = make_comparisons(1, overlap=2)[0]
    answer(annotator)
    answer(second_annotator)
    comparison.refresh_from_db()
    assert (comparison.state, comparison.answered, comparison.leased) == ("done", 2, 0)


def test_it_never_gives_a_pair_twice_to_one_person(make_comparisons, annotator, answer):
    make_comparisons(1, overlap=3)
    answer(annotator)
    assert services.leases_next(annotator=annotator).status == "all_done"


def test_it_tells_nothing_sampled_from_all_done(project, make_comparisons, annotator, answer):
    assert services.leases_next(annotator=annotator).status == "nothing_sampled"
    make_comparisons(1)
    answer(annotator)
    assert services.leases_next(annotator=annotator).status == "all_done"


def test_it_gives_an_expired_lease_to_someone_else(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    lease = services.leases_next(annotator=annotator).leases[0]
    Lease.objects.filter(pk=lease.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert services.leases_next(annotator=second_annotator).status == "ok"
    lease.refresh_from_db()
    assert lease.state == "expired"


def test_it_gives_a_returned_pair_to_anyone_again(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    lease = services.leases_next(annotator=annotator).leases[0]
    assert services.leases_return(annotator=annotator, lease_ids=[lease.pk]) == 1
    assert services.leases_return(annotator=annotator, lease_ids=[lease.pk]) == 0
    assert services.leases_next(annotator=second_annotator).status == "ok"


def test_it_does_not_return_the_lease_of_another(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    lease = services.leases_next(annotator=annotator).leases[0]
    assert services.leases_return(annotator=second_annotator, lease_ids=[lease.pk]) == 0


def test_it_extends_a_lease_by_heartbeat(make_comparisons, annotator, second_annotator):
    make_comparisons(1)
    lease = services.leases_next(annotator=annotator).leases[0]
    Lease.objects.filter(pk=lease.pk).update(expires_at=timezone.now() + timedelta(seconds=1))
    held, expires_at = services.leases_heartbeat(annotator=annotator, lease_ids=[lease.pk])
    lease.refresh_from_db()
    assert (held, lease.expires_at) == ([lease.pk], expires_at)
    assert expires_at > timezone.now() + timedelta(seconds=60)
    assert services.leases_heartbeat(annotator=second_annotator, lease_ids=[lease.pk])[0] == []
    lease.refresh_from_db()
    assert lease.expires_at == expires_at, "a stranger extended it"
    services.leases_return(annotator=annotator, lease_ids=[lease.pk])
    assert services.leases_heartbeat(annotator=annotator, lease_ids=[lease.pk])[0] == []


def test_it_hands_out_old_leases_again_instead_of_hoarding(make_comparisons, annotator):
    make_comparisons(28)
    for _ in range(6):
        services.leases_next(annotator=annotator, count=4)
    assert Lease.objects.filter(annotator=annotator, state="active").count() == services.leases.HELD_AT_MOST


def test_what_a_closing_page_gives_back_is_not_what_the_next_page_shows(make_comparisons, annotator):
    """A reload: the new page asks for pairs before the old one's farewell has arrived."""
    make_comparisons(28)
    old = [lease for _ in range(4) for lease in services.leases_next(annotator=annotator, count=4).leases]
    assert len(old) == services.leases.HELD_AT_MOST
    new = services.leases_next(annotator=annotator, count=4).leases
    assert [(lease.comparison_id, lease.swapped) for lease in new] == [
        (lease.comparison_id, lease.swapped) for lease in sorted(old[:4], key=lambda one: one.pk)
    ]
    assert services.leases_return(annotator=annotator, lease_ids=[lease.pk for lease in old]) == 12
    assert set(Lease.objects.filter(annotator=annotator, state="active").values_list("pk", flat=True)) == {lease.pk for lease in new}
    assert set(Comparison.objects.filter(leased__gt=0).values_list("pk", "leased")) == {(lease.comparison_id, 1) for lease in new}


def test_a_page_gets_its_own_leases_again(make_comparisons, annotator):
    make_comparisons(28)
    mine = [lease.pk for _ in range(4) for lease in services.leases_next(annotator=annotator, count=4).leases]
    again = services.leases_next(annotator=annotator, count=4, held=mine).leases
    assert {lease.pk for lease in again} == set(mine[:4])


def test_it_draws_both_sides(make_comparisons, annotator, answer):
    make_comparisons(40)
    swapped = {answer(annotator).lease.swapped for _ in range(40)}
    assert swapped == {True, False}


def test_it_mixes_in_gold_once(project, make_comparisons, annotator, researcher, answer):
    project.gold_share = 0.5
    project.save()
    gold, *_ = make_comparisons(6)
    services.comparison_make_gold(comparison=gold, answer="a", by=researcher)
    lease = services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0]
    assert lease.comparison_id == gold.pk
    answer(annotator, lease=lease)
    assert services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0].comparison_id != gold.pk
    gold.refresh_from_db()
    assert gold.state == "open"


def test_a_gold_pair_does_not_cost_the_queue_a_pair(project, make_comparisons, annotator, researcher):
    project.gold_share = 0.5
    project.save()
    gold, waiting = make_comparisons(2)
    services.comparison_make_gold(comparison=gold, answer="a", by=researcher)
    assert services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0].comparison_id == gold.pk
    assert services.leases_next(annotator=annotator, rng=Draws(0.9)).leases[0].comparison_id == waiting.pk


def test_gold_alone_does_not_hide_that_all_is_done(project, make_comparisons, annotator, researcher, answer):
    project.gold_share = 0.5
    project.save()
    gold, other = make_comparisons(2)
    services.comparison_make_gold(comparison=gold, answer="a", by=researcher)
    services.comparison_retire(comparison=other, by=researcher, reason="blurred")
    assert services.leases_next(annotator=annotator, rng=Draws(0.1)).status == "all_done"


def test_it_repeats_a_pair_once_with_sides_swapped(project, make_comparisons, annotator, answer):
    project.repeat_share, project.repeat_after = 0.5, 2
    project.save()
    make_comparisons(8)
    first = [answer(annotator, lease=services.leases_next(annotator=annotator, rng=Draws(0.9, 0.1)).leases[0]) for _ in range(3)]
    lease = services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0]
    assert lease.comparison.kind == "repeat"
    assert lease.comparison.repeat_of_id == first[0].comparison_id
    assert lease.swapped is not first[0].lease.swapped
    answer(annotator, lease=lease)
    other = services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0].comparison
    assert other.repeat_of_id not in (None, first[0].comparison_id)


def test_it_takes_a_new_annotator_through_the_qualifying_set(project, make_comparisons, annotator, researcher):
    project.qualifying_pairs, project.qualifying_accuracy = 2, 0.6
    project.save()
    comparisons = make_comparisons(4)
    for comparison in comparisons[:2]:
        services.comparison_make_gold(comparison=comparison, answer="a", by=researcher, qualifying=True)
    import uuid

    for number in range(2):
        lease = services.leases_next(annotator=annotator).leases[0]
        assert lease.comparison.qualifying
        body = {"lease": str(lease.pk), "answer": "right" if lease.swapped else "left"}
        submitted = services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body)
        assert submitted.qualifying["done"] == number + 1
        assert submitted.qualifying["correct"]
    assert AnnotatorProfile.objects.get(user=annotator).qualification == "passed"
    assert not services.leases_next(annotator=annotator).leases[0].comparison.qualifying


def test_it_fails_those_who_do_not_see_the_difference(project, make_comparisons, annotator, researcher, answer):
    project.qualifying_pairs, project.qualifying_accuracy = 2, 0.6
    project.save()
    for comparison in make_comparisons(2):
        services.comparison_make_gold(comparison=comparison, answer="tie", by=researcher, qualifying=True)
    answer(annotator)
    answer(annotator)
    assert AnnotatorProfile.objects.get(user=annotator).qualification == "failed"


@pytest.fixture
def failed(project, make_comparisons, annotator, researcher, answer):
    """An annotator who answered one of two qualifying pairs wrongly, skipped the other, and failed."""
    project.qualifying_pairs, project.qualifying_accuracy = 2, 0.6
    project.save()
    for comparison in make_comparisons(4)[:2]:
        services.comparison_make_gold(comparison=comparison, answer="tie", by=researcher, qualifying=True)
    answer(annotator)
    services.lease_skip(annotator=annotator, lease_id=services.leases_next(annotator=annotator).leases[0].pk)
    assert not services.leases_next(annotator=annotator).leases[0].comparison.qualifying
    assert AnnotatorProfile.objects.get(user=annotator).qualification == "failed"
    return annotator


def test_an_admin_gives_another_try_at_the_qualifying_set(failed, admin_person, answer):
    first = Choice.objects.get(annotator=failed)
    services.annotator_retry_qualification(annotator=failed, by=admin_person)
    assert AnnotatorProfile.objects.get(user=failed).qualification == "none"
    for _ in range(2):
        choice = answer(failed, "tie")
        assert choice.comparison.qualifying
    assert AnnotatorProfile.objects.get(user=failed).qualification == "passed"
    first.refresh_from_db()
    assert first.undone_by is not None, "what was answered first is kept, and does not count"
    assert set(Comparison.objects.filter(qualifying=True).values_list("answered", "leased")) == {(1, 0)}
    entry = AuditEntry.objects.get(action="annotator.retry_qualification")
    assert (entry.actor, entry.before, entry.after["qualification"]) == (admin_person, {"qualification": "failed"}, "none")


def test_only_who_failed_is_given_another_try(project, annotator, admin_person):
    with pytest.raises(Conflict) as refusal:
        services.annotator_retry_qualification(annotator=annotator, by=admin_person)
    assert refusal.value.code == "not_failed"


def test_the_queue_walks_its_own_index(make_comparisons, annotator):
    make_comparisons(60)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + services.leases.NEXT_SQL, {"annotator": annotator.pk, "count": 1, **services.leases.START_OF_QUEUE})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Scan Backward using labeling_queue" in plan
    assert "Sort" not in plan


def test_comparisons_are_made_once(make_comparisons):
    comparisons = make_comparisons(3)
    again = services.comparisons.NewPair((comparisons[0].rollout_b_id, comparisons[0].rollout_a_id), comparisons[0].start_frame_id, "uniform")
    assert services.comparisons_create(pairs=[again]) == []
    assert Comparison.objects.count() == 3


def test_skipping_the_whole_qualifying_set_does_not_qualify(project, make_comparisons, annotator, researcher):
    project.qualifying_pairs = 2
    project.save()
    comparisons = make_comparisons(3)
    for comparison in comparisons[:2]:
        services.comparison_make_gold(comparison=comparison, answer="a", by=researcher, qualifying=True)
    for lease in services.leases_next(annotator=annotator, count=2).leases:
        services.lease_skip(annotator=annotator, lease_id=lease.pk)
    assert services.leases_next(annotator=annotator).leases[0].comparison == comparisons[2]
    assert AnnotatorProfile.objects.get(user=annotator).qualification == "failed"


def test_without_a_qualifying_set_everyone_is_let_through(project, make_comparisons, annotator):
    project.qualifying_pairs = 5
    project.save()
    make_comparisons(1)
    assert services.leases_next(annotator=annotator).status == "ok"
    assert AnnotatorProfile.objects.get(user=annotator).qualification == "passed"


def test_an_answer_of_the_qualifying_set_stays(project, make_comparisons, annotator, researcher, answer):
    project.qualifying_pairs = 2
    project.save()
    for comparison in make_comparisons(2):
        services.comparison_make_gold(comparison=comparison, answer="a", by=researcher, qualifying=True)
    choice = answer(annotator)
    with pytest.raises(Conflict) as refusal:
        services.choice_undo(annotator=annotator, choice_id=choice.pk)
    assert refusal.value.code == "qualifying"
