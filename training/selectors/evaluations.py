"""Reading evaluations: tables, heat map, and how well dreams predict the world."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from django.db.models import QuerySet

from training.learn.gate import by_scenario, compare
from training.learn.statistics import (
    bootstrap_over,
    mean_maximum_rank_violation,
    pearson,
    ranking_accuracy,
    wilson,
)
from training.models import Episode, Evaluation
from training.services.evaluations import evaluation_pairs

FLOOR = 2.0  # metres from the middle to each wall
CELLS = 20


def evaluations_listed(*, version: str = "") -> QuerySet[Evaluation]:
    rows = Evaluation.objects.select_related("policy_version", "created_by", "job")
    if version.isdigit():
        rows = rows.filter(policy_version_id=int(version))
    return rows


def comparable_evaluations(evaluation: Evaluation) -> list[Evaluation]:
    """Complete evaluations of other versions on the same suite; the parent's first."""
    found = Evaluation.objects.filter(suite_hash=evaluation.suite_hash, state=Evaluation.State.DONE).exclude(pk=evaluation.pk).select_related("policy_version")
    return sorted(found, key=lambda row: (row.policy_version_id != evaluation.policy_version.parent_id, -row.pk))


def scenario_table(evaluation: Evaluation, before: Evaluation | None = None) -> list[dict[str, Any]]:
    """Per scenario: rates with intervals; with `before`, also the paired change of each."""
    if before is not None:
        rows = []
        for (kind, scenario), pairs in sorted(by_scenario(evaluation_pairs(parent=before, child=evaluation)).items()):
            measures = {measure: compare(pairs, measure) for measure in ("contact", "success", "clean")}
            rows.append(
                {
                    "kind": kind,
                    "scenario": scenario,
                    "n": len(pairs),
                    **{name: value["child"] for name, value in measures.items()},
                    "before": {name: value["parent"] for name, value in measures.items()},
                    "change": {name: value["change"] for name, value in measures.items()},
                }
            )
        return rows
    groups: dict[tuple[str, str], list[Episode]] = {}
    for episode in evaluation.episodes.all():
        groups.setdefault((episode.kind, episode.scenario), []).append(episode)
    return [
        {
            "kind": kind,
            "scenario": scenario,
            "n": len(found),
            "contact": wilson(sum(e.dog_contact for e in found), len(found)).to_dict(),
            "success": wilson(sum(e.success for e in found), len(found)).to_dict(),
            "clean": wilson(sum(e.clean_success for e in found), len(found)).to_dict(),
        }
        for (kind, scenario), found in sorted(groups.items())
    ]


def cell_at(value: float) -> int:
    """Row or column of a floor coordinate in metres."""
    return min(CELLS - 1, int((value + FLOOR) / (2 * FLOOR) * CELLS))


def contact_heat(evaluation: Evaluation) -> dict[str, Any]:
    """Contacts with the dog per cell of the floor, as squares of an SVG of 400 x 400 (x to the right, y up).

    Returns {"cells": [{"x", "y", "size", "opacity", "count", "label"}], "contacts": n, "largest": n}.
    """
    counts: dict[tuple[int, int], int] = {}
    for points in evaluation.episodes.filter(dog_contact=True).values_list("contact_xy", flat=True):
        for x, y in points:
            if abs(x) <= FLOOR and abs(y) <= FLOOR:
                cell = cell_at(x), cell_at(y)
                counts[cell] = counts.get(cell, 0) + 1
    largest = max(counts.values(), default=0)
    size = 400 // CELLS
    cells = [
        {
            "x": column * size,
            "y": (CELLS - 1 - row) * size,
            "size": size,
            "opacity": f"{0.15 + 0.85 * count / largest:.2f}",
            "count": count,
            "label": f"{count} at x {(column + 0.5) * 2 * FLOOR / CELLS - FLOOR:+.1f} m, y {(row + 0.5) * 2 * FLOOR / CELLS - FLOOR:+.1f} m",
        }
        for (column, row), count in sorted(counts.items())
    ]
    return {"cells": cells, "contacts": sum(counts.values()), "largest": largest}


def contacts(evaluation: Evaluation) -> list[tuple[int, str, float, float]]:
    """(index of the episode, scenario, x, y in metres) of every contact with the dog, in order."""
    rows = evaluation.episodes.filter(dog_contact=True).order_by("index").values_list("index", "scenario", "contact_xy")
    return [(index, scenario, x, y) for index, scenario, points in rows for x, y in points]


