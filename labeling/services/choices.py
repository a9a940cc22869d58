"""Choices: taken once, whatever the network does; taken back by a new row."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from labeling.errors import Conflict, Invalid, KeyReused, NotYours
from labeling.models import AnnotatorProfile, Choice, Comparison, Exclusion, Lease, Project, Skip, Undo

from . import webhooks
from .annotators import annotator_profile, qualification_update
from .answers import Answer, answer_canonical, answer_parse, request_digest, storable
from .leases import comparison_release, lease_create, lease_own, leases_for_player

UNDO_LAST = 10


@dataclass(frozen=True)
class Submitted:
    """`created` is False when this was a replay of an answer that is stored already."""

    choice: Choice
    created: bool
    qualifying: dict | None = None


def choice_submit(*, annotator, key: UUID, body: dict) -> Submitted:
    """Store one answer under the client's UUID.

    1. A known key answers with what it stored: the original for the same body, KeyReused for another.
    2. The lease has to be this annotator's own (NotYours).
    3. An active lease is answered. One that ran out is still answered when its place is free, else Conflict:
       `lease_lost` (someone else has it), `comparison_closed` (done or retired), `already_answered`.
    4. The comparison counts the answer under its row lock and closes when it has enough.
    """
    if (stored := _replay(annotator, key, body)) is not None:
        return Submitted(stored, created=False)
    lease_id = _uuid(body.get("lease"))
    with transaction.atomic():
        lease = lease_own(annotator, lease_id)
        # The same request may have been waiting for this lease in another connection.
        if (stored := _replay(annotator, key, body)) is not None:
            return Submitted(stored, created=False)
        comparison = Comparison.objects.select_for_update(no_key=True, of=("self",)).select_related("rollout_a").get(pk=lease.comparison_id)
        project = Project.current()
        answer = answer_parse(
            body,
            frame_count=comparison.rollout_a.frame_count,
            criteria_keys=[criterion["key"] for criterion in project.criteria],
        )
        late = _take_place(annotator, lease, comparison)
        profile = annotator_profile(user=annotator)
        choice = _store(annotator, key, answer, lease, comparison, profile, late)
        _count(choice, comparison)
        qualifying = _qualifying(profile, project, choice, comparison)
        webhooks.choice_announce(choice=choice)
    return Submitted(choice, created=True, qualifying=qualifying)


def choice_undo(*, annotator, choice_id: UUID) -> Lease:
    """Take back one of the annotator's last ten choices; the pair is leased to them again, with the same sides.

    Raises NotYours, or Conflict: `already_undone`, `too_old`, `comparison_closed`, `qualifying`.
    """
    with transaction.atomic():
        choice = Choice.objects.select_for_update(no_key=True).filter(pk=choice_id, annotator=annotator).first()
        if choice is None:
            raise NotYours("There is no such choice of yours.")
        if choice.undone_by_id:
            raise Conflict("This choice was taken back already.", code="already_undone")
        last = Choice.objects.filter(annotator=annotator, undone_by__isnull=True).order_by("-created_at", "-id")
        if choice.pk not in set(last.values_list("pk", flat=True)[:UNDO_LAST]):
            raise Conflict(f"Only the last {UNDO_LAST} choices can be taken back.", code="too_old")
        lease = Lease.objects.select_for_update(no_key=True).get(pk=choice.lease_id)
        comparison = Comparison.objects.select_for_update(no_key=True).get(pk=choice.comparison_id)
        if comparison.state == Comparison.State.RETIRED:
            raise Conflict("This comparison has been retired.", code="comparison_closed")
        if comparison.qualifying:
            raise Conflict("You were told how this answer was: answers of the qualifying set stay.", code="qualifying")
        counted = not _excluded(choice)
        choice.undone_by = Undo.objects.create(annotator=annotator)
        choice.save(update_fields=["undone_by"])
        lease.state = Lease.State.UNDONE
        lease.save(update_fields=["state"])
        if counted:
            Comparison.objects.filter(pk=comparison.pk).update(answered=F("answered") - 1)
        if comparison.kind == Comparison.Kind.NORMAL:
            Comparison.objects.filter(pk=comparison.pk).update(state=Comparison.State.OPEN)
        project = Project.current()
        again = lease_create(annotator=annotator, comparison=comparison, project=project, swapped=lease.swapped)
        webhooks.choice_announce(choice=choice, event="choice.undone")
    return leases_for_player(project).get(pk=again.pk)


def lease_skip(*, annotator, lease_id: UUID, reason: str = "", flag: bool = False) -> Skip:
    """Pass on a pair; it is not given to this annotator again. A skip that comes twice is one skip.

    Raises NotYours, Conflict (`already_answered`, `lease_lost`), Invalid for a reason that is too long or a flag without one.
    """
    reason = reason.strip()
    if len(reason) > 500 or not storable(reason):
        raise Invalid("The reason is text of at most 500 characters.")
    if flag and not reason:
        raise Invalid("Say what is wrong with the pair.")
    with transaction.atomic():
        lease = lease_own(annotator, lease_id)
        if lease.state == Lease.State.SKIPPED:
            return lease.skip
        if lease.state == Lease.State.ANSWERED:
            raise Conflict("You have answered this pair.", code="already_answered")
        if lease.state == Lease.State.ACTIVE:
            comparison_release(comparison_id=lease.comparison_id)
        elif _other_turn(annotator, lease):
            raise Conflict("This lease has ended.", code="lease_lost")
        lease.state = Lease.State.SKIPPED
        lease.ended_at = timezone.now()
        lease.save(update_fields=["state", "ended_at"])
        skip = Skip.objects.create(lease=lease, annotator=annotator, comparison_id=lease.comparison_id, reason=reason, flag=flag)
        if flag:
            Comparison.objects.filter(pk=lease.comparison_id, flagged_at__isnull=True).update(flagged_at=timezone.now())
    return skip


def _uuid(value) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise Invalid("lease is a UUID.") from None


def _replay(annotator, key: UUID, body: dict) -> Choice | None:
    stored = Choice.objects.filter(pk=key).first()
    if stored is None:
        return None
    if stored.annotator_id != annotator.pk or stored.request_hash != request_digest(body):
        raise KeyReused("This Idempotency-Key was used for a different answer. Make a new key for a new answer.")
    return stored


def _take_place(annotator, lease: Lease, comparison: Comparison) -> bool:
    """Make the lease this annotator's turn at the comparison. Returns whether it had run out before."""
    if lease.state == Lease.State.ANSWERED:
        raise Conflict("You have answered this pair.", code="already_answered")
    if comparison.state == Comparison.State.RETIRED:
        raise Conflict("This comparison has been retired; the answer is not needed.", code="comparison_closed")
    if lease.state == Lease.State.ACTIVE:
        Comparison.objects.filter(pk=comparison.pk).update(leased=F("leased") - 1)
        return False
    if lease.state in (Lease.State.SKIPPED, Lease.State.UNDONE):
        raise Conflict("You skipped this pair or took your answer back.", code="lease_lost")
    other = _other_turn(annotator, lease)
    if other is not None and other.state != Lease.State.ACTIVE:
        raise Conflict("You have answered or skipped this pair.", code="already_answered")
    if other is not None:
        # The same person holds the pair anew (another tab): this answer takes that lease's place.
        Lease.objects.filter(pk=other.pk).update(state=Lease.State.RETURNED, ended_at=timezone.now())
        comparison_release(comparison_id=comparison.pk)
        return True
    if comparison.kind == Comparison.Kind.NORMAL and comparison.free_slots <= 0:
        if comparison.state == Comparison.State.DONE:
            raise Conflict("This pair has all the answers it needs by now.", code="comparison_closed")
        raise Conflict("Your time for this pair ran out and someone else has it now.", code="lease_lost")
    return True


