"""kill -9 and cancel in every stage of a round: it goes on and comes to the same weights and the same decision.

The stages run as in a worker's child, on the real database; only the weights are tiny.
"""

import signal

import pytest
from django.db import connection

from core.jobs import JobContext
from core.jobs.services import job_claim, job_requeue
from training import services
from training.models import Episode, Evaluation, Round, RoundMetric, RoundSnapshot

from . import killed_stage
from .test_pipeline import SETTINGS, dreamt_choices, finish, tiny_directory  # noqa: F401  (fixtures)

# Where each stage is hit: in the middle of its work, and just after something of it was written.
KILLS = {
    "snapshot": ("progress", 2),
    "post_train": ("write", 4),  # between the checkpoint of step 2 and the end
    "value_head": ("progress", 2),
    "evaluate": ("write", 2),  # the parent's episodes are kept, the child has not played
    "gate": ("write", 1),  # decided, but the job never said so
}


def killed(job, point: str, number: int):
    """Let a process of its own start this job and die in it; then do what its worker does."""
    claimed = job_claim(queue=job.queue, worker="test", job_id=job.pk)
    died = killed_stage.run(connection.settings_dict["NAME"], str(claimed.pk), str(claimed.lease_token), point, number)
    assert died == -signal.SIGKILL
    assert job_requeue(job_id=claimed.pk, token=claimed.lease_token, error="Its process was killed.")
    job.refresh_from_db()
    assert job.state == "queued"
    # Not in ten seconds, as a person would see it.
    job.run_after = None
    job.save(update_fields=["run_after"])


def outcome(row: Round) -> dict:
    """Everything that must not depend on what happened on the way."""
    episodes = Episode.objects.filter(evaluation__policy_version=row.child).order_by("index")
    decided = {name: value for name, value in row.gate.items() if name != "evaluations"}
    return {
        "snapshot": row.snapshot.sha256,
        "weights": row.child.components,
        "gate": decided,
        "state": row.state,
        "episodes": list(episodes.values("index", "seed", "success", "dog_contact", "steps")),
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_killed_in_every_stage_it_comes_to_the_same_end(dreamt_choices, run_job):  # noqa: F811
    row = services.round_start(parent=dreamt_choices, settings=SETTINGS, name="killed")
    for stage in Round.STAGES:
        row.refresh_from_db()
        assert row.stage == stage
        job = row.job
        killed(job, *KILLS[stage])
        job = run_job(job)
        assert (job.state, job.attempt) == ("succeeded", 2), job.error + job.traceback
    row.refresh_from_db()
    assert row.state in ("promoted", "rejected")
    assert RoundSnapshot.objects.filter(round=row).count() == 1
    assert RoundMetric.objects.filter(round=row, kind="held_out").count() == 3
    assert Evaluation.objects.count() == 2
    found = outcome(row)
    Evaluation.objects.all().update(suite_hash="played before")  # so that the parent plays again, too
    again = finish(services.round_start(parent=dreamt_choices, settings=SETTINGS, name="unbroken"), run_job)
    assert outcome(again) == found


def test_cancelled_in_every_stage_it_stops_and_resumes_to_the_same_end(dreamt_choices, researcher, run_job, monkeypatch):  # noqa: F811
    unbroken = finish(services.round_start(parent=dreamt_choices, settings=SETTINGS, name="unbroken"), run_job)
    row = services.round_start(parent=dreamt_choices, settings=SETTINGS, name="broken")
    progress = JobContext.progress

    def progress_then_cancel(self, *arguments, **named):
        progress(self, *arguments, **named)
        monkeypatch.setattr(JobContext, "progress", progress)  # once
        services.round_cancel(row=row, by=researcher)

    # The context looks for a cancellation twice a second; a tiny stage is over before that.
    monkeypatch.setattr("core.jobs.context._LOOK_EVERY_S", 0.0)
    for stage in Round.STAGES:
        row = finish(row, run_job, until=stage)
        if stage == "gate":  # over before it says anything
            break
        monkeypatch.setattr(JobContext, "progress", progress_then_cancel)
        job = run_job(row.job)
        row.refresh_from_db()
        assert (job.state, row.state, row.stage) == ("cancelled", "cancelled", stage)
        services.round_resume(row=row, by=researcher)
        row.refresh_from_db()
    row = finish(row, run_job)
    assert outcome(row) == outcome(unbroken)
