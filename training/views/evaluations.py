"""Evaluations: the list with predicted against measured, one evaluation, its CSV, and starting one."""

from __future__ import annotations

import csv
import json

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from core.events import last_id
from core.people import role_required
from rollouts.models import Rollout
from rollouts.views.common import job_props
from training import selectors, services
from training.forms import EvaluationForm
from training.models import Episode, Evaluation

EPISODE_COLUMNS = ("index", "kind", "scenario", "prompt", "seed", "success", "dog_contact", "clean_success", "steps", "predicted")


@require_GET
@role_required("researcher")
def evaluations(request: HttpRequest) -> HttpResponse:
    version = request.GET.get("version", "")
    prediction = selectors.predicted_against_measured()
    return render(
        request,
        "training/evaluations.html",
        {
            "page": Paginator(selectors.evaluations_listed(version=version), 25).get_page(request.GET.get("page")),
            "query": f"version={version}" if version.isdigit() else "",
            "points": prediction["points"],
            "figures": prediction["figures"],
            "chart": json.dumps(prediction["chart"]),
        },
    )


@require_http_methods(["GET", "POST"])
@role_required("researcher")
def evaluation_new(request: HttpRequest) -> HttpResponse:
    form = EvaluationForm(request.POST or None, initial={"version": request.GET.get("version")})
    if request.method == "POST" and form.is_valid():
        try:
            row = services.evaluation_start(version=form.cleaned_data["version"], settings=form.settings(), created_by=request.user)
        except services.TrainingError as error:
            form.add_error(None, str(error))
        else:
            if row.state == Evaluation.State.DONE:
                messages.info(request, "This version has played this suite already.")
            return redirect(row)
    return render(request, "training/evaluation_new.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@role_required("researcher")
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Evaluation.objects.select_related("policy_version", "job"), pk=pk)
    others = selectors.comparable_evaluations(row) if row.state == Evaluation.State.DONE else []
    wanted = request.GET.get("against", "")
    before = next((other for other in others if str(other.pk) == wanted), None)
    if not wanted and others and others[0].policy_version_id == row.policy_version.parent_id:
        before = others[0]
    shown = selectors.episode_pairs_shown(row)
    best_of_n = selectors.best_of_n(row.policy_version_id)
    return render(
        request,
        "training/evaluation.html",
        {
            "evaluation": row,
            "before": before,
            "others": others,
            "table": selectors.scenario_table(row, before),
            "heat": selectors.contact_heat(row),
            "best_of_n": json.dumps(best_of_n) if best_of_n else "",
            "pairs": [(episode, json.dumps(viewer_of(episode))) for episode in shown],
            "played": row.episodes.count(),
            "job_props": json.dumps({**job_props(row.job), "reload": True}) if row.job and row.state == Evaluation.State.RUNNING else "",
            "feed": json.dumps({"topic": row.topic, "after": last_id(row.topic)}),
        },
    )


def viewer_of(episode: Episode) -> dict:
    """The dream and what happened, drawn from one clock."""
    assert episode.dreamed is not None and episode.real is not None  # noqa: PT018  only such episodes are shown
    size = {"columns": Rollout.COLUMNS, "frame_count": episode.frame_count, "fps": 3, "width": episode.frame_size, "height": episode.frame_size}
    return {
        "rollouts": [
            {"id": 2 * episode.pk, "label": "dreamed", "sprite_url": episode.dreamed.url, **size},
            {"id": 2 * episode.pk + 1, "label": "what happened", "sprite_url": episode.real.url, **size},
        ],
        "autoplay": False,
    }


@require_GET
@role_required("researcher")
def evaluation_csv(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Evaluation, pk=pk)
    response = HttpResponse(content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="evaluation-{row.pk}.csv"'
    writer = csv.writer(response)
    writer.writerow(EPISODE_COLUMNS)
    for episode in row.episodes.iterator():
        writer.writerow([getattr(episode, name) for name in EPISODE_COLUMNS])
    return response