def _other_turn(annotator, lease: Lease) -> Lease | None:
    return (
        Lease.objects.select_for_update(no_key=True)
        .filter(annotator=annotator, comparison_id=lease.comparison_id, state__in=Lease.TAKEN)
        .exclude(pk=lease.pk)
        .first()
    )


def _store(annotator, key: UUID, answer: Answer, lease: Lease, comparison: Comparison, profile: AnnotatorProfile, late: bool) -> Choice:
    canonical = answer_canonical(answer, swapped=lease.swapped)
    lease.state = Lease.State.ANSWERED
    lease.ended_at = timezone.now()
    lease.save(update_fields=["state", "ended_at"])
    return Choice.objects.create(
        id=key,
        annotator=annotator,
        comparison=comparison,
        lease=lease,
        answer=canonical.answer,
        side=canonical.side,
        strength=answer.strength,
        criteria=canonical.criteria,
        success_a=canonical.success_a,
        success_b=canonical.success_b,
        segments=canonical.segments,
        rationale=answer.rationale,
        response_ms=answer.response_ms,
        replays=answer.replays,
        visible_ms=answer.visible_ms,
        client_meta=answer.client,
        request_hash=answer.digest,
        is_simulated=profile.is_simulated,
        late=late,
        created_at=timezone.now(),
    )


def _excluded(choice: Choice) -> bool:
    return Exclusion.objects.filter(
        Q(until_at__isnull=True) | Q(until_at__gt=choice.created_at),
        annotator_id=choice.annotator_id,
        lifted_at__isnull=True,
        from_at__lte=choice.created_at,
    ).exists()


# One statement, so that the count and the state can not disagree.
COUNT_SQL = """
UPDATE labeling_comparison SET answered = answered + 1,
    state = CASE WHEN kind = 'gold' OR state = 'retired' THEN state
                 WHEN kind = 'repeat' OR answered + 1 >= required_overlap THEN 'done' ELSE state END
WHERE id = %s
"""


def _count(choice: Choice, comparison: Comparison) -> None:
    if _excluded(choice):
        return
    with connection.cursor() as cursor:
        cursor.execute(COUNT_SQL, [comparison.pk])


def _qualifying(profile: AnnotatorProfile, project: Project, choice: Choice, comparison: Comparison) -> dict | None:
    """Feedback on a qualifying answer; None for everything else, where gold stays unseen."""
    if not comparison.qualifying or profile.qualification != AnnotatorProfile.Qualification.NONE:
        return None
    of = min(project.qualifying_pairs, Comparison.objects.filter(qualifying=True, state=Comparison.State.OPEN).count())
    profile = qualification_update(profile=profile, needed=of, accuracy_needed=project.qualifying_accuracy)
    done = Choice.objects.filter(annotator_id=profile.user_id, undone_by__isnull=True, comparison__qualifying=True).count()
    return {
        "done": done,
        "of": of,
        "correct": choice.answer == comparison.gold_answer,
        "note": comparison.gold_note,
        "result": profile.qualification,
    }
