"""Reading what mining tried and found."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Avg, Count, Max, Q, QuerySet

from rollouts import factors as scene_factors
from rollouts.intervals import wilson
from rollouts.models import MiningCandidate, MiningRun, PolicyVersion

LEVELS = 5


def version_to_show(versions: list[PolicyVersion]) -> PolicyVersion | None:
    """Of versions in order of interest the first that was searched, or the first of all: right after a promotion the map of the version
    before says more than an empty one."""
    searched = set(MiningCandidate.objects.values_list("run__policy_version", flat=True).distinct())
    return next((row for row in versions if row.pk in searched), versions[0] if versions else None)


def cell_outcomes(*, policy_version: PolicyVersion) -> dict[str, dict[str, Any]]:
    """Per factor cell under a version: start frames tried, mean dreamed failure, real episodes and failures."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.cell, count(*), avg((c.evidence->>'failure')::float), max(c.objective),
                   count(c.real), count(*) FILTER (WHERE (c.real->>'failed')::boolean)
            FROM rollouts_miningcandidate c JOIN rollouts_miningrun r ON r.id = c.run_id
            WHERE r.policy_version_id = %s GROUP BY c.cell
            """,
            [policy_version.pk],
        )
        return {
            cell: {"tried": tried, "dreamed": dreamed, "worst": worst, "real_n": real_n, "real_failures": failures}
            for cell, tried, dreamed, worst, real_n, failures in cursor.fetchall()
        }


def coverage(*, policy_version: PolicyVersion) -> dict[str, Any]:
    """The coverage map as a table: rows dog x place, columns clutter x light; a cell without tries says so.

    Returns {"columns": [label], "rows": [{"label", "cells": [{...}]}], "tried": n, "cells": n, "covered": n}.
    """
    found = cell_outcomes(policy_version=policy_version)
    columns = [(clutter, light) for light in scene_factors.CHOICES["light"][1] for clutter in scene_factors.CHOICES["clutter"][1]]
    rows = []
    for dog in scene_factors.CHOICES["dog"][1]:
        for place in (None,) if dog in scene_factors.PLACELESS else scene_factors.CHOICES["dog_place"][1]:
            label = scene_factors.phrase("dog", dog) if place is None else f"{scene_factors.word(dog)}, {scene_factors.word(place)}"
            cells = []
            for clutter, light in columns:
                scene = {"dog": dog, "dog_place": place, "clutter": clutter, "light": light}
                cell = scene_factors.cell_of(scene)
                values = found.get(cell, {})
                level = min(LEVELS - 1, int(values["dreamed"] * LEVELS)) if values else None
                cells.append({"cell": cell, "level": level, **values})
            rows.append({"label": label, "cells": cells})
    return {
        "columns": [(scene_factors.phrase("clutter", clutter), scene_factors.phrase("light", light)) for clutter, light in columns],
        "rows": rows,
        "tried": sum(values["tried"] for values in found.values()),
        "cells": len(scene_factors.all_cells()),
        "covered": len(found),
    }


def run_figures(*, run: MiningRun) -> dict[str, Any]:
    """What a run has found up to now, from its rows: also while it goes on, and after decisions and replays.

    Returns {"tried", "cells", "proposed" (still to be decided), "accepted", "declined", "episodes", "failures" and "contacts" (of
    the replays in physics): counts; "worst", "mean": objectives in 0..1, None before the first try}.
    """
    return run.candidates.aggregate(**_figures())


def _figures() -> dict[str, Any]:
    state = MiningCandidate.State
    return {
        "tried": Count("pk"),
        "cells": Count("cell", distinct=True),
        "worst": Max("objective"),
        "mean": Avg("objective"),
        "proposed": Count("pk", filter=Q(state=state.PROPOSED)),
        "accepted": Count("pk", filter=Q(state=state.ACCEPTED)),
        "declined": Count("pk", filter=Q(state=state.DECLINED)),
        "episodes": Count("pk", filter=Q(real__isnull=False)),
        "failures": Count("pk", filter=Q(real__failed=True)),
        "contacts": Count("pk", filter=Q(real__dog_contact=True)),
    }


def runs_with_figures(*, limit: int) -> list[dict[str, Any]]:
    """The newest searches, each with its figures up to now: [{"run", "figures"}]."""
    runs = list(MiningRun.objects.select_related("policy_version", "created_by")[:limit])
    found = MiningCandidate.objects.filter(run__in=[run.pk for run in runs]).order_by().values("run").annotate(**_figures())
    figures = {row["run"]: row for row in found}
    nothing = dict.fromkeys(_figures(), 0) | {"worst": None, "mean": None}
    return [{"run": run, "figures": figures.get(run.pk, nothing)} for run in runs]


def proposals(*, state: str = "proposed", cell: str = "", run: int | None = None, version: PolicyVersion | None = None) -> QuerySet[MiningCandidate]:
    """Candidates in a state, the worst dreams first; with `version` those that it dreamed."""
    rows = MiningCandidate.objects.select_related("run__policy_version", "image", "strip", "start_frame")
    if state in MiningCandidate.State.values:
        rows = rows.filter(state=state)
    if cell:
        rows = rows.filter(cell=cell)
    if run is not None:
        rows = rows.filter(run_id=run)
    if version is not None:
        rows = rows.filter(run__policy_version=version)
    return rows.order_by("-objective", "id")


def verification_pairs(*, policy_version: PolicyVersion) -> list[dict[str, Any]]:
    """Per scenario the newest verification under a version: dreamed and real failure rate with intervals."""
    from rollouts.models import Verification

    rows = (
        Verification.objects.filter(policy_version=policy_version)
        .select_related("scenario_version__scenario")
        .order_by("scenario_version__scenario_id", "-id")
        .distinct("scenario_version__scenario_id")
    )
    pairs = []
    for row in rows:
        low, high = wilson(row.real_failures, row.real_n)
        dreamed_low, dreamed_high = wilson(row.dreamed_failures, row.dreamed_n)
        pairs.append(
            {
                "row": row,
                "scenario": row.scenario_version.scenario,
                "dreamed": row.dreamed_failures / row.dreamed_n if row.dreamed_n else None,
                "dreamed_low": dreamed_low,
                "dreamed_high": dreamed_high,
                "real": row.real_failures / row.real_n if row.real_n else None,
                "real_low": low,
                "real_high": high,
                "contact": row.real_contacts / row.real_n if row.real_n else None,
            }
        )
    return sorted(pairs, key=lambda pair: -(pair["real"] or 0))
