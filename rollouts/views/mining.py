"""Mining: searches, proposals, the coverage map, and dreamed against real failure rates."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from core.events import last_id
from core.people import role_required
from rollouts import factors as scene_factors
from rollouts import services
from rollouts.forms import MineForm, VerifyForm
from rollouts.models import MiningCandidate, MiningRun, Scenario
from rollouts.selectors import policy_versions_usable
from rollouts.selectors.mining import coverage, proposals, run_figures, runs_with_figures, verification_pairs, version_to_show
from rollouts.services.acts import submit_act
from rollouts.services.mining import DECIDED
from rollouts.views.common import filters_of, job_props, last_failure, open_jobs, page_of, person, query_of, tell_errors

JOBS = ("rollouts.mine", "rollouts.mine_daily", "rollouts.mine_verify", "rollouts.verify")
# What waits for a decision comes first.
STATES = (MiningCandidate.State.PROPOSED, MiningCandidate.State.ACCEPTED, MiningCandidate.State.DECLINED, MiningCandidate.State.EVALUATED)


@require_GET
@role_required("researcher")
def mining(request: HttpRequest) -> HttpResponse:
    filters = filters_of(request, ("version", "state", "cell"))
    versions = list(policy_versions_usable())
    asked = next((row for row in versions if str(row.pk) == filters["version"]), None)
    version = asked or version_to_show(versions)
    state = filters["state"] or "proposed"
    page = page_of(request, proposals(state=state, cell=filters["cell"], version=asked), 24)
    pairs = verification_pairs(policy_version=version) if version else []
    return render(
        request,
        "rollouts/mining.html",
        {
            "versions": versions,
            "version": version,
            # What a link to other proposals has to keep: the version that was asked for, whose map is shown and whose candidates are listed.
            "keep": f"&version={asked.pk}" if asked else "",
            "unsearched": versions[0] if version and not asked and version != versions[0] else None,
            "coverage": coverage(policy_version=version) if version else None,
            "page": page,
            "candidates": [candidate_row(candidate) for candidate in page],
            "undecided": any(candidate.state not in DECIDED for candidate in page),
            "filters": {**filters, "state": state},
            "query": query_of(filters),
            "states": [(state.value, state.label) for state in STATES],
            "cell_words": cell_words(filters["cell"]),
            "runs": runs_with_figures(limit=10),
            "jobs": [(job, json.dumps({**job_props(job), "reload": True})) for job in open_jobs(JOBS)],
            "failure": last_failure(JOBS),
            "feed": json.dumps({"topic": "mining:all", "after": last_id("mining:all")}),
            "mine_form": MineForm(versions=versions),
            "pairs": pairs,
            "pairs_chart": json.dumps(_pairs_chart(pairs)) if pairs else "",
        },
    )


def candidate_row(candidate: MiningCandidate) -> dict[str, Any]:
    """A candidate with its factors in words."""
    scene = candidate.world_spec.get("factors", {})
    words = [scene_factors.phrase(name, scene[name]) for name in scene_factors.CELL_FACTORS if name in scene]
    return {"candidate": candidate, "words": words}


def cell_words(cell: str) -> str:
    """A cell of the coverage map in words; as it is if it is none."""
    try:
        return ", ".join(scene_factors.phrase(name, value) for name, value in scene_factors.cell_parse(cell).items())
    except ValueError:
        return cell


def _pairs_chart(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Real against dreamed failure rate, one point a scenario."""
    ordered = sorted(pairs, key=lambda pair: pair["dreamed"])
    return {
        "kind": "points",
        "title": "Real against dreamed failure rate",
        "x": {"label": "dreamed failure rate", "values": [round(pair["dreamed"], 3) for pair in ordered], "min": 0, "max": 1},
        "y": {"label": "real failure rate", "min": 0, "max": 1},
        "series": [
            {
                "name": "scenarios",
                "values": [round(pair["real"], 3) for pair in ordered],
                "low": [round(pair["real_low"], 3) for pair in ordered],
                "high": [round(pair["real_high"], 3) for pair in ordered],
            }
        ],
    }


