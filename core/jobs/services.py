"""Everything that changes a job's row. Each change of state is one conditional UPDATE: who changes no row was late."""

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from core.audit import record
from core.events import publish
from core.jobs.registry import kind_get
from core.models import Job, User

log = structlog.get_logger(__name__)


def submit(
    *,
    kind: str,
    params: dict[str, Any] | None = None,
    created_by: User | AnonymousUser | None = None,
    priority: int = 0,
    idempotency_key: str | None = None,
    max_attempts: int | None = None,
) -> Job:
    """Queue a job; a worker is woken once the surrounding transaction commits.

    Args:
        idempotency_key: a second submit with the same key returns the first job.

    Raises:
        ValueError: the kind is not registered.
    """
    registered = kind_get(kind)
    person = created_by if isinstance(created_by, User) else None
    job = Job(
        kind=kind, queue=registered.queue, params=params or {}, priority=priority, created_by=person,
        max_attempts=max_attempts or registered.max_attempts, idempotency_key=idempotency_key, woken_at=timezone.now(),
    )  # fmt: skip
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            publish(job.topic, "queued", {"state": job.state})
    except IntegrityError:
        existing = Job.objects.filter(idempotency_key=idempotency_key).first() if idempotency_key else None
        if existing is None:
            raise
        return existing
    transaction.on_commit(lambda: wake(job))
    return job


def wake(job: Job) -> None:
    """Tell a worker of the job's queue that there is work. If the broker is away, the sweep tells it later."""
    from core.tasks import run_next

    try:
        run_next.apply_async(args=[job.queue, str(job.pk)], queue=job.queue, retry=False)
    except (BrokerError, OSError) as error:
        log.warning("wake.lost", job_id=str(job.pk), reason=str(error))


@transaction.atomic
def job_claim(*, queue: str, worker: str, job_id: uuid.UUID | None = None) -> Job | None:
    """Take the most urgent waiting job of a queue (or exactly `job_id`) for one attempt.

    The message that woke the worker carries some job's id, but a more urgent one may have come since:
    that is how priorities work on a broker that has none.
    """
    waiting = Job.objects.filter(Q(run_after=None) | Q(run_after__lte=timezone.now()), state=Job.State.QUEUED, queue=queue)
    if job_id is not None:
        waiting = waiting.filter(pk=job_id)
    job = waiting.select_for_update(skip_locked=True).order_by("-priority", "created_at").first()
    if job is None:
        return None
    now = timezone.now()
    job.state, job.lease_token, job.worker = Job.State.RUNNING, uuid.uuid4(), worker
    job.heartbeat_at, job.started_at, job.attempt = now, job.started_at or now, job.attempt + 1
    job.progress, job.progress_text, job.error, job.traceback = 0.0, "", "", ""
    job.save(update_fields=["state", "lease_token", "worker", "heartbeat_at", "started_at", "attempt", "progress", "progress_text", "error", "traceback"])
    publish(job.topic, "running", {"state": job.state, "attempt": job.attempt})
    return job


def _change(job_id: uuid.UUID, token: uuid.UUID, **changes: Any) -> bool:
    """Change a running job if `token` still owns it."""
    return bool(Job.objects.filter(pk=job_id, lease_token=token, state=Job.State.RUNNING).update(**changes))


def job_heartbeat(*, job_id: uuid.UUID, token: uuid.UUID) -> bool:
    """True while the lease is ours."""
    return _change(job_id, token, heartbeat_at=timezone.now())


@transaction.atomic
def job_finish(*, job_id: uuid.UUID, token: uuid.UUID, state: str, result: Any = None, error: str = "", traceback: str = "") -> bool:
    """End a running job. False if the lease was lost: then nothing is changed."""
    changes: dict[str, Any] = {
        "state": state, "result": result, "error": error[:2000], "traceback": traceback[-20000:],
        "lease_token": None, "finished_at": timezone.now(),
    }  # fmt: skip
    if state == Job.State.SUCCEEDED:
        changes["progress"] = 1.0
    if not _change(job_id, token, **changes):
        return False
    publish(f"job:{job_id}", state, {"state": state, "error": error[:2000]})
    return True


@transaction.atomic
def job_requeue(*, job_id: uuid.UUID, token: uuid.UUID, error: str, count: bool = True, delay_s: float = 0.0, traceback: str = "") -> bool:
    """Give a running job back to its queue, or end it if it has no attempt left.

    Args:
        count: False when it is not the job's fault (its worker was asked to stop): the attempt is given back.
    """
    job = Job.objects.select_for_update().filter(pk=job_id, lease_token=token, state=Job.State.RUNNING).first()
    if job is None:
        return False
    if job.cancel_requested_at is not None:
        return job_finish(job_id=job_id, token=token, state=Job.State.CANCELLED)
    if count and job.attempt >= job.max_attempts:
        return job_finish(
            job_id=job_id, token=token, state=Job.State.FAILED, traceback=traceback,
            error=f"{error} That was attempt {job.attempt} of {job.max_attempts}, so it is not tried again.",
        )  # fmt: skip
    now = timezone.now()
    job.state, job.lease_token, job.error, job.traceback = Job.State.QUEUED, None, error[:2000], traceback[-20000:]
    job.run_after = now + timedelta(seconds=delay_s) if delay_s else None
    job.woken_at = None if delay_s else now  # a delayed one is woken by the sweep
    if not count:
        job.attempt -= 1
    job.save(update_fields=["state", "lease_token", "error", "traceback", "run_after", "woken_at", "attempt"])
    publish(job.topic, "requeued", {"state": job.state, "error": job.error})
    if not delay_s:
        transaction.on_commit(lambda: wake(job))
    return True


