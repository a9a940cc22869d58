"""Rounds that start by themselves: every so many new choices, every so many hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from core import audit
from labeling.selectors import live_choices
from rollouts.models import PolicyVersion
from training.models import Round, RoundSchedule
from training.services.errors import TrainingError
from training.services.round_settings import parse
from training.services.rounds import round_start

log = structlog.get_logger(__name__)


@transaction.atomic
def round_schedule_save(
    *, name: str, every_choices: int | None, every_hours: int | None, min_choices: int = 50, settings: dict[str, Any] | None = None, by: Any = None
) -> RoundSchedule:
    """Make or change a schedule by its name.

    Raises TrainingError without a trigger, or for settings that no round could use.
    """
    if not every_choices and not every_hours:
        raise TrainingError("Say after how many new choices, or after how many hours, a round starts.", "no_trigger")
    if not name.strip():
        raise TrainingError("The schedule needs a name.", "no_name")
    parse(settings)
    row, made = RoundSchedule.objects.update_or_create(
        name=name.strip(),
        defaults={
            "every_choices": every_choices or None,
            "every_hours": every_hours or None,
            "min_choices": min_choices,
            "settings": settings or {},
            "created_by": by,
        },
    )
    audit.record(
        actor=by,
        action="round_schedule.create" if made else "round_schedule.change",
        target=row,
        after={"every_choices": row.every_choices, "every_hours": row.every_hours, "min_choices": row.min_choices},
    )
    return row


@transaction.atomic
def round_schedule_switch(*, row: RoundSchedule, enabled: bool, by: Any) -> RoundSchedule:
    RoundSchedule.objects.filter(pk=row.pk).update(enabled=enabled)
    audit.record(actor=by, action="round_schedule.switch", target=row, before={"enabled": row.enabled}, after={"enabled": enabled})
    row.enabled = enabled
    return row


def new_choices(row: RoundSchedule) -> int:
    """Choices since the schedule's last round began, or since the schedule was made."""
    since = row.last_round.created_at if row.last_round else row.created_at
    return live_choices(parse(row.settings).choice_filter()).filter(created_at__gte=since).count()


def is_due(row: RoundSchedule) -> str:
    """Why a round is due ("choices" or "schedule"), or "" if none is."""
    found = new_choices(row)
    if row.every_choices and found >= row.every_choices:
        return Round.Trigger.CHOICES
    since = row.last_round.created_at if row.last_round else row.created_at
    if row.every_hours and timezone.now() - since >= timedelta(hours=row.every_hours) and found >= row.min_choices:
        return Round.Trigger.SCHEDULE
    return ""


def round_schedules_run() -> list[int]:
    """Start the rounds that are due, one at a time: nothing starts while a round runs, and its parent is the active version."""
    started = []
    for pk in RoundSchedule.objects.filter(enabled=True).values_list("pk", flat=True):
        with transaction.atomic():
            row = RoundSchedule.objects.select_for_update(of=("self",)).select_related("last_round").get(pk=pk)
            parent = PolicyVersion.objects.filter(is_active=True).first()
            if parent is None or not row.enabled or Round.objects.filter(state=Round.State.RUNNING).exists():
                continue
            trigger = is_due(row)
            if not trigger:
                continue
            try:
                made = round_start(parent=parent, settings=row.settings, note=f"Schedule “{row.name}”.", created_by=row.created_by, trigger=trigger)
            except TrainingError as error:
                log.warning("round_schedule.not_started", schedule=row.name, reason=str(error))
                continue
            row.last_round = made
            row.save(update_fields=["last_round"])
            started.append(made.pk)
    return started
