"""Reading rollouts and the versions that sampled them."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse

from rollouts.models import PolicyVersion, Rollout


def policy_versions_usable() -> QuerySet[PolicyVersion]:
    """Versions that may dream: all but rejected and retired ones; the active one first."""
    return PolicyVersion.objects.exclude(state__in=["retired", "rejected"]).order_by("-is_active", "-created_at")


def rollouts_filtered(
    *,
    scenario: str = "",
    version: str = "",
    accepted: str = "",
    start_frame: str = "",
    check: str = "",
    q: str = "",
    sort: str = "recent",
) -> QuerySet[Rollout]:
    """Rollouts, newest first, or by value. `check` is the name of a constraint that they failed."""
    rows = Rollout.objects.select_related("start_frame__scenario_version__scenario", "start_frame__image", "policy_version", "sprite")
    if scenario:
        rows = rows.filter(start_frame__scenario_version__scenario__slug=scenario)
    if version.isdigit():
        rows = rows.filter(policy_version_id=int(version))
    if accepted in ("yes", "no"):
        rows = rows.filter(accepted=accepted == "yes")
    if start_frame.isdigit():
        rows = rows.filter(start_frame_id=int(start_frame))
    if check:
        rows = rows.filter(verdict__checks__contains=[{"name": check, "ok": False}])
    for term in q.split()[:8]:
        rows = rows.filter(prompt__icontains=term)
    order = {"value": ("-value", "-id"), "worst": ("value", "-id"), "success": ("-success", "-id")}
    return rows.order_by(*order.get(sort, ("-id",)))


def rejection_counts(*, policy_version: PolicyVersion | None = None) -> list[dict[str, Any]]:
    """Per constraint: dreams that were checked and dreams that failed it, the most frequent failure first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c->>'name', count(*), count(*) FILTER (WHERE NOT (c->>'ok')::boolean)
            FROM rollouts_rollout r, jsonb_array_elements(r.verdict->'checks') c
            WHERE %(version)s::bigint IS NULL OR r.policy_version_id = %(version)s
            GROUP BY 1 ORDER BY 3 DESC, 1
            """,
            {"version": policy_version.pk if policy_version else None},
        )
        rows = cursor.fetchall()
    return [{"name": name, "checked": checked, "failed": failed, "rate": failed / checked} for name, checked, failed in rows]


def rollout_card(rollout: Rollout, label: str = "") -> dict[str, Any]:
    """One rollout as the viewer island takes it."""
    return {
        "id": rollout.pk,
        "label": label or f"seed {rollout.seed}",
        "sprite_url": rollout.sprite.url,
        "columns": Rollout.COLUMNS,
        "frame_count": rollout.frame_count,
        "fps": rollout.fps,
        "width": rollout.width,
        "height": rollout.height,
        "path_pixels": rollout.path_pixels,
        "verdict": rollout.verdict,
        "value": round(rollout.value, 3),
        "success": round(rollout.success, 3),
        "url": reverse("rollouts:rollout", args=[rollout.pk]),
    }
