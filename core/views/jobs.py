"""The list of jobs, a job's page, cancel and run again."""

import uuid
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.jobs import job_cancel, job_retry, kinds, submit
from core.models import Job
from core.people import ADMIN, ROLES, PersonRequest, role_required
from core.selectors import jobs_visible, routine_done, stuck_queues


@role_required(*ROLES)
@require_GET
def jobs(request: PersonRequest) -> HttpResponse:
    found = jobs_visible(user=request.user).select_related("created_by").defer("traceback", "result")
    state, kind, routine = (request.GET.get(name, "") for name in ("state", "kind", "routine"))
    if state in Job.State.values:
        found = found.filter(state=state)
    if kind:
        found = found.filter(kind=kind)
    elif not routine:
        found = found.exclude(routine_done())
    context = {
        "page": Paginator(found, 50).get_page(request.GET.get("page")),
        "states": Job.State.choices,
        "kinds": kinds(),
        "state": state,
        "kind": kind,
        "routine": routine,
        "query": urlencode({name: value for name, value in (("state", state), ("kind", kind), ("routine", routine)) if value}),
        "stuck": stuck_queues(),
    }
    return render(request, "core/jobs_table.html" if request.headers.get("HX-Request") else "core/jobs.html", context)


def _job(request: PersonRequest, job_id: uuid.UUID) -> Job:
    return get_object_or_404(jobs_visible(user=request.user).select_related("created_by", "cancel_requested_by"), pk=job_id)


@role_required(*ROLES)
@require_GET
def job(request: PersonRequest, job_id: uuid.UUID) -> HttpResponse:
    return render(request, "core/job.html", {"job": _job(request, job_id), "stuck": stuck_queues()})


@role_required(*ROLES)
@require_POST
def cancel(request: PersonRequest, job_id: uuid.UUID) -> HttpResponse:
    job = job_cancel(job=_job(request, job_id), by=request.user)
    messages.info(request, "Cancelled." if job.is_finished else "It ends at its next safe point.")
    return redirect(job)


@role_required(*ROLES)
@require_POST
def retry(request: PersonRequest, job_id: uuid.UUID) -> HttpResponse:
    try:
        return redirect(job_retry(job=_job(request, job_id), by=request.user))
    except ValueError as problem:
        raise BadRequest(str(problem)) from problem


@role_required(ADMIN)
@require_POST
def check_workers(request: PersonRequest) -> HttpResponse:
    """Send every queue a job that only waits a second: if both end, the workers work."""
    for kind in ("core.check", "core.check_gpu"):
        submit(kind=kind, created_by=request.user, priority=100)
    return redirect("core:jobs")
