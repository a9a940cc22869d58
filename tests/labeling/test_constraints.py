"""The database itself refuses what must not be, whatever the code does."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from labeling import services
from labeling.models import Choice, Comparison, Lease, Project, Skip, Undo
from tests.labeling import factories

pytestmark = pytest.mark.django_db


def refused(name: str):
    """The block breaks the constraint `name`; deferred ones are checked at its end."""
    return _Refused(name)


class _Refused:
    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self):
        self.atomic = transaction.atomic()
        self.atomic.__enter__()

    def __exit__(self, kind, error, trace):
        if error is None:
            try:
                connection.check_constraints()
            except IntegrityError as late:
                _kind, error = type(late), late
        self.atomic.__exit__(IntegrityError, error, trace) if error else self.atomic.__exit__(None, None, None)
        assert error is not None, f"nothing refused; expected {self.name}"
        assert isinstance(error, IntegrityError), error
        assert self.name in str(error)
        return True


def choice_row(lease: Lease, **fields) -> Choice:
    values = {
        "id": uuid.uuid4(), "annotator_id": lease.annotator_id, "comparison_id": lease.comparison_id, "lease": lease,
        "answer": "tie", "side": "neither", "request_hash": "0" * 64, "created_at": timezone.now(), **fields,
    }  # fmt: skip
    return Choice.objects.create(**values)


@pytest.fixture
def lease(make_comparisons, annotator) -> Lease:
    make_comparisons(1, overlap=2)
    return services.leases_next(annotator=annotator).leases[0]


def test_both_rollouts_share_the_start_frame(project):
    (a,), (b,) = factories.rollouts(1), factories.rollouts(1)
    with refused("shares_start_frame"):
        Comparison.objects.create(rollout_a=a, rollout_b=b, start_frame=a.start_frame, strategy="uniform")


def test_both_rollouts_have_the_same_prompt(project):
    (a,) = factories.rollouts(1)
    (b,) = factories.rollouts(1, frame=a.start_frame, prompt="go to the blue ball")
    with refused("same_prompt"):
        Comparison.objects.create(rollout_a=a, rollout_b=b, start_frame=a.start_frame, strategy="uniform")


def test_a_pair_exists_once_and_in_order(project):
    a, b = factories.rollouts(2)
    Comparison.objects.create(rollout_a=a, rollout_b=b, start_frame=a.start_frame, strategy="uniform")
    with refused("labeling_comparison_pair_once"):
        Comparison.objects.create(rollout_a=a, rollout_b=b, start_frame=a.start_frame, strategy="uniform")
    with refused("labeling_comparison_a_before_b"):
        Comparison.objects.create(rollout_a=b, rollout_b=a, start_frame=a.start_frame, strategy="uniform")


def test_a_comparison_is_not_leased_more_often_than_it_needs_answers(lease):
    with refused("labeling_comparison_not_overleased"):
        Comparison.objects.filter(pk=lease.comparison_id).update(leased=3)


def test_one_turn_for_one_annotator(lease):
    with refused("labeling_lease_one_turn"):
        Lease.objects.create(annotator=lease.annotator, comparison=lease.comparison, swapped=False, expires_at=timezone.now())


def test_one_live_choice_for_one_annotator_and_comparison(lease):
    choice_row(lease)
    Lease.objects.filter(pk=lease.pk).update(state="returned")
    other = Lease.objects.create(annotator=lease.annotator, comparison=lease.comparison, swapped=False, expires_at=timezone.now())
    with refused("labeling_choice_one_live"):
        choice_row(other)


def test_a_choice_needs_its_own_lease(lease, second_annotator):
    with refused("labeling_choice_own_lease"):
        choice_row(lease, annotator_id=second_annotator.pk)


def test_a_skip_needs_its_own_lease(lease, second_annotator):
    with refused("labeling_skip_own_lease"):
        Skip.objects.create(lease=lease, annotator=second_annotator, comparison=lease.comparison)


def test_a_choice_can_not_be_changed_or_deleted(lease, annotator):
    choice = choice_row(lease)
    with refused("append-only"):
        Choice.objects.filter(pk=choice.pk).update(answer="both_bad")
    with refused("append-only"):
        Choice.objects.filter(pk=choice.pk).delete()
    undo = Undo.objects.create(annotator=annotator)
    Choice.objects.filter(pk=choice.pk).update(undone_by=undo)
    with refused("append-only"):
        Choice.objects.filter(pk=choice.pk).update(undone_by=None)
    with refused("append-only"):
        Undo.objects.filter(pk=undo.pk).update(created_at=timezone.now())


def test_the_side_fits_the_answer(lease):
    with refused("labeling_choice_side_fits_answer"):
        choice_row(lease, answer="a", side="neither")


def test_there_is_one_project(project):
    with refused("labeling_project_is_one_row"):
        Project.objects.create(pk=2)
