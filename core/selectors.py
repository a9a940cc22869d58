"""Reads for pages and the API."""

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from core.events import topic_access
from core.jobs.registry import kinds
from core.models import Job, User, WorkerBeat
from core.people import has_any_role, has_role
from core.roles import ADMIN, RESEARCHER


def jobs_visible(*, user: Any) -> QuerySet[Job]:
    """A person sees their own jobs; researchers and admins see all."""
    if has_role(user, RESEARCHER, ADMIN):
        return Job.objects.all()
    return Job.objects.filter(created_by=user) if has_any_role(user) else Job.objects.none()


def routine_done() -> Q:
    """Jobs that the clock submitted, every minute or hour, and that went well: nobody looks for them."""
    return Q(kind__in=[kind.name for kind in kinds() if kind.every_s is not None], state=Job.State.SUCCEEDED, created_by=None)


def _job_topic(user: User, rest: str) -> bool:
    try:
        identity = uuid.UUID(rest)
    except ValueError:
        return False
    return jobs_visible(user=user).filter(pk=identity).exists()


topic_access("job", _job_topic)


def queues_served() -> set[str]:
    """Queues for which a worker process was alive a moment ago."""
    since = timezone.now() - timedelta(seconds=45)
    return {queue for beat in WorkerBeat.objects.filter(seen_at__gte=since) for queue in beat.queues}


def stuck_queues() -> list[str]:
    """Queues in which jobs wait and that no worker serves."""
    waiting = Job.objects.order_by().filter(state=Job.State.QUEUED).values_list("queue", flat=True).distinct()
    return sorted(set(waiting) - queues_served()) if waiting else []
