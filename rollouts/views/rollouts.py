"""Rollouts: the studio where dreams are sampled and looked at."""

from __future__ import annotations

import json

from django.contrib import messages
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.people import role_required
from rollouts import selectors, services
from rollouts.forms import SampleForm
from rollouts.models import Rollout, Scenario, StartFrame
from rollouts.services.acts import submit_act
from rollouts.views.common import filters_of, job_props, last_failure, open_jobs, page_of, person, query_of, scenario_names, tell_errors

FILTERS = ("scenario", "version", "accepted", "start_frame", "check", "q", "sort")
MAX_FRAMES_A_JOB = 200


@require_GET
@role_required("researcher")
def rollouts(request: HttpRequest) -> HttpResponse:
    filters = filters_of(request, FILTERS)
    page = page_of(request, selectors.rollouts_filtered(**filters), 24)
    jobs = open_jobs(("rollouts.sample",))
    versions = list(selectors.policy_versions_usable())
    return render(
        request,
        "rollouts/rollouts.html",
        {
            "page": page,
            "viewer": json.dumps(
                {
                    "rollouts": [
                        selectors.rollout_card(row, f"{row.start_frame.scenario_version.scenario.name} · {row.policy_version.name} · seed {row.seed}")
                        for row in page
                    ],
                    "overlay": True,
                }
            ),
            "filters": filters,
            "filtered": any(value for name, value in filters.items() if name != "sort"),
            "query": query_of(filters),
            "scenarios": scenario_names(),
            "versions": versions,
            "rejections": selectors.rejection_counts(),
            "total": Rollout.objects.count(),
            "accepted_total": Rollout.objects.filter(accepted=True).count(),
            "approved_frames": StartFrame.objects.filter(state="approved").count(),
            "jobs": [(job, json.dumps({**job_props(job), "reload": True})) for job in jobs],
            "failure": last_failure(("rollouts.sample",)),
            "sample_form": SampleForm(versions=versions),
            "saved_views": selectors.saved_views(owner=person(request), page="rollouts"),
            "saved_page": "rollouts",
        },
    )


@require_GET
@role_required("researcher")
def rollout(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(
        Rollout.objects.select_related("start_frame__scenario_version__scenario", "start_frame__image", "policy_version", "sprite", "latents"),
        pk=pk,
    )
    siblings = list(
        selectors.rollouts_filtered(start_frame=str(row.start_frame_id))
        .filter(policy_version=row.policy_version, prompt=row.prompt)
        .exclude(pk=pk)
        .order_by("seed")[:15]
    )
    steps = [{"at": i / row.fps, "action": action, "xy": row.path[i + 1] if i + 1 < len(row.path) else None} for i, action in enumerate(row.actions)]
    return render(
        request,
        "rollouts/rollout.html",
        {
            "rollout": row,
            "frame": row.start_frame,
            "scenario": row.start_frame.scenario_version.scenario,
            "steps": steps,
            "action_names": ["vx", "vy", "left arm", "right arm", "gripper"][: len(row.actions[0]) if row.actions else 5],
            "viewer": json.dumps({"rollouts": [selectors.rollout_card(row)], "autoplay": True, "overlay": True, "moment": "frame"}),
            "siblings": siblings,
            "sibling_viewer": json.dumps({"rollouts": [selectors.rollout_card(other) for other in siblings]}),
            "speed_chart": json.dumps(_speed_chart(row)),
            "moments": [(i, i / row.fps) for i in range(1, row.frame_count)],
        },
    )


def _speed_chart(row: Rollout) -> dict:
    """Speed along the inferred path, in m/s over seconds."""
    speeds = [((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5 * row.fps for a, b in zip(row.path, row.path[1:], strict=False)]
    return {
        "kind": "line",
        "title": "Speed along the inferred path",
        "x": {"label": "s", "values": [round((i + 1) / row.fps, 2) for i in range(len(speeds))]},
        "y": {"label": "m/s", "min": 0},
        "series": [{"name": "speed", "values": [round(speed, 3) for speed in speeds]}],
    }


@require_POST
@role_required("admin")
def rollout_continue(request: HttpRequest, pk: int) -> HttpResponse:
    """A moment of this rollout, `frame`, becomes a start frame to review."""
    row = get_object_or_404(Rollout.objects.select_related("start_frame__scenario_version__scenario", "policy_version"), pk=pk)
    wanted = request.POST.get("frame", "")
    try:
        frame = services.start_frame_continue(rollout=row, frame=int(wanted) if wanted.isdecimal() and len(wanted) < 5 else 0, by=person(request))
    except services.RolloutsError as error:
        messages.error(request, str(error))
        return redirect(row)
    messages.success(request, "This moment waits for your review: approve it, and futures can begin here.")
    return redirect(frame)


@require_POST
@role_required("researcher")
def rollouts_sample(request: HttpRequest) -> HttpResponse:
    """Sample rollouts of frames (`start_frame` repeated), or of all approved frames of a `scenario`."""
    form = SampleForm(request.POST)
    back = request.POST.get("next", "")
    target = back if back.startswith("/") and not back.startswith("//") and "\\" not in back else "/rollouts/"
    if not form.is_valid():
        tell_errors(request, form)
        return redirect(target)
    approved = StartFrame.objects.filter(state=StartFrame.State.APPROVED)
    ids = [int(value) for value in request.POST.getlist("start_frame") if value.isdigit() and len(value) < 19]
    if ids:
        approved = approved.filter(pk__in=ids)
    elif slug := request.POST.get("scenario", ""):
        approved = approved.filter(scenario_version__scenario=get_object_or_404(Scenario, slug=slug))
    else:
        approved = approved.filter(scenario_version__scenario__state="active")
    frames = list(approved.order_by("-pk").values_list("pk", flat=True)[:MAX_FRAMES_A_JOB])
    if not frames:
        messages.error(request, "No approved start frame is chosen. Only approved frames are sampled.")
        return redirect(target)
    data = form.cleaned_data
    for version in data["policy_version"]:
        seed = data["seed"]
        if seed is None:
            # Re-sampling without a seed means new dreams: go on after the seeds that were used.
            used = Rollout.objects.filter(start_frame__in=frames, policy_version=version).aggregate(last=Max("seed"))["last"]
            seed = 0 if used is None else used + 1
        params = {"start_frames": frames, "policy_version": version.pk, "n": data["n"], "seed": seed, "prompt": data["prompt"].strip()}
        job = submit_act(kind="rollouts.sample", params=params, by=person(request), target=version)
    names = ", ".join(version.name for version in data["policy_version"])
    messages.info(request, f"Sampling {data['n']} rollouts of {len(frames)} start frame{'s' if len(frames) != 1 else ''} under {names}.")
    return redirect(target if back else job)
