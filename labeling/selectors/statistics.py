"""What an annotator sees of their own work."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Avg, Count, F, Q
from django.db.models.functions import TruncDay
from django.utils import timezone

from labeling.models import AnnotatorProfile, Choice, Comparison, Project, Skip

# A pause longer than this ends a session.
SESSION_GAP = timedelta(minutes=5)
PACE_OVER = 50
UNDO_LAST = 10


def me(*, user) -> dict:
    """Statistics, undoable choices, preferences and the project's questions, as the player needs them on start."""
    project = Project.current()
    profile = AnnotatorProfile.objects.filter(user=user).first() or AnnotatorProfile(user=user)
    return {
        "stats": statistics(user=user),
        "undoable": undoable(user=user),
        "preferences": profile.preferences,
        "profile": {
            "is_simulated": profile.is_simulated,
            "guide_read": profile.guide_read_at is not None,
            "qualification": profile.qualification,
        },
        "project": {
            "criteria": project.criteria,
            "ask_strength": project.ask_strength,
            "ask_success": project.ask_success,
            "lease_seconds": project.lease_seconds,
            "break_after_minutes": project.break_after_minutes,
        },
    }


def statistics(*, user) -> dict:
    """Counts, pace (seconds a pair over the last answers), self-agreement on repeats (None without any), session minutes."""
    live = Choice.objects.filter(annotator=user, undone_by__isnull=True)
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    counts = live.aggregate(total=Count("pk"), today=Count("pk", filter=Q(created_at__gte=midnight)), ties=Count("pk", filter=Q(answer="tie")))
    recent = list(live.order_by("-created_at").values_list("created_at", flat=True)[:2000])
    pace = live.filter(pk__in=live.order_by("-created_at").values("pk")[:PACE_OVER]).aggregate(ms=Avg("response_ms"))["ms"]
    agreed, repeats = self_agreement(user=user)
    return {
        "total": counts["total"],
        "today": counts["today"],
        "ties": counts["ties"],
        "skips": Skip.objects.filter(annotator=user).count(),
        "pace_s": round(pace / 1000, 1) if pace else None,
        "repeats": repeats,
        "self_agreement": round(agreed / repeats, 3) if repeats else None,
        "session_minutes": round(session_length(recent).total_seconds() / 60, 1),
    }


def session_length(times: list[datetime], now: datetime | None = None) -> timedelta:
    """How long the running session lasts: from now back over `times` (newest first) until a pause of five minutes."""
    end = latest = now or timezone.now()
    for moment in times:
        if latest - moment > SESSION_GAP:
            break
        latest = moment
    return end - latest


def self_agreement(*, user) -> tuple[int, int]:
    """(answers that agree with the first time, answered repeats)."""
    repeats = Choice.objects.filter(
        annotator=user, undone_by__isnull=True, comparison__kind=Comparison.Kind.REPEAT,
        comparison__repeat_of__choices__annotator=user, comparison__repeat_of__choices__undone_by__isnull=True,
    )  # fmt: skip
    return tuple(repeats.aggregate(agreed=Count("pk", filter=Q(answer=F("comparison__repeat_of__choices__answer"))), repeats=Count("pk")).values())


def undoable(*, user) -> list[dict]:
    last = (
        Choice.objects.filter(annotator=user, undone_by__isnull=True)
        .exclude(Q(comparison__state=Comparison.State.RETIRED) | Q(comparison__qualifying=True))
        .select_related("comparison__start_frame__image")
        .order_by("-created_at", "-id")[:UNDO_LAST]
    )
    return [
        {
            "choice": str(choice.pk),
            "answer": choice.side if choice.side != "neither" else choice.answer,
            "created_at": choice.created_at.isoformat(),
            "start_frame_url": choice.comparison.start_frame.image.url,
        }
        for choice in last
    ]


def charts(*, user, days: int = 30) -> list[dict]:
    """Own answers and pace by day, as props of the chart island."""
    since = timezone.now() - timedelta(days=days)
    by_day = (
        Choice.objects.filter(annotator=user, undone_by__isnull=True, created_at__gte=since)
        .annotate(day=TruncDay("created_at"))
        .values("day")
        .annotate(n=Count("pk"), ms=Avg("response_ms"))
        .order_by("day")
    )
    today = timezone.localtime().date()
    found = {(row["day"].date() - today).days: row for row in by_day}
    # Every day stands on the axis, also those without answers.
    rows = [(day, found[day]["n"], round((found[day]["ms"] or 0) / 1000, 2)) if day in found else (day, 0, None) for day in range(1 - days, 1)]
    x = {"label": "days from today", "values": [row[0] for row in rows]}

    def chart(title: str, name: str, column: int) -> dict:
        series = [{"name": name, "values": [row[column] for row in rows]}]
        return {"title": title, "kind": "points", "x": x, "y": {"label": name, "min": 0}, "series": series}

    return [chart("Answers by day", "answers", 1), chart("Seconds a pair", "seconds", 2)]
