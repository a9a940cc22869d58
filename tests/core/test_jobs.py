"""Jobs: submit, run, cancel, retry, lose the lease, sweep."""

import uuid
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone

from core.jobs import JobContext, JobLeaseLost, JobProblem, job, job_cancel, job_retry, submit
from core.jobs.registry import _kinds
from core.jobs.services import job_claim, job_finish, job_heartbeat, job_requeue, jobs_sweep, jobs_wake_waiting
from core.models import AuditEntry, Event, Job
from core.tasks import run_next

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _kinds_of_this_test():
    before = dict(_kinds)
    job("t.add", max_attempts=2)(_add)
    job("t.fail")(_fail)
    job("t.broken")(_broken)
    job("t.database_away", max_attempts=2)(_database_away)
    job("t.unkeepable")(lambda ctx: {"x": object()})
    yield
    _kinds.clear()
    _kinds.update(before)


def _add(ctx: JobContext, *, a: int, b: int) -> dict:
    ctx.progress(1, 2, "half")
    return {"sum": a + b}


def _fail(ctx: JobContext) -> None:
    raise JobProblem("There are no approved start frames; approve some first.")


def _broken(ctx: JobContext) -> None:
    raise ZeroDivisionError("oops")


def _database_away(ctx: JobContext) -> None:
    raise OperationalError("server closed the connection")


def claim(job: Job) -> Job:
    claimed = job_claim(queue=job.queue, worker="w", job_id=job.pk)
    assert claimed is not None
    return claimed


def test_it_runs(run_job, researcher):
    job = run_job(submit(kind="t.add", params={"a": 1, "b": 2}, created_by=researcher))
    assert (job.state, job.result, job.progress, job.attempt) == ("succeeded", {"sum": 3}, 1.0, 1)
    assert job.lease_token is None
    assert list(Event.objects.filter(topic=job.topic).values_list("kind", flat=True)) == ["queued", "running", "progress", "succeeded"]


def test_it_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match=r"unknown job kind 't\.nothing'"):
        submit(kind="t.nothing")


def test_it_returns_the_first_job_for_the_same_key():
    first = submit(kind="t.add", params={"a": 1, "b": 2}, idempotency_key="k")
    assert submit(kind="t.add", params={"a": 9, "b": 9}, idempotency_key="k") == first
    assert Job.objects.count() == 1


def test_it_wakes_a_worker_only_after_commit(django_capture_on_commit_callbacks, monkeypatch):
    woken = []
    monkeypatch.setattr("core.jobs.services.wake", lambda job: woken.append(job.pk))
    with django_capture_on_commit_callbacks(execute=True):
        job = submit(kind="t.add", params={"a": 1, "b": 2})
        assert woken == []
    assert woken == [job.pk]


def test_it_says_why_it_failed(run_job):
    job = run_job(submit(kind="t.fail"))
    assert job.state == "failed"
    assert job.explanation == "There are no approved start frames; approve some first. You can run it again."
    assert job.attempt == 1, "a problem that stays is not tried again"


def test_it_keeps_the_traceback_of_a_bug(run_job):
    job = run_job(submit(kind="t.broken"))
    assert job.state == "failed"
    assert "ZeroDivisionError: oops" in job.error
    assert "_broken" in job.traceback


def test_it_fails_when_the_result_cannot_be_kept(run_job):
    assert run_job(submit(kind="t.unkeepable")).state == "failed"


def test_it_tries_again_when_the_database_was_away(run_job):
    job = run_job(submit(kind="t.database_away"))
    assert job.state == "queued"
    assert job.run_after > timezone.now()
    assert job_claim(queue="cpu", worker="w") is None, "not before its time"
    Job.objects.update(run_after=None)
    job = run_job(job)
    assert job.state == "failed"
    assert "attempt 2 of 2" in job.error


@pytest.mark.django_db(transaction=True)
def test_work_that_is_done_is_not_lost_to_a_database_that_is_away_for_a_moment(run_job, monkeypatch):
    failures = iter([OperationalError("the database system is starting up")] * 2)

    def finish(**how):
        if (failure := next(failures, None)) is not None:
            raise failure
        return job_finish(**how)

    monkeypatch.setattr("core.jobs.execution.job_finish", finish)
    monkeypatch.setattr("core.jobs.execution._AGAIN_S", 0.01)
    job = run_job(submit(kind="t.add", params={"a": 1, "b": 2}))
    assert (job.state, job.result, job.attempt) == ("succeeded", {"sum": 3}, 1)


def test_a_wake_up_is_not_lost_with_the_database(monkeypatch):
    sent = []

    def away(queue):
        raise OperationalError("connection refused")

    monkeypatch.setattr("core.tasks.run_one", away)
    monkeypatch.setattr(run_next, "apply_async", lambda **options: sent.append(options))
    run_next("cpu", "some-id")
    assert sent == [{"args": ["cpu", "some-id"], "queue": "cpu", "countdown": 5}]


def test_it_runs_the_most_urgent_first():
    low, high = submit(kind="t.add", priority=0), submit(kind="t.add", priority=5)
    assert [job_claim(queue="cpu", worker="w").pk for _ in range(2)] == [high.pk, low.pk]
    assert job_claim(queue="cpu", worker="w") is None


def test_it_keeps_queues_apart():
    submit(kind="t.add")
    assert job_claim(queue="gpu", worker="w") is None


