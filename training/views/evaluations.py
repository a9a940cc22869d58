"""Evaluations: the list with predicted against measured, one evaluation, its CSV, and starting one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from core.events import last_id
from core.people import role_required
from rollouts.images import png_bytes
from rollouts.models import Rollout
from rollouts.views.common import job_props
from training import selectors, services
from training.forms import EvaluationForm
from training.models import Episode, Evaluation

EPISODE_COLUMNS = ("index", "kind", "scenario", "prompt", "seed", "success", "dog_contact", "clean_success", "steps", "predicted")
MEASURES = ("contact", "success", "clean")


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
    wanted = request.GET.get("version")
    form = EvaluationForm(request.POST or None, initial={"version": wanted} if wanted else {})
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
    running = row.state == Evaluation.State.RUNNING
    others = comparable_of(row)
    before = before_of(row, request.GET.get("against", ""), others)
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
            "total": row.suite["adversarial"] + row.suite["ordinary"],
            "job_props": json.dumps({**job_props(row.job), "reload": True}) if running and row.job and not row.job.is_finished else "",
            "stopped": row.job if row.state != Evaluation.State.DONE and row.job and row.job.is_finished else None,
            "feed": json.dumps({"topic": row.topic, "after": last_id(row.topic)}),
        },
    )


def comparable_of(row: Evaluation) -> list[Evaluation]:
    return selectors.comparable_evaluations(row) if row.state == Evaluation.State.DONE else []


def before_of(row: Evaluation, wanted: str, others: list[Evaluation]) -> Evaluation | None:
    """The evaluation that this one is compared with: the one asked for, else the parent's if there is one."""
    if wanted:
        return next((other for other in others if str(other.pk) == wanted), None)
    return others[0] if others and others[0].policy_version_id == row.policy_version.parent_id else None


def viewer_of(episode: Episode) -> dict:
    """The dream and what happened, drawn from one clock."""
    assert episode.dreamed is not None and episode.real is not None  # noqa: PT018  only such episodes are shown
    size = {"columns": Rollout.COLUMNS, "frame_count": episode.frame_count, "fps": 3, "width": episode.frame_size, "height": episode.frame_size}
    return {
        "rollouts": [
            {"id": 2 * episode.pk, "label": "dreamed", "sprite_url": episode.dreamed.url, **size},
            {"id": 2 * episode.pk + 1, "label": "what happened", "sprite_url": episode.real.url, **size},
        ]
    }


def csv_file(name: str, columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> HttpResponse:
    """A table to take away."""
    response = HttpResponse(content_type="text/csv")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    writer = csv.writer(response)
    writer.writerow(columns)
    writer.writerows(rows)
    return response


@require_GET
@role_required("researcher")
def evaluation_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """Every episode."""
    row = get_object_or_404(Evaluation, pk=pk)
    rows = ([getattr(episode, name) for name in EPISODE_COLUMNS] for episode in row.episodes.iterator())
    return csv_file(f"evaluation-{row.pk}", EPISODE_COLUMNS, rows)


@require_GET
@role_required("researcher")
def scenarios_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """The table by scenario, with the evaluation named by `?against=` beside it as on the page."""
    row = get_object_or_404(Evaluation.objects.select_related("policy_version"), pk=pk)
    before = before_of(row, request.GET.get("against", ""), comparable_of(row))
    parts = [(measure, part) for measure in MEASURES for part in (("before", "after", "change") if before else ("after",))]
    table = selectors.scenario_table(row, before)
    return csv_file(
        f"evaluation-{row.pk}-scenarios",
        ("scenario", "kind", "n", *(f"{measure} {part}{end}" for measure, part in parts for end in ("", " low", " high"))),
        ([line["scenario"], line["kind"], line["n"], *(value for measure, part in parts for value in interval_of(line, measure, part))] for line in table),
    )


def interval_of(line: dict[str, Any], measure: str, part: str) -> tuple[float, float, float]:
    estimate = line[measure] if part == "after" else line[part][measure]
    return estimate["value"], estimate["low"], estimate["high"]


@require_GET
@role_required("researcher")
def contacts_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """Where the dog was touched, one line a contact, in metres on the floor."""
    row = get_object_or_404(Evaluation, pk=pk)
    return csv_file(f"evaluation-{row.pk}-contacts", ("episode", "scenario", "x", "y"), selectors.contacts(row))


@require_GET
@role_required("researcher")
def contacts_png(request: HttpRequest, pk: int) -> HttpResponse:
    """The heat map of contacts as a picture."""
    row = get_object_or_404(Evaluation, pk=pk)
    response = HttpResponse(png_bytes(selectors.heat_pixels(selectors.contact_heat(row))), content_type="image/png")
    response["Content-Disposition"] = f'attachment; filename="evaluation-{row.pk}-contacts.png"'
    return response
