"""What the studio's pages share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest
from django.utils import timezone

from core.models import Job, User
from rollouts.models import Scenario


def page_of(request: HttpRequest, rows: QuerySet, size: int) -> Page:
    """The page that `?page=` asks for; a number that does not exist gives the nearest one.

    The page's keys are found first, and only their rows are joined and annotated: otherwise the last page of ten thousand would join
    ten thousand.
    """
    page = Paginator(rows.prefetch_related(None).values_list("pk", flat=True), size).get_page(request.GET.get("page"))
    keys = list(page.object_list)
    found = rows.in_bulk(keys)
    page.object_list = [found[key] for key in keys if key in found]
    return page


def filters_of(request: HttpRequest, names: tuple[str, ...]) -> dict[str, str]:
    """The filters that a page knows out of the query string, cut to a sane length. NUL cannot be searched for."""
    return {name: request.GET.get(name, "").strip().replace("\x00", "")[:200] for name in names}


def query_of(filters: dict[str, str]) -> str:
    """The query string of the filters that are set, for pagination and saved views."""
    return urlencode({name: value for name, value in filters.items() if value})


def tell_errors(request: HttpRequest, form: Form) -> None:
    """Say what is wrong with a form that has no page of its own (a dialog) as messages."""
    for name, errors in form.errors.items():
        label = form.fields[name].label or name.replace("_", " ") if name in form.fields else ""
        for error in errors:
            messages.error(request, f"{label}: {error}" if label else str(error))


def open_jobs(kinds: tuple[str, ...], limit: int = 5, **params: Any) -> list[Job]:
    """Jobs of these kinds that wait or run, newest first, whose parameters contain `params`."""
    rows = Job.objects.filter(kind__in=kinds, state__in=[Job.State.QUEUED, Job.State.RUNNING])
    if params:
        rows = rows.filter(params__contains=params)
    return list(rows.order_by("-created_at")[:limit])


def last_failure(kinds: tuple[str, ...], **params: Any) -> Job | None:
    """The newest job of these kinds whose parameters contain `params`, if it failed within a day: a page that was
    reloaded when the job ended says why nothing came. A newer job of these kinds, however it ends, takes its place.
    """
    rows = Job.objects.filter(kind__in=kinds, created_at__gte=timezone.now() - timedelta(days=1))
    if params:
        rows = rows.filter(params__contains=params)
    newest = rows.order_by("-created_at").first()
    return newest if newest and newest.state == Job.State.FAILED else None


def job_props(job: Job) -> dict[str, Any]:
    """A job as the progress island takes it."""
    return {
        "job": str(job.pk),
        "state": job.state,
        "progress": job.progress,
        "text": job.progress_text or job.explanation,
        "cancel_url": f"/api/v1/jobs/{job.pk}/cancel/",
    }


def person(request: HttpRequest) -> User:
    """Who asks. Every view of the studio stands behind `role_required`, so it is somebody."""
    assert isinstance(request.user, User)
    return request.user


def scenario_names() -> list[tuple[str, str]]:
    """(slug, name) of scenarios that are not retired, for filters."""
    return list(Scenario.objects.exclude(state="retired").order_by("name").values_list("slug", "name"))
