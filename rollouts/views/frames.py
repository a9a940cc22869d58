"""Start frames: generate, capture, upload, review."""

from __future__ import annotations

import json

from django.contrib import messages
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.jobs import submit
from core.models import AuditEntry
from core.people import role_required
from rollouts import selectors, services
from rollouts.forms import CaptureForm, ImagineForm, LikeForm, SampleForm
from rollouts.models import Scenario, StartFrame
from rollouts.selectors.frames import seen_words
from rollouts.services.acts import submit_act
from rollouts.services.frames import REASONS
from rollouts.services.uploads import MAX_BYTES, MAX_FILES
from rollouts.views.common import filters_of, page_of, person, query_of, scenario_names, tell_errors
from rollouts.views.scenarios import grid_props

FILTERS = ("scenario", "state", "source", "disagrees", "version", "seed", "q")


@require_GET
@role_required("researcher")
def start_frames(request: HttpRequest) -> HttpResponse:
    filters = filters_of(request, FILTERS)
    page = page_of(request, selectors.start_frames_filtered(**filters), 60)
    twins = selectors.near_duplicates(page)
    return render(
        request,
        "rollouts/start_frames.html",
        {
            "page": page,
            "grid": grid_props(page, twins),
            "filters": filters,
            "filtered": any(filters.values()),
            "query": query_of(filters),
            "counts": selectors.frame_counts(),
            "scenarios": scenario_names(),
            "states": StartFrame.State.choices,
            "sources": StartFrame.Source.choices,
            "saved_views": selectors.saved_views(owner=person(request), page="start_frames"),
            "saved_page": "start_frames",
        },
    )


@require_GET
@role_required("researcher")
def frames_arriving(request: HttpRequest, slug: str) -> HttpResponse:
    """The newest frames of a scenario as a fragment; a page asks again whenever the feed says that one arrived."""
    scenario = get_object_or_404(Scenario, slug=slug)
    frames = selectors.start_frames_filtered(scenario=slug, state="proposed")[:24]
    return render(
        request,
        "rollouts/_arriving.html",
        {"scenario": scenario, "frames": frames, "counts": selectors.frame_counts(scenario=scenario)},
    )


@require_GET
@role_required("researcher")
def start_frame(request: HttpRequest, pk: int) -> HttpResponse:
    frame = get_object_or_404(
        StartFrame.objects.select_related("scenario_version__scenario", "policy_version", "image", "created_by", "reviewed_by"),
        pk=pk,
    )
    twins = selectors.near_duplicates([frame]).get(frame.pk, [])
    rollouts = list(selectors.rollouts_filtered(start_frame=str(pk)).order_by("-policy_version_id", "-accepted", "-value")[:24])
    versions = list(selectors.policy_versions_usable())
    same_seed = StartFrame.objects.none()
    if frame.seed is not None and frame.source == StartFrame.Source.GENERATED:
        same_seed = (
            StartFrame.objects.select_related("image")
            .filter(seed=frame.seed, source=frame.source, scenario_version__scenario=frame.scenario_version.scenario)
            .exclude(pk=pk)
        )[:12]
    return render(
        request,
        "rollouts/start_frame.html",
        {
            "frame": frame,
            "scenario": frame.scenario_version.scenario,
            "seen": seen_words(frame.probe),
            "twins": StartFrame.objects.select_related("image").filter(pk__in=twins),
            "same_seed": same_seed,
            "rollouts": rollouts,
            "viewer": json.dumps({"rollouts": [selectors.rollout_card(row) for row in rollouts], "autoplay": True}),
            "sample_form": SampleForm(initial={"n": 8}, versions=versions),
            "like_form": LikeForm(initial={"scene_text": frame.scene_text}, versions=versions, auto_id="like_%s"),
            "reasons": REASONS,
            "audit": AuditEntry.objects.filter(target_type="rollouts.StartFrame", target_id=str(pk))[:10],
        },
    )


@require_POST
@role_required("admin")
def start_frame_review(request: HttpRequest, pk: int) -> HttpResponse:
    """One frame from its own page; the grid uses the API."""
    frame = get_object_or_404(StartFrame, pk=pk)
    try:
        services.start_frames_review(
            ids=[frame.pk],
            state=request.POST.get("state", ""),
            by=person(request),
            reason=request.POST.get("reason", "")[:300],
        )
        messages.success(request, "Saved.")
    except services.RolloutsError as error:
        messages.error(request, str(error))
    return redirect(frame)


