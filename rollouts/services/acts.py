"""Long work that a person asks for: the job and the record of who asked, together or not at all."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Model

from core import audit
from core.jobs import submit
from core.models import Job, User


def submit_act(*, kind: str, params: dict[str, Any], by: User, target: Model) -> Job:
    """Submit a job that a person asked for, and keep in the audit log who started what on which object."""
    with transaction.atomic():
        job = submit(kind=kind, params=params, created_by=by)
        audit.record(actor=by, action=f"{kind}.start", target=target, after={**params, "job": str(job.pk)})
    return job
