from __future__ import annotations

import uuid

import pytest

from labeling import services
from labeling.models import Project
from labeling.services.comparisons import NewPair
from tests.labeling import factories


@pytest.fixture
def project(db) -> Project:
    """Only the plain queue: gold, repeats and the qualifying set are switched on by the tests that are about them."""
    project = Project.current()
    project.gold_share = project.repeat_share = 0.0
    project.qualifying_pairs = 0
    project.save()
    return project


@pytest.fixture
def make_comparisons(project):
    """make_comparisons(3) -> three open comparisons of one start frame."""

    def make(count: int = 1, *, overlap: int = 1, priority: float = 0.0, **fields):
        rollouts = []
        while len(rollouts) * (len(rollouts) - 1) // 2 < count:
            frame = rollouts[0].start_frame if rollouts else None
            version = rollouts[0].policy_version if rollouts else None
            rollouts += factories.rollouts(1, frame=frame, version=version, **fields)
        pairs = [(a.pk, b.pk) for place, a in enumerate(rollouts) for b in rollouts[place + 1 :]][:count]
        return services.comparisons_create(
            pairs=[NewPair(pair, rollouts[0].start_frame_id, "uniform", priority) for pair in pairs],
            required_overlap=overlap,
        )

    return make


@pytest.fixture
def answer():
    """answer(annotator, "left") leases the next comparison and answers it; returns the choice."""

    def submit(annotator, side: str = "left", lease=None, **fields):
        lease = lease or services.leases_next(annotator=annotator).leases[0]
        body = {"lease": str(lease.pk), "answer": side, **fields}
        return services.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body).choice

    return submit