def heat_pixels(heat: dict[str, Any]) -> np.ndarray:
    """`contact_heat` as a picture, uint8 [400, 400, 3]: the floor in light grey, contacts in red as the page draws them."""
    floor, red = np.array([238, 240, 243]), np.array([196, 43, 43])
    pixels = np.tile(floor, (400, 400, 1)).astype(np.float64)
    for cell in heat["cells"]:
        opacity = float(cell["opacity"])
        pixels[cell["y"] : cell["y"] + cell["size"], cell["x"] : cell["x"] + cell["size"]] = opacity * red + (1 - opacity) * floor
    return pixels.round().astype(np.uint8)


def predicted_against_measured() -> dict[str, Any]:
    """Over versions: success that the value head predicted for executed dreams, against success in the world.

    Adversarial and ordinary episodes of the newest complete evaluation of each version are one point each. Predicted
    values of base and child differ in calibration, so the order (MMRV, ranking accuracy) says more than the distance.
    """
    newest: dict[int, Evaluation] = {}
    for row in Evaluation.objects.filter(state=Evaluation.State.DONE).select_related("policy_version").order_by("id"):
        newest[row.policy_version_id] = row
    found = []
    for row in newest.values():
        for kind in Episode.Kind.values:
            part = row.summary.get(kind) or {}
            if part.get("predicted") is not None and part.get("success"):
                found.append({"version": row.policy_version.name, "kind": kind, "predicted": part["predicted"], "measured": part["clean"]})
    predicted = [point["predicted"] for point in found]
    measured = [point["measured"]["value"] for point in found]
    figures = {
        name: (estimate.to_dict() if (estimate := bootstrap_over(function, predicted, measured)) else None)
        for name, function in (("pearson", pearson), ("mmrv", mean_maximum_rank_violation), ("ranking_accuracy", ranking_accuracy))
    }
    order = sorted(range(len(found)), key=lambda i: predicted[i])
    chart = {
        "kind": "points",
        "title": "Predicted against measured clean success",
        "x": {"label": "predicted by the value head", "values": [predicted[i] for i in order], "min": 0, "max": 1},
        "y": {"label": "measured in the world", "min": 0, "max": 1},
        "series": [
            {
                "name": kind,
                "values": [measured[i] if found[i]["kind"] == kind else None for i in order],
                "low": [found[i]["measured"]["low"] if found[i]["kind"] == kind else None for i in order],
                "high": [found[i]["measured"]["high"] if found[i]["kind"] == kind else None for i in order],
            }
            for kind in Episode.Kind.values
        ],
    }
    return {"points": found, "figures": figures, "chart": chart}


def best_of_n(version_id: int) -> dict[str, Any] | None:
    """Clean success over the number of dreams per plan, of one version's complete evaluations on suites that are otherwise the same: those with the most
    numbers, the newest of equals. None below two numbers."""
    curves: dict[str, dict[int, Evaluation]] = {}
    for row in Evaluation.objects.filter(policy_version_id=version_id, state=Evaluation.State.DONE).order_by("id"):
        curves.setdefault(json.dumps({**row.suite, "dreams": None}, sort_keys=True), {})[row.suite["dreams"]] = row
    curve = max(curves.values(), key=lambda rows: (len(rows), max(row.pk for row in rows.values())), default={})
    if len(curve) < 2:
        return None
    dreams = sorted(curve)
    series = []
    for kind in Episode.Kind.values:
        parts = [curve[n].summary[kind]["clean"] for n in dreams]
        if all(parts):
            series.append({"name": kind, "values": [p["value"] for p in parts], "low": [p["low"] for p in parts], "high": [p["high"] for p in parts]})
    return {
        "kind": "points",
        "title": "Best of N: clean success",
        "x": {"label": "dreams per plan", "values": dreams},
        "y": {"label": "clean success", "min": 0, "max": 1},
        "series": series,
    }


def episode_pairs_shown(evaluation: Evaluation, limit: int = 12) -> list[Episode]:
    """Episodes whose first dream and what really happened were kept, failures first."""
    kept = evaluation.episodes.filter(real__isnull=False, dreamed__isnull=False).select_related("real", "dreamed")
    return list(kept.order_by("-dog_contact", "success", "index")[:limit])
