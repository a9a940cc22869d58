"""Many connections at once, on real PostgreSQL: no pair is leased twice, no answer is lost or doubled, nothing deadlocks."""

from __future__ import annotations

import threading
import uuid
from collections import Counter

import pytest
from django.db import connection

from core.people import person_ensure
from labeling import services
from labeling.errors import LabelingError
from labeling.models import Choice, Comparison, Lease, Project
from tests.labeling import factories

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, work) -> list:
    results: list = [None] * count
    barrier = threading.Barrier(count)

    def run(place: int) -> None:
        try:
            barrier.wait()
            results[place] = work(place)
        except LabelingError as error:
            results[place] = error
        except BaseException as error:
            results[place] = error
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.fixture
def crowd():
    project = Project.current()
    project.gold_share = project.repeat_share = 0
    project.qualifying_pairs = 0
    project.save()
    return [person_ensure(username=f"crowd-{n}", roles=("annotator",)) for n in range(8)]


def comparisons(count: int, overlap: int = 1) -> None:
    rollouts = factories.rollouts(count + 1)
    first = rollouts[0]
    services.comparisons_create(
        pairs=[services.comparisons.NewPair((first.pk, other.pk), first.start_frame_id, "uniform") for other in rollouts[1:]],
        required_overlap=overlap,
    )


@pytest.mark.parametrize("overlap", [1, 3])
def test_a_crowd_answers_every_pair_exactly_as_often_as_asked(crowd, overlap):
    comparisons(24, overlap)

    def work(place: int) -> int:
        done = 0
        for _ in range(200):
            found = services.leases_next(annotator=crowd[place], count=2)
            if found.status == "all_done":
                return done
            for lease in found.leases:
                services.choice_submit(annotator=crowd[place], key=uuid.uuid4(), body={"lease": str(lease.pk), "answer": "left"})
                done += 1
        raise AssertionError("never all done")

    done = at_once(len(crowd), work)
    assert sum(done) == 24 * overlap == Choice.objects.count()
    assert set(Comparison.objects.values_list("state", "answered", "leased")) == {("done", overlap, 0)}
    assert max(Counter(Choice.objects.values_list("comparison", "annotator")).values()) == 1


def test_one_request_sent_eight_times_at_once_is_one_choice(crowd):
    comparisons(1)
    lease = services.leases_next(annotator=crowd[0]).leases[0]
    key = uuid.uuid4()
    body = {"lease": str(lease.pk), "answer": "right"}
    results = at_once(8, lambda _: services.choice_submit(annotator=crowd[0], key=key, body=body))
    assert sorted(result.created for result in results) == [False] * 7 + [True]
    assert Choice.objects.count() == 1


def test_two_answers_to_one_lease_at_once_are_one_choice(crowd):
    comparisons(1)
    lease = services.leases_next(annotator=crowd[0]).leases[0]
    body = {"lease": str(lease.pk), "answer": "right"}
    results = at_once(6, lambda _: services.choice_submit(annotator=crowd[0], key=uuid.uuid4(), body=body))
    assert sum(not isinstance(result, LabelingError) for result in results) == 1
    assert {result.code for result in results if isinstance(result, LabelingError)} == {"already_answered"}


def test_expiry_answers_and_next_do_not_deadlock(crowd):
    comparisons(30, overlap=2)
    from datetime import timedelta

    from django.utils import timezone

    def work(place: int) -> None:
        for _ in range(12):
            leases = services.leases_next(annotator=crowd[place], count=4).leases
            if place % 2:
                Lease.objects.filter(pk__in=[lease.pk for lease in leases[:2]]).update(expires_at=timezone.now() - timedelta(seconds=1))
            for lease in leases[2:]:
                services.choice_submit(annotator=crowd[place], key=uuid.uuid4(), body={"lease": str(lease.pk), "answer": "tie"})
            services.leases_return(annotator=crowd[place], lease_ids=[lease.pk for lease in leases[:1]])

    results = at_once(len(crowd), work)
    assert not [result for result in results if isinstance(result, BaseException) and not isinstance(result, LabelingError)]
    for comparison in Comparison.objects.all():
        assert comparison.leased == comparison.leases.filter(state="active").count()
        assert comparison.answered == comparison.choices.count() <= 2
