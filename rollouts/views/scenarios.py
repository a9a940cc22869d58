"""Scenarios: list, one, write, import and export."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.events import last_id
from core.models import AuditEntry
from core.people import role_required
from rollouts import factors as scene_factors
from rollouts import selectors, services
from rollouts.forms import CaptureForm, ImagineForm, SampleForm, ScenarioForm, VaryForm, VerifyForm
from rollouts.models import Scenario, StartFrame
from rollouts.selectors.scenarios import SORTS, version_history
from rollouts.services.frames import REASONS, topic_of
from rollouts.services.interchange import MAX_BYTES
from rollouts.views.common import filters_of, job_props, last_failure, open_jobs, page_of, person, query_of

FILTERS = ("q", "state", "tag", "dog", "severity", "origin", "sort")
FRAME_JOBS = ("rollouts.imagine", "rollouts.capture")
VERIFY_JOBS = ("rollouts.verify",)


@require_GET
@role_required("researcher")
def scenarios(request: HttpRequest) -> HttpResponse:
    filters = filters_of(request, FILTERS)
    page = page_of(request, selectors.scenarios_filtered(**filters), 25)
    return render(
        request,
        "rollouts/scenarios.html",
        {
            "page": page,
            "rows": [_row(scenario) for scenario in page],
            "filters": filters,
            "filtered": any(value for name, value in filters.items() if name != "sort"),
            "query": query_of(filters),
            "tags": selectors.scenario_tags(),
            "dogs": [(value, scene_factors.word(value)) for value in scene_factors.CHOICES["dog"][1]],
            "sorts": [(name, name.replace("frames", "approved frames")) for name in SORTS],
            "states": Scenario.State.choices,
            "origins": Scenario.Origin.choices,
            "saved_views": selectors.saved_views(owner=person(request), page="scenarios"),
            "saved_page": "scenarios",
        },
    )


def _row(scenario: Scenario) -> dict[str, Any]:
    version = scenario.current
    return {"scenario": scenario, "version": version, "chips": chips(version.factors)}


def chips(factors: dict[str, Any]) -> list[str]:
    """Factors as short words, those that matter first."""
    return [scene_factors.phrase(name, factors[name]) for name in scene_factors.CHOICES if name in factors]


@require_GET
@role_required("researcher")
def scenario(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Scenario.objects.select_related("derived_from", "created_by"), slug=slug)
    version = row.current
    frames = selectors.start_frames_filtered(scenario=slug, state=request.GET.get("state", ""))
    page = page_of(request, frames, 60)
    twins = selectors.near_duplicates(page)
    topic = topic_of(slug)
    jobs = open_jobs(FRAME_JOBS, scenario_version=version.pk)
    versions = list(selectors.policy_versions_usable())
    return render(
        request,
        "rollouts/scenario.html",
        {
            "scenario": row,
            "version": version,
            "chips": chips(version.factors),
            "objection": scene_factors.world_objection(version.prompt),
            "history": version_history(row),
            "counts": selectors.frame_counts(scenario=row),
            "page": page,
            "frame_states": StartFrame.State.choices,
            "shown_state": request.GET.get("state", ""),
            "grid": grid_props(page, twins),
            "feed": json.dumps({"topic": topic, "after": last_id(topic)}),
            "jobs": [(job, json.dumps({**job_props(job), "reload": True})) for job in jobs],
            "failure": last_failure(FRAME_JOBS, scenario_version=version.pk),
            # No reload of the page when these end: somebody reviews frames meanwhile.
            "verify_jobs": [(job, json.dumps(job_props(job))) for job in open_jobs(VERIFY_JOBS, scenario_version=version.pk)],
            "verify_failure": last_failure(VERIFY_JOBS, scenario_version=version.pk),
            "imagine_form": ImagineForm(initial={"scene_text": version.scene_text}, versions=versions, auto_id="imagine_%s"),
            "capture_form": CaptureForm(versions=versions, auto_id="capture_%s"),
            "vary_form": VaryForm(),
            "verify_form": VerifyForm(versions=versions, auto_id="verify_%s"),
            "sample_form": SampleForm(versions=versions, auto_id="sample_%s"),
            "verifications": version.verifications.select_related("policy_version")[:5],
            "audit": AuditEntry.objects.filter(target_type="rollouts.Scenario", target_id=str(row.pk))[:10],
            "transitions": [state for state in Scenario.State if state in services.TRANSITIONS[Scenario.State(row.state)]],
        },
    )


def grid_props(frames: Any, twins: dict[int, list[int]]) -> str:
    """The review grid's island properties as JSON."""
    return json.dumps(
        {
            "review_url": "/api/v1/start-frames/review/",
            "reasons": list(REASONS),
            "frames": [selectors.frame_card(frame, twins.get(frame.pk)) for frame in frames],
        }
    )


