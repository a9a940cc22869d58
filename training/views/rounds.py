"""Rounds: the list, a new one, the live page, and what can be done to it."""

from __future__ import annotations

import json

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.events import last_id
from core.people import role_required
from rollouts.views.common import job_props
from training import selectors, services
from training.forms import ReasonForm, RoundForm, ScheduleForm
from training.models import Evaluation, Round, RoundSchedule
from training.services.schedules import new_choices


@require_GET
@role_required("researcher")
def rounds(request: HttpRequest) -> HttpResponse:
    state = request.GET.get("state", "")
    rows = selectors.rounds_listed(state=state)
    return render(
        request,
        "training/rounds.html",
        {
            "page": Paginator(rows, 25).get_page(request.GET.get("page")),
            "state": state,
            "states": Round.State.choices,
            "query": f"state={state}" if state in Round.State.values else "",
            "schedules": [(row, new_choices(row)) for row in RoundSchedule.objects.select_related("last_round")],
            "schedule_form": ScheduleForm(),
        },
    )


@require_http_methods(["GET", "POST"])
@role_required("researcher")
def round_new(request: HttpRequest) -> HttpResponse:
    form = RoundForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = services.round_start(
                parent=form.cleaned_data["parent"],
                settings=form.settings(),
                name=form.cleaned_data["name"],
                note=form.cleaned_data["note"],
                created_by=request.user,
            )
        except services.TrainingError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Round {row.name} has started.")
            return redirect(row)
    return render(request, "training/round_new.html", {"form": form, "preview": preview_of(form)}, status=422 if form.errors else 200)


def preview_of(form: RoundForm) -> dict | None:
    """What the filter finds, if it can be read at all."""
    if not form.is_bound:
        return selectors.choices_preview({})
    form.is_valid()
    try:
        return selectors.choices_preview({"choices": form.choices()})
    except services.TrainingError:
        return None


@require_GET
@role_required("researcher")
def round_preview(request: HttpRequest) -> HttpResponse:
    """How many choices the form's filter finds, as a fragment that follows the fields."""
    return render(request, "training/_choices_preview.html", {"preview": preview_of(RoundForm(request.GET))})


def context_of(row: Round) -> dict:
    """What the live part of the page shows; asked for again at every event of the round."""
    job, next_job = row.job, selectors.next_rollouts_job(row)
    evaluations = {}
    if row.gate:
        found = Evaluation.objects.in_bulk((row.gate.get("evaluations") or {}).values())
        evaluations = {role: found.get(pk) for role, pk in (row.gate.get("evaluations") or {}).items()}
    return {
        "round": row,
        "stages": selectors.round_stages(row),
        "snapshot": getattr(row, "snapshot", None),
        "job_props": json.dumps({"job": str(job.pk), "state": job.state, "progress": job.progress, "text": job.progress_text or job.explanation})
        if job and row.state == Round.State.RUNNING
        else "",
        "reason_form": ReasonForm(),
        "next_job": next_job,
        "next_job_props": json.dumps({**job_props(next_job), "reload": True}) if next_job and not next_job.is_finished else "",
        "evaluations": evaluations,
        "post_training": selectors.post_training_words(row),
        "total_seconds": sum(row.seconds.values()),
    }


@require_GET
@role_required("researcher")
def round_page(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(selectors.rounds_listed(), pk=pk)
    charts = [
        json.dumps({"url": f"/api/v1/rounds/{row.pk}/charts/{name}/", "kind": "line", "title": "", **({"topic": row.topic} if not row.is_finished else {})})
        for name in selectors.CHARTS
    ]
    return render(
        request,
        "training/round.html",
        {
            **context_of(row),
            "charts": charts,
            "settings_text": json.dumps(row.settings, indent=2),
            "feed": json.dumps({"topic": row.topic, "after": last_id(row.topic)}),
        },
    )


@require_GET
@role_required("researcher")
def round_live(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(selectors.rounds_listed(), pk=pk)
    response = render(request, "training/_round_live.html", context_of(row))
    if row.is_finished:
        response["HX-Refresh"] = "true"  # what can be done now (resume, override) stands outside the fragment
    return response


def act(request: HttpRequest, pk: int, done: str, service, **values) -> HttpResponse:
    """Call a service on a round and say how it went."""
    row = get_object_or_404(Round, pk=pk)
    try:
        service(row=row, by=request.user, **values)
    except services.TrainingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("training:round", pk=pk)


@require_POST
@role_required("researcher")
def round_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return act(request, pk, "The round is cancelled. What it had done is kept.", services.round_cancel, reason=request.POST.get("reason", "")[:2000])


@require_POST
@role_required("researcher")
def round_resume(request: HttpRequest, pk: int) -> HttpResponse:
    return act(request, pk, "The round goes on from its last checkpoint.", services.round_resume)


@require_POST
@role_required("researcher")
def round_override(request: HttpRequest, pk: int) -> HttpResponse:
    return act(request, pk, "The gate is overridden; the child is active.", services.round_override, reason=request.POST.get("reason", "")[:2000])


@require_POST
@role_required("researcher")
def schedule_save(request: HttpRequest) -> HttpResponse:
    form = ScheduleForm(request.POST)
    if not form.is_valid():
        for name, errors in form.errors.items():
            messages.error(request, f"{form.fields[name].label or name}: {' '.join(map(str, errors))}")
        return redirect("training:rounds")
    try:
        row = services.round_schedule_save(**form.cleaned_data, by=request.user)
    except services.TrainingError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Schedule “{row.name}” is kept.")
    return redirect("training:rounds")


@require_POST
@role_required("researcher")
def schedule_switch(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(RoundSchedule, pk=pk)
    services.round_schedule_switch(row=row, enabled=not row.enabled, by=request.user)
    messages.success(request, f"Schedule “{row.name}” is {'on' if row.enabled else 'off'}.")
    return redirect("training:rounds")
