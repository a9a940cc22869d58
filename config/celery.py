"""Celery: wakes workers and keeps the clock. What there is to do stands in the database (`core.jobs`)."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("dreamfork")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Celery configures logging by itself unless something is connected here; Django's is already set up."""


@app.on_after_finalize.connect
def _schedule(sender: Celery, **_: Any) -> None:
    from django.conf import settings

    from core.jobs.registry import kinds

    schedule: dict[str, Any] = {
        # A sweep that waited for long is not needed any more; on a machine that is very busy it must still come to its turn.
        "sweep-jobs": {"task": "core.sweep_jobs", "schedule": settings.JOB_SWEEP_SECONDS, "options": {"expires": max(30, 3 * settings.JOB_SWEEP_SECONDS)}},
        "tidy": {"task": "core.tidy", "schedule": 3600.0},
    }
    for kind in kinds():
        if kind.every_s is not None:
            schedule[kind.name] = {"task": "core.submit_scheduled", "args": [kind.name], "schedule": float(kind.every_s)}
    sender.conf.beat_schedule = schedule