@require_http_methods(["GET", "POST"])
@role_required("admin")
def scenario_new(request: HttpRequest) -> HttpResponse:
    form = ScenarioForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.scenario_create(name=form.cleaned_data["name"], content=form.cleaned_data["content"], created_by=person(request))
            messages.success(request, f"“{made.name}” is a draft now. Give it start frames, then activate it.")
            return redirect(made)
        except services.RolloutsError as error:
            form.add_error(None, str(error))
    return render(request, "rollouts/scenario_form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@role_required("admin")
def scenario_edit(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Scenario, slug=slug)
    version = row.current
    form = ScenarioForm(request.POST or None, version=version)
    if request.method == "POST" and form.is_valid():
        try:
            after = services.scenario_edit(
                scenario=row,
                content=form.cleaned_data["content"],
                name=form.cleaned_data["name"],
                by=person(request),
                base_number=form.cleaned_data["base_number"],
            )
            if after.number != version.number:
                messages.success(request, f"Saved as version {after.number}. Older rollouts keep theirs.")
            else:
                messages.info(request, "Nothing but perhaps the name was changed; the version stays.")
            return redirect(row)
        except services.RolloutsError as error:
            form.add_error(None, str(error))
    context = {"form": form, "scenario": row, "version": version}
    return render(request, "rollouts/scenario_form.html", context, status=422 if form.errors else 200)


@require_POST
@role_required("admin")
def scenario_state(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Scenario, slug=slug)
    try:
        services.scenario_set_state(
            scenario=row,
            state=request.POST.get("state", ""),
            by=person(request),
            reason=request.POST.get("reason", "")[:300],
        )
        messages.success(request, f"“{row.name}” is {row.get_state_display().lower()} now.")
    except services.RolloutsError as error:
        messages.error(request, str(error))
    return redirect(row)


@require_POST
@role_required("admin")
def scenarios_state(request: HttpRequest) -> HttpResponse:
    """The ticked scenarios of the list, all at once."""
    back = request.POST.get("next", "")
    target = back if back.startswith("/scenarios/?") else "/scenarios/"
    slugs = request.POST.getlist("scenario")
    if not slugs:
        messages.error(request, "Tick the scenarios first.")
        return redirect(target)
    state = request.POST.get("state", "")
    try:
        changed = services.scenarios_set_state(slugs=slugs, state=state, by=person(request), reason=request.POST.get("reason", "")[:300])
    except services.RolloutsError as error:
        messages.error(request, str(error))
    else:
        same = len(set(slugs)) - changed
        messages.success(request, f"{changed} scenario{'' if changed == 1 else 's'} changed.{f' {same} were so already.' if same else ''}")
    return redirect(target)


@require_POST
@role_required("admin")
def scenario_duplicate(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Scenario, slug=slug)
    copy = services.scenario_duplicate(scenario=row, by=person(request))
    messages.success(request, "This is the copy, a draft. Rename and change it.")
    return redirect("rollouts:scenario_edit", slug=copy.slug)


@require_POST
@role_required("admin")
def scenario_vary(request: HttpRequest, slug: str) -> HttpResponse:
    row = get_object_or_404(Scenario, slug=slug)
    form = VaryForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose values from the list.")
        return redirect(row)
    try:
        made = services.scenario_vary(scenario=row, axes=form.axes(), by=person(request), rewrite_text=form.cleaned_data["rewrite_text"])
    except services.RolloutsError as error:
        messages.error(request, str(error))
        return redirect(row)
    messages.success(request, f"Made {len(made)} drafts from “{row.name}”.")
    return redirect("/scenarios/?state=draft&origin=varied")


@require_GET
@role_required("researcher")
def scenarios_export(request: HttpRequest) -> HttpResponse:
    """The filtered list, or one scenario by `?slug=`, as YAML or JSON."""
    kind = "json" if request.GET.get("format") == "json" else "yaml"
    filters = filters_of(request, FILTERS)
    rows = selectors.scenarios_filtered(**filters)
    name = "scenarios"
    if slug := request.GET.get("slug"):
        rows = selectors.scenarios_filtered(state="all").filter(slug=slug)
        name = get_object_or_404(rows).slug
    text = services.scenarios_export(scenarios=rows, kind=kind)
    response = HttpResponse(text, content_type="application/json" if kind == "json" else "application/yaml")
    response["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response


@require_POST
@role_required("admin")
def scenarios_import(request: HttpRequest) -> HttpResponse:
    file = request.FILES.get("file")
    if file is None:
        messages.error(request, "Choose a file to import.")
        return redirect("rollouts:scenarios")
    try:
        result = services.scenarios_import(data=file.read(MAX_BYTES + 1), by=person(request))
    except services.RolloutsError as error:
        messages.error(request, f"Nothing was imported. {error}")
        return redirect("rollouts:scenarios")
    messages.success(
        request,
        f"Imported: {len(result['created'])} new drafts, {len(result['changed'])} changed, {len(result['same'])} as before.",
    )
    return redirect("rollouts:scenarios")
