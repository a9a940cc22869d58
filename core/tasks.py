"""Celery's side of the jobs: each task parses and calls one service."""

import structlog
from celery import shared_task
from django.db import Error as DatabaseError

from core.jobs import registry, services
from core.jobs.runner import run_one
from core.models import Job

log = structlog.get_logger(__name__)
_DATABASE_AGAIN_S = 5


@shared_task(name="core.run_next")
def run_next(queue: str, job_id: str) -> None:
    """A wake-up: run the most urgent waiting job of `queue`, if there is one left. `job_id` is for the log."""
    try:
        run_one(queue)
    except DatabaseError as error:
        log.warning("run_next.delayed", reason=str(error))
        # The wake-up must not be lost with it; the sweep would send the next one only after half a minute.
        run_next.apply_async(args=[queue, job_id], queue=queue, countdown=_DATABASE_AGAIN_S)


@shared_task(name="core.sweep_jobs")
def sweep_jobs() -> None:
    try:
        services.jobs_sweep()
    except DatabaseError as error:
        log.warning("sweep.skipped", reason=str(error))  # the next one comes in a moment


@shared_task(name="core.submit_scheduled")
def submit_scheduled(kind: str) -> None:
    """Submit a job that runs every so often, unless one is waiting or running already."""
    registry.kind_get(kind)
    if not Job.objects.filter(kind=kind, state__in=[Job.State.QUEUED, Job.State.RUNNING]).exists():
        services.submit(kind=kind)


@shared_task(name="core.tidy")
def tidy() -> None:
    from core.tidy import tidy_all

    tidy_all()