@transaction.atomic
def job_cancel(*, job: Job, by: User | AnonymousUser | None) -> Job:
    """Stop a job: at once if it waits, at its next safe point if it runs. Cancelling a finished one does nothing."""
    current = Job.objects.select_for_update().get(pk=job.pk)
    if current.is_finished or current.cancel_requested_at is not None:
        return current
    before = current.state
    current.cancel_requested_at, current.cancel_requested_by = timezone.now(), by if isinstance(by, User) else None
    if current.state == Job.State.QUEUED:
        current.state, current.finished_at = Job.State.CANCELLED, current.cancel_requested_at
    current.save(update_fields=["cancel_requested_at", "cancel_requested_by", "state", "finished_at"])
    publish(current.topic, "cancelled" if current.is_finished else "cancel_requested", {"state": current.state})
    if current.cancel_requested_by is not None:
        record(
            actor=current.cancel_requested_by,
            action="job.cancel",
            target=current,
            before={"state": before},
            after={"state": current.state, "cancel_requested": True},
        )
    return current


@transaction.atomic
def job_retry(*, job: Job, by: User | AnonymousUser | None = None) -> Job:
    """Queue a failed or cancelled job again, with all of its attempts. The audit log keeps who asked for it.

    Raises:
        ValueError: it has not failed or been cancelled.
    """
    current = Job.objects.select_for_update().get(pk=job.pk)
    if not current.can_retry:
        raise ValueError(f"Only a failed or cancelled job can run again; this one is {current.state}.")
    before = {"state": current.state, "error": current.error}
    current.state, current.attempt, current.finished_at, current.started_at = Job.State.QUEUED, 0, None, None
    current.cancel_requested_at = current.cancel_requested_by = current.run_after = None
    current.progress, current.progress_text, current.error, current.traceback = 0.0, "", "", ""
    current.woken_at = timezone.now()
    current.save()
    publish(current.topic, "queued", {"state": current.state})
    if isinstance(by, User):
        record(actor=by, action="job.retry", target=current, before=before, after={"state": current.state})
    transaction.on_commit(lambda: wake(current))
    return current


def jobs_wake_waiting(*, queues: list[str]) -> int:
    """Called by a worker that has just started: what waits in its queues begins at once, also if the wake-up went down with the one before."""
    now = timezone.now()
    waiting = Job.objects.filter(Q(run_after=None) | Q(run_after__lte=now), state=Job.State.QUEUED, queue__in=queues)
    jobs = list(waiting.order_by(F("priority").desc(), "created_at")[:100])
    for job in jobs:
        Job.objects.filter(pk=job.pk).update(woken_at=now)
        wake(job)
    return len(jobs)


def jobs_sweep() -> dict[str, int]:
    """Bring back what was lost: jobs whose heartbeat stopped, and waiting jobs that nobody was woken for.

    1. running, heartbeat older than JOB_STALE_SECONDS: queued again, or failed if out of attempts;
    2. waiting for longer than a sweep since the last wake-up: wake again (the broker may have been restarted).
    """
    now = timezone.now()
    stale = now - timedelta(seconds=settings.JOB_STALE_SECONDS)
    lost = list(Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__lt=stale).values_list("pk", "lease_token", "worker"))
    requeued = 0
    for job_id, token, worker in lost:
        with transaction.atomic():
            # A job inside its fence holds the row's lock and is alive; so is one that beat since we looked.
            still = Job.objects.select_for_update(skip_locked=True).filter(pk=job_id, lease_token=token, heartbeat_at__lt=stale)
            if token is not None and still.first() is not None:
                requeued += job_requeue(job_id=job_id, token=token, error=f"Its worker ({worker}) stopped answering.")
    again = Job.objects.filter(Q(run_after=None) | Q(run_after__lte=now), state=Job.State.QUEUED).filter(
        Q(woken_at=None) | Q(woken_at__lt=now - timedelta(seconds=max(30, 3 * settings.JOB_SWEEP_SECONDS)))
    )
    woken = 0
    for job in again.order_by(F("priority").desc(), "created_at")[:1000]:
        Job.objects.filter(pk=job.pk).update(woken_at=now)
        wake(job)
        woken += 1
    return {"requeued": requeued, "woken": woken}