def test_it_cancels_a_waiting_job_at_once(researcher):
    job = job_cancel(job=submit(kind="t.add"), by=researcher)
    assert job.state == "cancelled"
    assert "by rob" in job.explanation
    entry = AuditEntry.objects.get(action="job.cancel", target_id=str(job.pk))
    assert (entry.actor_name, entry.before["state"], entry.after["state"]) == ("rob", "queued", "cancelled")
    assert job_claim(queue="cpu", worker="w") is None


def test_it_cancels_a_running_job_at_its_next_look(run_job, researcher):
    @job("t.cancelled")
    def handler(ctx: JobContext) -> None:
        job_cancel(job=ctx.job, by=researcher)
        ctx.check_cancelled()
        raise AssertionError("not reached")

    assert run_job(submit(kind="t.cancelled")).state == "cancelled"


def test_it_does_not_cancel_a_finished_job(run_job, researcher):
    finished = run_job(submit(kind="t.add", params={"a": 1, "b": 2}))
    assert job_cancel(job=finished, by=researcher).state == "succeeded"
    assert not AuditEntry.objects.filter(action="job.cancel").exists()


def test_it_runs_a_failed_job_again(run_job, researcher):
    failed = run_job(submit(kind="t.fail"))
    again = job_retry(job=failed, by=researcher)
    assert (again.state, again.attempt, again.error) == ("queued", 0, "")
    entry = AuditEntry.objects.get(action="job.retry", target_id=str(failed.pk))
    assert (entry.actor_name, entry.before) == ("rob", {"state": "failed", "error": failed.error})


def test_it_refuses_to_run_a_succeeded_job_again(run_job):
    with pytest.raises(ValueError, match="this one is succeeded"):
        job_retry(job=run_job(submit(kind="t.add", params={"a": 1, "b": 2})))


def test_a_late_worker_cannot_write():
    late = claim(submit(kind="t.add", params={"a": 1, "b": 2}))
    Job.objects.filter(pk=late.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert jobs_sweep()["requeued"] == 1
    current = claim(late)
    assert current.lease_token != late.lease_token

    context = JobContext(late)
    with pytest.raises(JobLeaseLost), context.fence():
        raise AssertionError("the fence let a late worker in")
    with pytest.raises(JobLeaseLost):
        context.progress(1, 1)
    with pytest.raises(JobLeaseLost):
        context.event("late")
    lease = {"job_id": late.pk, "token": late.lease_token}
    assert not job_heartbeat(**lease)
    assert not job_finish(**lease, state="succeeded", result={"late": True})
    assert not job_requeue(**lease, error="late")
    current.refresh_from_db()
    assert (current.state, current.result, current.attempt) == ("running", None, 2)


def test_the_sweep_leaves_a_living_job_alone():
    claim(submit(kind="t.add"))
    assert jobs_sweep()["requeued"] == 0


def test_the_sweep_gives_up_after_the_last_attempt():
    waiting = submit(kind="t.add", params={"a": 1, "b": 2})
    for _ in range(2):
        claim(waiting)
        Job.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
        jobs_sweep()
    waiting.refresh_from_db()
    assert waiting.state == "failed"
    assert "stopped answering" in waiting.error
    assert "attempt 2 of 2" in waiting.error


def test_the_sweep_wakes_for_jobs_that_the_broker_forgot(monkeypatch):
    woken = []
    monkeypatch.setattr("core.jobs.services.wake", lambda job: woken.append(job.pk))
    forgotten, fresh = submit(kind="t.add"), submit(kind="t.add")
    Job.objects.filter(pk=forgotten.pk).update(woken_at=timezone.now() - timedelta(minutes=5))
    assert jobs_sweep() == {"requeued": 0, "woken": 1}
    assert woken == [forgotten.pk]
    assert fresh.pk not in woken


def test_a_worker_that_starts_takes_up_what_waits(monkeypatch):
    """The wake-up may have gone down with the worker before it; the sweep would send another one only after half a minute."""
    first, urgent = submit(kind="t.add"), submit(kind="t.add", priority=5)
    claim(submit(kind="t.add"))
    submit(kind="t.fail")
    woken = []
    monkeypatch.setattr("core.jobs.services.wake", woken.append)
    assert jobs_wake_waiting(queues=[first.queue, "other"]) == len(woken)
    assert woken[:2] == [urgent, first]
    assert {job.state for job in woken} == {"queued"}
    assert jobs_wake_waiting(queues=["other"]) == 0


def test_a_lost_job_that_was_cancelled_ends_cancelled(researcher):
    running = claim(submit(kind="t.add"))
    job_cancel(job=running, by=researcher)
    assert job_requeue(job_id=running.pk, token=running.lease_token, error="x")
    running.refresh_from_db()
    assert running.state == "cancelled"


def test_a_stopped_worker_costs_no_attempt():
    running = claim(submit(kind="t.add"))
    assert job_requeue(job_id=running.pk, token=running.lease_token, error="Its worker was stopped.", count=False)
    running.refresh_from_db()
    assert (running.state, running.attempt) == ("queued", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"progress": 1.5},
        {"attempt": 9},
        {"state": "running"},
        {"lease_token": uuid.uuid4()},
        {"state": "succeeded"},
        {"state": "failed", "finished_at": timezone.now()},
        {"queue": "tpu"},
    ],
)
def test_the_database_refuses_nonsense(changes):
    waiting = submit(kind="t.add")
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=waiting.pk).update(**changes)


def test_a_lost_job_is_found_within_90_seconds_by_default():
    """A worker that dies right after a heartbeat: its job is stale after STALE, and the next sweep finds it."""
    assert settings.JOB_STALE_SECONDS + settings.JOB_SWEEP_SECONDS < 90
