"""What may be forgotten is: old events, routine jobs that went well, expired sessions, used sign-in links."""

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from core.models import Event, Job, SignInLink, WorkerBeat
from core.selectors import routine_done


def tidy_all() -> dict[str, int]:
    now = timezone.now()
    old = now - timedelta(days=settings.EVENT_KEEP_DAYS)
    return {
        "events": Event.objects.filter(created_at__lt=old).delete()[0],
        # Progress says nothing any more once the job has ended.
        "progress": Event.objects.filter(kind="progress", created_at__lt=now - timedelta(days=1)).delete()[0],
        "jobs": Job.objects.filter(routine_done(), created_at__lt=old).delete()[0],
        "sessions": Session.objects.filter(expire_date__lt=now).delete()[0],
        "links": SignInLink.objects.filter(expires_at__lt=old).delete()[0],
        "workers": WorkerBeat.objects.filter(seen_at__lt=now - timedelta(days=1)).delete()[0],
    }
