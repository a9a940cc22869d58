"""Comparisons: made, made gold, retired."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from core import audit
from labeling.errors import Conflict, Invalid
from labeling.models import AnnotatorProfile, Comparison, Project
from rollouts.models import Rollout


@dataclass(frozen=True)
class NewPair:
    """Two rollout ids (in any order) of one start frame and prompt, and why they were paired."""

    rollouts: tuple[int, int]
    start_frame: int
    strategy: str
    priority: float = 0.0
    reason: str = ""


def comparison_create(
    *,
    rollout_a: Rollout,
    rollout_b: Rollout,
    strategy: str = "manual",
    reason: str = "",
    priority: float = 0.0,
    required_overlap: int | None = None,
) -> Comparison:
    """One comparison by hand. Raises Invalid for two rollouts that can not be compared, Conflict if the pair exists."""
    if rollout_a.pk == rollout_b.pk:
        raise Invalid("A rollout can not be compared with itself.")
    if rollout_a.start_frame_id != rollout_b.start_frame_id:
        raise Invalid("The two rollouts have different start frames.")
    if rollout_a.prompt != rollout_b.prompt:
        raise Invalid("The two rollouts have different prompts.")
    pair = NewPair((rollout_a.pk, rollout_b.pk), rollout_a.start_frame_id, strategy, priority, reason)
    created = comparisons_create(pairs=[pair], required_overlap=required_overlap)
    if not created:
        raise Conflict("These two rollouts are a comparison already.", code="exists")
    return created[0]


@transaction.atomic
def comparisons_create(*, pairs: Iterable[NewPair], required_overlap: int | None = None) -> list[Comparison]:
    """Write comparisons; pairs that exist already are passed over. Returns those that were made, in order."""
    overlap = required_overlap or Project.current().required_overlap
    by_pair: dict[tuple[int, int], Comparison] = {}
    for pair in pairs:
        low, high = sorted(pair.rollouts)
        by_pair.setdefault(
            (low, high),
            Comparison(
                rollout_a_id=low,
                rollout_b_id=high,
                start_frame_id=pair.start_frame,
                strategy=pair.strategy,
                reason=pair.reason,
                priority=pair.priority,
                required_overlap=overlap,
            ),
        )
    known = set(
        Comparison.objects.filter(rollout_a_id__in=[low for low, _ in by_pair]).exclude(kind=Comparison.Kind.REPEAT).values_list("rollout_a_id", "rollout_b_id")
    )
    new = [comparison for pair, comparison in by_pair.items() if pair not in known]
    created = Comparison.objects.bulk_create(new, batch_size=1000)
    if created:
        # Newcomers may stand before the place that an annotator has reached.
        AnnotatorProfile.objects.filter(cursor_id__isnull=False).update(cursor_priority=None, cursor_id=None)
    return created


def comparison_make_gold(*, comparison: Comparison, answer: str, by, note: str = "", qualifying: bool = False, example: bool = False) -> Comparison:
    """Give a comparison a known answer ("a", "b", "tie", "both_bad"), so that it measures annotators or teaches them.

    qualifying: it is part of what a new annotator answers first. example: it stands in the guide with its answer and is given to nobody.

    Raises Invalid for an unknown answer or an example of the qualifying set, Conflict for a repeat or a retired comparison.
    """
    if example and qualifying:
        raise Invalid("A pair whose answer stands in the guide can not be part of the qualifying set.")
    if example and answer not in (Comparison.Answer.A, Comparison.Answer.B):
        raise Invalid("An example in the guide shows a better and a worse side: its answer is a or b.")
    if answer not in Comparison.Answer.values:
        raise Invalid(f"A gold answer is one of {', '.join(Comparison.Answer.values)}; not {answer!r}.")
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update(no_key=True).get(pk=comparison.pk)
        if comparison.kind == Comparison.Kind.REPEAT or comparison.state == Comparison.State.RETIRED:
            raise Conflict("Only a comparison of the queue can become gold.", code="comparison_closed")
        before = {"kind": comparison.kind, "gold_answer": comparison.gold_answer, "qualifying": comparison.qualifying}
        comparison.kind = Comparison.Kind.GOLD
        comparison.state = Comparison.State.DONE if example else Comparison.State.OPEN
        comparison.gold_answer = answer
        comparison.gold_note = note
        comparison.qualifying = qualifying
        comparison.save(update_fields=["kind", "state", "gold_answer", "gold_note", "qualifying"])
        audit.record(
            actor=by,
            action="comparison.make_gold",
            target=comparison,
            before=before,
            after={"kind": "gold", "gold_answer": answer, "qualifying": qualifying, "example": example},
            reason=note,
        )
    return comparison


def comparison_retire(*, comparison: Comparison, by, reason: str) -> Comparison:
    """Take a comparison out of the queue. Its choices stay and keep counting."""
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update(no_key=True).get(pk=comparison.pk)
        before = comparison.state
        comparison.state = Comparison.State.RETIRED
        comparison.save(update_fields=["state"])
        audit.record(
            actor=by,
            action="comparison.retire",
            target=comparison,
            before={"state": before},
            after={"state": comparison.state},
            reason=reason,
        )
    return comparison


def comparison_unflag(*, comparison: Comparison, by, reason: str = "") -> Comparison:
    """An admin has looked at a flagged pair and keeps it."""
    with transaction.atomic():
        flagged_at = comparison.flagged_at or timezone.now()
        Comparison.objects.filter(pk=comparison.pk).update(flagged_at=None)
        audit.record(
            actor=by,
            action="comparison.unflag",
            target=comparison,
            before={"flagged_at": flagged_at.isoformat()},
            after={"flagged_at": None},
            reason=reason,
        )
    comparison.refresh_from_db()
    return comparison
