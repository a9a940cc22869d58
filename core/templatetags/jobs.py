"""How jobs and audit entries are written on a page."""

import json

from django import template

from core.jobs.registry import kind_get
from core.models import AuditEntry, Job

register = template.Library()


@register.filter
def job_title(job: Job) -> str:
    try:
        return kind_get(job.kind).title
    except ValueError:  # an app that is not installed any more
        return job.kind


@register.filter
def job_progress_props(job: Job) -> str:
    """The props of the `job-progress` island."""
    props = {"job": str(job.pk), "state": job.state, "progress": job.progress, "text": job.progress_text, "reload": True}
    return json.dumps(props | {"cancel_url": f"/api/v1/jobs/{job.pk}/cancel/"})


@register.filter
def job_events_props(job: Job) -> str:
    return json.dumps({"topic": job.topic, "after": 0, "log": True})


@register.filter
def job_json(job: Job) -> str:
    shown = {"params": job.params} | ({"result": job.result} if job.result is not None else {})
    return json.dumps(shown, indent=2, ensure_ascii=False)


@register.filter
def audit_change(entry: AuditEntry) -> str:
    """One line per field that changed."""
    before, after = entry.before or {}, entry.after or {}
    lines = []
    for key in sorted({*before, *after}):
        old, new = (json.dumps(side[key], ensure_ascii=False) if key in side else "–" for side in (before, after))
        lines.append(f"{key}: {old} → {new}" if old != new else f"{key}: {new}")
    return "\n".join(lines)