def _next_seed(scenario: Scenario) -> int:
    used = StartFrame.objects.filter(scenario_version__scenario=scenario).aggregate(last=Max("seed"))["last"]
    return 0 if used is None else used + 1


@require_POST
@role_required("admin")
def frames_imagine(request: HttpRequest, slug: str) -> HttpResponse:
    scenario = get_object_or_404(Scenario, slug=slug)
    form = ImagineForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect(scenario)
    data = form.cleaned_data
    version = scenario.current
    submit_act(
        kind="rollouts.imagine",
        params={
            "scenario_version": version.pk,
            "policy_version": data["policy_version"].pk,
            "n": data["n"],
            "seed": data["seed"] if data["seed"] is not None else _next_seed(scenario),
            "scene_text": data["scene_text"].strip(),
        },
        by=person(request),
        target=scenario,
    )
    return redirect(f"{scenario.get_absolute_url()}#frames")


@require_POST
@role_required("admin")
def frames_like(request: HttpRequest, pk: int) -> HttpResponse:
    """More like a generated frame: variations of its seed, under the same or other words."""
    frame = get_object_or_404(StartFrame.objects.select_related("scenario_version__scenario"), pk=pk, source="generated")
    form = LikeForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect(frame)
    data = form.cleaned_data
    scenario = frame.scenario_version.scenario
    exactly = data["closeness"] == 1.0
    seed = frame.seed if exactly else _next_seed(scenario)
    params = {
        "scenario_version": scenario.current.pk,
        "policy_version": data["policy_version"].pk,
        "n": 1 if exactly else data["n"],  # the same seed and words would give the same frame again and again
        "seed": seed,
        "scene_text": data["scene_text"].strip() or frame.scene_text,
    }
    if not exactly:
        params |= {"like": frame.sampler.get("like", frame.seed), "closeness": data["closeness"]}
    submit_act(kind="rollouts.imagine", params=params, by=person(request), target=scenario)
    return redirect(f"{scenario.get_absolute_url()}#frames")


@require_POST
@role_required("admin")
def frames_capture(request: HttpRequest, slug: str) -> HttpResponse:
    scenario = get_object_or_404(Scenario, slug=slug)
    form = CaptureForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect(scenario)
    data = form.cleaned_data
    submit_act(
        kind="rollouts.capture",
        params={
            "scenario_version": scenario.current.pk,
            "policy_version": data["policy_version"].pk,
            "n": data["n"],
            "seed": data["seed"] if data["seed"] is not None else _next_seed(scenario),
        },
        by=person(request),
        target=scenario,
    )
    return redirect(f"{scenario.get_absolute_url()}#frames")


@require_POST
@role_required("admin")
def frames_upload(request: HttpRequest, slug: str) -> HttpResponse:
    scenario = get_object_or_404(Scenario, slug=slug)
    files = request.FILES.getlist("files")
    if not files:
        messages.error(request, "Choose one or more pictures to upload.")
        return redirect(scenario)
    if len(files) > MAX_FILES:
        messages.error(request, f"Upload at most {MAX_FILES} pictures at once.")
        return redirect(scenario)
    # One byte more than allowed is enough to know that a file is too large; the rest is never read into memory.
    read = ((file.name or "", file.content_type or "", file.read(MAX_BYTES + 1)) for file in files)
    made, refused = [], []
    for one in read:
        some, wrong = services.start_frame_upload(scenario_version=scenario.current, files=[one], created_by=person(request))
        made += some
        refused += wrong
    for sentence in refused[:10]:
        messages.error(request, sentence)
    if len(refused) > 10:
        messages.error(request, f"{len(refused) - 10} more files were refused.")
    if made:
        messages.success(request, f"{len(made)} uploaded, to be reviewed.")
        version = selectors.policy_versions_usable().first()
        if version:
            submit(
                kind="rollouts.probe",
                params={"start_frames": [row.pk for row in made], "policy_version": version.pk},
                created_by=person(request),
            )
    return redirect(f"{scenario.get_absolute_url()}#frames")
