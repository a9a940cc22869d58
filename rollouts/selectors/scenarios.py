"""Reading scenarios."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Count, F, IntegerField, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from rollouts.models import SavedView, Scenario, ScenarioVersion, StartFrame

LATEST = ScenarioVersion.objects.filter(scenario=OuterRef("pk")).order_by("-number")
SORTS = {
    "recent": ("-updated_at", "-id"),
    "name": ("name", "id"),
    "severity": ("-latest_severity", "name"),
    "frames": ("-approved_frames", "name"),
}


def _frames(**where: Any) -> Coalesce:
    """Number of a scenario's start frames, as a subquery: a join would multiply the rows."""
    counted = (
        StartFrame.objects.filter(scenario_version__scenario=OuterRef("pk"), **where)
        .order_by()
        .values("scenario_version__scenario")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def with_current(rows: QuerySet[Scenario]) -> QuerySet[Scenario]:
    """These scenarios with `current` fetched in one query for all of them."""
    latest = ScenarioVersion.objects.order_by("scenario_id", "-number").distinct("scenario_id")
    return rows.prefetch_related(Prefetch("versions", queryset=latest, to_attr="_current"))


def scenarios_filtered(
    *, q: str = "", state: str = "", tag: str = "", dog: str = "", severity: str = "", origin: str = "", sort: str = "recent"
) -> QuerySet[Scenario]:
    """Scenarios with `current` fetched and `approved_frames`, `open_frames` counted.

    q searches name, slug, prompt, scene text, notes and tags of the current version, every word somewhere.
    Without a state, retired ones are left out ("all" shows them).
    """
    # A subquery for each field of the current version that somebody asks about, and for no other.
    asked = {
        "prompt": q, "scene_text": q, "notes": q, "tags": q or tag, "factors": dog, "severity": severity.isdigit() or sort == "severity",
    }  # fmt: skip
    latest = {f"latest_{name}": Subquery(LATEST.values(name)[:1]) for name, wanted in asked.items() if wanted}
    rows = with_current(
        Scenario.objects.annotate(**latest)
        .annotate(approved_frames=_frames(state="approved"), open_frames=_frames(state="proposed"))
        .select_related("created_by")
    )
    if state in Scenario.State.values:
        rows = rows.filter(state=state)
    elif state != "all":
        rows = rows.exclude(state=Scenario.State.RETIRED)
    for term in q.split()[:8]:
        rows = rows.filter(
            Q(name__icontains=term)
            | Q(slug__icontains=term)
            | Q(latest_prompt__icontains=term)
            | Q(latest_scene_text__icontains=term)
            | Q(latest_notes__icontains=term)
            | Q(latest_tags__icontains=term)
        )
    current: dict[str, Any] = {}  # lookups on annotations, which the type checker does not know
    if tag:
        current["latest_tags__contains"] = [tag]
    if dog:
        current["latest_factors__contains"] = {"dog": dog}
    if severity.isdigit():
        current["latest_severity__gte"] = int(severity)
    rows = rows.filter(**current)
    if origin in Scenario.Origin.values:
        rows = rows.filter(origin=origin)
    return rows.order_by(*SORTS.get(sort, SORTS["recent"]))


def scenario_tags() -> list[str]:
    """All tags of current versions of scenarios that are not retired, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT jsonb_array_elements_text(latest.tags) AS tag FROM (
                SELECT DISTINCT ON (v.scenario_id) v.tags FROM rollouts_scenarioversion v
                JOIN rollouts_scenario s ON s.id = v.scenario_id AND s.state <> 'retired'
                ORDER BY v.scenario_id, v.number DESC
            ) latest ORDER BY tag LIMIT 200
            """
        )
        return [row[0] for row in cursor.fetchall()]


def saved_views(*, owner: Any, page: str) -> QuerySet[SavedView]:
    """A person's saved filters of one page."""
    return SavedView.objects.filter(owner=owner, page=page)


def version_history(scenario: Scenario) -> list[dict[str, Any]]:
    """Versions, newest first, each with the fields that differ from the one before and its number of start frames."""
    from rollouts.services.scenarios import CONTENT

    versions = list(
        scenario.versions.annotate(frames=Count("start_frames"), approved=Count("start_frames", filter=Q(start_frames__state="approved")))
        .select_related("created_by")
        .order_by(F("number").desc())
    )
    history = []
    for newer, older in zip(versions, [*versions[1:], None], strict=True):
        changes = [
            {"name": name, "before": getattr(older, name), "after": getattr(newer, name)}
            for name in CONTENT
            if older is not None and getattr(newer, name) != getattr(older, name)
        ]
        history.append({"version": newer, "changes": changes})
    return history
