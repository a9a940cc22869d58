"""Choices to learn from, and weights small enough to learn in a test."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import uuid

import pytest


@pytest.fixture
def make_choices(db, annotator):
    """make_choices(12) -> twelve answers of one annotator, "left" unless told otherwise, through the labeling services."""
    from labeling import services
    from labeling.models import Project
    from labeling.services.comparisons import NewPair
    from tests.labeling import factories

    project = Project.current()
    project.gold_share = project.repeat_share = 0.0
    project.qualifying_pairs = 0
    project.save()

    def make(count: int, *, version=None, by=annotator, answers=("left",), **fields):
        made = []
        for number in range(count):
            a, b = factories.rollouts(2, version=version, **fields)
            services.comparisons_create(pairs=[NewPair((a.pk, b.pk), a.start_frame_id, "uniform", 0.0)], required_overlap=1)
            lease = services.leases_next(annotator=by).leases[0]
            body = {"lease": str(lease.pk), "answer": answers[number % len(answers)]}
            made.append(services.choice_submit(annotator=by, key=uuid.uuid4(), body=body).choice)
        return made

    return make


@pytest.fixture
def parent(db):
    """A version that exists, with files that nobody loads."""
    from tests.labeling import factories

    return factories.policy_version("base")
