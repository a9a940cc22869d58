"""The way back: choices of an export become rows again, under the same UUIDs, where the rollouts are known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
from django.db import transaction

from core.models import User
from labeling.models import AnnotatorProfile, Choice, Comparison, Lease
from rollouts.models import Rollout

from .columns import COLUMNS, SCHEMA_VERSION


class ImportProblem(Exception):
    """The file can not be imported; the message says why and which row."""


def rows_read(path: Path) -> Iterator[dict]:
    """Rows of a .jsonl or .parquet file, or of all parquet parts (else the JSONL) of a directory."""
    if path.is_dir():
        parts = sorted(path.glob("choices-*.parquet")) or sorted(path.glob("*.jsonl"))
        if not parts:
            raise ImportProblem(f"{path} holds no export.")
        for part in parts:
            yield from rows_read(part)
    elif path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1000):
            yield from batch.to_pylist()
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield json.loads(line)
                except ValueError:
                    raise ImportProblem(f"{path.name}, line {number}: not JSON.") from None
    else:
        raise ImportProblem(f"{path.name}: expected .jsonl or .parquet.")


@transaction.atomic
def choices_import(rows: Iterable[dict]) -> dict:
    """Write choices with their comparisons, leases and annotators; all or nothing.

    Rollouts are found by their pixels, latents and start frame, not by id. Choices that are here already are left alone. Annotators become
    accounts without roles that can not sign in. Returns {"imported", "already_here", "annotators", "comparisons"}.
    Raises ImportProblem for another schema version, or rollouts that this installation does not have.
    """
    counts = {"imported": 0, "already_here": 0, "annotators": 0, "comparisons": 0}
    people: dict[str, User] = {}
    comparisons: dict[int, Comparison] = {}
    for number, row in enumerate(rows, 1):
        if missing := [name for name in COLUMNS if name not in row]:
            raise ImportProblem(f"Row {number}: column {missing[0]} is missing.")
        if row["schema_version"] != SCHEMA_VERSION:
            raise ImportProblem(f"Row {number}: schema version {row['schema_version']}; this installation reads {SCHEMA_VERSION}.")
        if Choice.objects.filter(pk=row["choice"]).exists():
            counts["already_here"] += 1
            continue
        annotator = people.get(row["annotator"]) or _person(row, counts)
        people[row["annotator"]] = annotator
        comparison = comparisons.get(row["comparison"]) or _comparison(row, annotator, comparisons, number, counts)
        comparisons[row["comparison"]] = comparison
        _choice(row, annotator, comparison)
        counts["imported"] += 1
    return counts


def _person(row: dict, counts: dict) -> User:
    user, made = User.objects.get_or_create(username=row["annotator"], defaults={"is_active": False})
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        counts["annotators"] += 1
    AnnotatorProfile.objects.get_or_create(user=user, defaults={"is_simulated": row["annotator_is_simulated"]})
    return user


def _rollout(row: dict, letter: str, number: int) -> Rollout:
    found = Rollout.objects.filter(
        sprite=row[f"sprite_sha256_{letter}"], latents=row[f"latents_sha256_{letter}"], seed=row[f"seed_{letter}"],
        prompt=row["prompt"], start_frame__image=row["start_frame_sha256"], policy_version__name=row[f"{letter}_model"],
    ).first()  # fmt: skip
    if found is None:
        which = f"{row[f'sprite_sha256_{letter}'][:12]}…, seed {row[f'seed_{letter}']}"
        raise ImportProblem(f"Row {number}: this installation does not have rollout {letter} ({which}).")
    return found


def _comparison(row: dict, annotator: User, known: dict[int, Comparison], number: int, counts: dict) -> Comparison:
    a, b = _rollout(row, "A", number), _rollout(row, "B", number)
    if a.pk > b.pk:
        raise ImportProblem(f"Row {number}: the rollouts stand here in the other order; import into the installation that they came from.")
    if row["kind"] == Comparison.Kind.REPEAT:
        first = known.get(row["repeat_of"]) or Comparison.objects.filter(rollout_a=a, rollout_b=b).exclude(kind="repeat").first()
        if first is None:
            raise ImportProblem(f"Row {number}: a repeat of a comparison that is not in the file before it.")
        kind: dict[str, Any] = {"repeat_of": first, "only_for": annotator}
    else:
        kind = {}
    values = {
        "start_frame": a.start_frame, "strategy": row["strategy"], "reason": row["reason"], "required_overlap": row["required_overlap"],
        "gold_answer": row["gold_answer"],
    }  # fmt: skip
    comparison, made = Comparison.objects.get_or_create(rollout_a=a, rollout_b=b, kind=row["kind"], **kind, defaults=values)
    counts["comparisons"] += made
    return comparison


def _choice(row: dict, annotator: User, comparison: Comparison) -> None:
    created_at = datetime.fromisoformat(row["created_at"])
    lease = Lease.objects.create(
        id=UUID(row["lease"]), annotator=annotator, comparison=comparison, state=Lease.State.ANSWERED, swapped=row["swapped"],
        expires_at=created_at, ended_at=created_at,
    )  # fmt: skip
    Choice.objects.create(
        id=UUID(row["choice"]), annotator=annotator, comparison=comparison, lease=lease, answer=row["answer"], side=row["side"],
        strength=row["strength"], criteria=json.loads(row["criteria"]), success_a=row["success_A"], success_b=row["success_B"],
        segments=[dict(segment) for segment in row["segments"]], rationale=row["rationale"], response_ms=row["response_ms"],
        replays=row["replays"], visible_ms=row["visible_ms"], client_meta=json.loads(row["client"]), request_hash="imported",
        is_simulated=row["annotator_is_simulated"], late=row["late"], created_at=created_at,
    )  # fmt: skip
    comparison.answered += 1
    if comparison.kind == Comparison.Kind.REPEAT or (comparison.kind == Comparison.Kind.NORMAL and comparison.answered >= comparison.required_overlap):
        comparison.state = Comparison.State.DONE
    comparison.save(update_fields=["answered", "state"])
