"""Choices as export rows, in the stable order (created_at, id), a batch at a time."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from labeling.models import Choice, Exclusion
from labeling.selectors.rounds import ChoiceFilter, annotator_weights, live_choices

from .columns import SCHEMA_VERSION

BATCH = 1000
# Choices younger than this may stand before one that is still being committed; an export stops before them.
SETTLED = timedelta(seconds=5)
PSEUDONYM = re.compile(r"annotator-[0-9a-f]{12}")
OVERALL = {"a": "A", "b": "B", "tie": "same", "both_bad": "same", "cant_tell": None}
CRITERION = {"a": "A", "b": "B", "both": "same", "neither": "same"}


def settled_now() -> datetime:
    return timezone.now() - SETTLED


def pseudonym(user) -> str:
    """A stable name that does not name the person. A pseudonym that was imported stays what it was."""
    if PSEUDONYM.fullmatch(user.username):
        return user.username
    digest = hmac.new(settings.SECRET_KEY.encode(), f"annotator:{user.pk}".encode(), hashlib.sha256).hexdigest()
    return f"annotator-{digest[:12]}"


def export_rows(where: ChoiceFilter, *, until: datetime, after: UUID | None = None, names: bool = False, batch: int = BATCH) -> Iterator[list[dict]]:
    """Batches of rows of choices before `until`, beginning after the choice `after` (an earlier export's last row).

    names: user names instead of pseudonyms. Raises Choice.DoesNotExist for an `after` that is not there.
    """
    weights = annotator_weights()
    place: tuple[datetime, UUID] | None = None
    if after is not None:
        place = Choice.objects.values_list("created_at", "id").get(pk=after)
    excluded = Exclusion.objects.filter(
        Q(until_at__isnull=True) | Q(until_at__gt=OuterRef("created_at")),
        annotator_id=OuterRef("annotator_id"), lifted_at__isnull=True, from_at__lte=OuterRef("created_at"),
    )  # fmt: skip
    choices = (
        live_choices(where)
        .filter(created_at__lt=until)
        .annotate(is_excluded=Exists(excluded))
        .select_related(
            "annotator", "lease", "comparison__start_frame__scenario_version__scenario",
            "comparison__rollout_a__policy_version", "comparison__rollout_b__policy_version",
        )
        .defer(*(f"comparison__rollout_{side}__{column}" for side in "ab" for column in ("actions", "path", "path_pixels", "verdict")))
    )  # fmt: skip
    while True:
        page = choices
        if place is not None:
            page = page.filter(Q(created_at__gt=place[0]) | Q(created_at=place[0], id__gt=place[1]))
        found = list(page[:batch])
        if not found:
            return
        yield [_row(choice, weights, names) for choice in found]
        place = (found[-1].created_at, found[-1].pk)


def video_path(sprite_sha256: str) -> str:
    """Where a rollout's video lies beside an export that carries media."""
    return f"videos/{sprite_sha256}.mp4"


def _row(choice: Any, weights: dict[int, float], names: bool) -> dict:
    comparison, frame = choice.comparison, choice.comparison.start_frame
    a, b = comparison.rollout_a, comparison.rollout_b
    path_a, path_b = video_path(a.sprite_id), video_path(b.sprite_id)
    row = {
        "prompt": a.prompt,
        "chosen": {"a": path_a, "b": path_b}.get(choice.answer),
        "rejected": {"a": path_b, "b": path_a}.get(choice.answer),
        "VQ": None,
        "MQ": CRITERION.get(choice.criteria.get("plausible")),
        "TA": CRITERION.get(choice.criteria.get("task_done")),
        "Overall": OVERALL[choice.answer],
        "schema_version": SCHEMA_VERSION,
        "choice": str(choice.pk),
        "created_at": choice.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "annotator": choice.annotator.username if names else pseudonym(choice.annotator),
        "annotator_is_simulated": choice.is_simulated,
        "annotator_weight": weights.get(choice.annotator_id),
        "excluded": choice.is_excluded,
        "answer": choice.answer,
        "side": choice.side,
        "strength": choice.strength,
        "criteria": json.dumps(choice.criteria, sort_keys=True),
        "success_A": choice.success_a,
        "success_B": choice.success_b,
        "segments": choice.segments,
        "rationale": choice.rationale,
        "response_ms": choice.response_ms,
        "replays": choice.replays,
        "visible_ms": choice.visible_ms,
        "late": choice.late,
        "client": json.dumps(choice.client_meta, sort_keys=True),
        "comparison": comparison.pk,
        "kind": comparison.kind,
        "gold_answer": comparison.gold_answer,
        "repeat_of": comparison.repeat_of_id,
        "strategy": comparison.strategy,
        "reason": comparison.reason,
        "required_overlap": comparison.required_overlap,
        "lease": str(choice.lease_id),
        "swapped": choice.lease.swapped,
        "scenario": frame.scenario_version.scenario.slug,
        "scenario_version": frame.scenario_version.number,
        "start_frame": frame.pk,
        "start_frame_sha256": frame.image_id,
    }
    for letter, rollout, path in (("A", a, path_a), ("B", b, path_b)):
        row |= {
            f"path_{letter}": path,
            f"{letter}_model": rollout.policy_version.name,
            f"fps_{letter}": rollout.fps,
            f"num_frames_{letter}": rollout.frame_count,
            f"rollout_{letter}": rollout.pk,
            f"seed_{letter}": rollout.seed,
            f"sampler_hash_{letter}": rollout.sampler_hash,
            f"sprite_sha256_{letter}": rollout.sprite_id,
            f"latents_sha256_{letter}": rollout.latents_id,
            f"weights_sha256_{letter}": rollout.policy_version.components.get("world_model"),
            f"value_{letter}": rollout.value,
        }
    return row