@require_GET
@role_required("researcher")
def mining_run(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(MiningRun.objects.select_related("policy_version", "created_by", "job"), pk=pk)
    page = page_of(request, proposals(state="", run=pk), 48)
    return render(
        request,
        "rollouts/mining_run.html",
        {
            "run": run,
            "page": page,
            "candidates": [candidate_row(candidate) for candidate in page],
            "undecided": any(candidate.state not in DECIDED for candidate in page),
            "figures": run_figures(run=run),
            "cells_total": len(scene_factors.all_cells()),
            "jobs": [(job, json.dumps({**job_props(job), "reload": True})) for job in open_jobs(JOBS, run=pk)],
        },
    )


@require_POST
@role_required("admin")
def mining_start(request: HttpRequest) -> HttpResponse:
    form = MineForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect("rollouts:mining")
    data = form.cleaned_data
    services.mining_start(**data, by=person(request))
    messages.info(request, f"Mining: {data['budget']} start frames are tried with {data['dreams']} dreams each.")
    return redirect("rollouts:mining")


@require_POST
@role_required("admin")
def mining_run_verify(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(MiningRun, pk=pk)
    try:
        services.mining_verify_start(run=run, by=person(request))
    except services.RolloutsError as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "The worst finds are replayed in the world.")
    return redirect(run)


@require_POST
@role_required("admin")
def candidate_decide(request: HttpRequest, pk: int) -> HttpResponse:
    candidate = get_object_or_404(MiningCandidate, pk=pk)
    try:
        if request.POST.get("decision") == "accept":
            frame = services.mining_candidate_accept(candidate=candidate, by=person(request))
            messages.success(request, f"Accepted: start frame {frame.pk} of “{frame.scenario_version.scenario.name}”.")
        else:
            reason = request.POST.get("reason", "")[:300]
            services.mining_candidate_decline(candidate=candidate, by=person(request), reason=reason)
            messages.info(request, "Declined.")
    except services.RolloutsError as error:
        messages.error(request, str(error))
    return redirect(_back(request))


@require_POST
@role_required("admin")
def candidates_decide(request: HttpRequest) -> HttpResponse:
    """The ticked proposals at once."""
    ids = [int(value) for value in request.POST.getlist("candidate") if value.isdigit() and len(value) < 19]
    accept = request.POST.get("decision") == "accept"
    if not ids:
        messages.error(request, "Tick the proposals first.")
        return redirect(_back(request))
    try:
        done = services.mining_candidates_decide(ids=ids, accept=accept, by=person(request), reason=request.POST.get("reason", "")[:300])
    except services.RolloutsError as error:
        messages.error(request, str(error))
    else:
        late = f" {done['before']} had been decided before." if done["before"] else ""
        messages.success(request, f"{done['decided']} {'accepted: their start frames are approved' if accept else 'declined'}.{late}")
    return redirect(_back(request))


def _back(request: HttpRequest) -> str:
    """The list that a decision was made on; nowhere outside the mining pages."""
    back = request.POST.get("next", "")
    return back if back.startswith("/mining/") else "/mining/"


@require_POST
@role_required("admin")
def scenario_verify(request: HttpRequest, slug: str) -> HttpResponse:
    scenario = get_object_or_404(Scenario, slug=slug)
    form = VerifyForm(request.POST)
    if not form.is_valid():
        tell_errors(request, form)
        return redirect(scenario)
    data = form.cleaned_data
    submit_act(
        kind="rollouts.verify",
        params={
            "scenario_version": scenario.current.pk,
            "policy_version": data["policy_version"].pk,
            "episodes": data["episodes"],
        },
        by=person(request),
        target=scenario,
    )
    messages.info(request, f"{data['episodes']} real episodes are run beside dreams from the same start frames.")
    return redirect(f"{scenario.get_absolute_url()}#verification")
