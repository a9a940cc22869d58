"""Annotators: their profile, preferences, qualification, and the exclusion of their choices."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from core import audit
from labeling.errors import Conflict, Invalid
from labeling.models import AnnotatorProfile, Choice, Exclusion, Lease, Undo

from . import webhooks
from .answers import storable

PREFERENCES_AT_MOST = 16_384

# Counters of the comparisons that one annotator answered, counted again: an excluded or taken-back answer leaves its place to another person.
RECOUNT_SQL = """
UPDATE labeling_comparison c
SET answered = n.live,
    state = CASE WHEN c.state = 'retired' OR c.kind <> 'normal' THEN c.state
                 WHEN n.live >= c.required_overlap THEN 'done' ELSE 'open' END
FROM (
    SELECT mine.comparison_id, count(ch.id) FILTER (WHERE NOT EXISTS (
        SELECT 1 FROM labeling_exclusion e
        WHERE e.annotator_id = ch.annotator_id AND e.lifted_at IS NULL AND ch.created_at >= e.from_at
          AND (e.until_at IS NULL OR ch.created_at < e.until_at))) AS live
    FROM (SELECT DISTINCT comparison_id FROM labeling_choice WHERE annotator_id = %(annotator)s) mine
    LEFT JOIN labeling_choice ch ON ch.comparison_id = mine.comparison_id AND ch.undone_by_id IS NULL
    GROUP BY mine.comparison_id
) n
WHERE c.id = n.comparison_id AND c.answered <> n.live
"""


def annotator_profile(*, user) -> AnnotatorProfile:
    """The profile of an account, made on first use."""
    profile = AnnotatorProfile.objects.filter(user=user).first()
    return profile or AnnotatorProfile.objects.get_or_create(user=user)[0]


def preferences_save(*, user, preferences: dict) -> AnnotatorProfile:
    """Replace the player's preferences (key map, speed, overlays). Raises Invalid when they are no object or too large."""
    if not isinstance(preferences, dict) or len(str(preferences)) > PREFERENCES_AT_MOST or not storable(preferences):
        raise Invalid("Preferences are a JSON object of at most 16 kB.")
    profile = annotator_profile(user=user)
    profile.preferences = preferences
    profile.save(update_fields=["preferences"])
    return profile


def guide_mark_read(*, user) -> AnnotatorProfile:
    profile = annotator_profile(user=user)
    if profile.guide_read_at is None:
        profile.guide_read_at = timezone.now()
        profile.save(update_fields=["guide_read_at"])
    return profile


def annotator_waive_qualification(*, annotator, by, reason: str) -> AnnotatorProfile:
    """An admin lets an annotator through although they did not pass (or take) the qualifying set."""
    with transaction.atomic():
        profile = annotator_profile(user=annotator)
        before = profile.qualification
        profile.qualification = AnnotatorProfile.Qualification.WAIVED
        profile.qualified_at = timezone.now()
        profile.save(update_fields=["qualification", "qualified_at"])
        audit.record(
            actor=by,
            action="annotator.waive_qualification",
            target=annotator,
            before={"qualification": before},
            after={"qualification": profile.qualification},
            reason=reason,
        )
    return profile


def annotator_retry_qualification(*, annotator, by) -> AnnotatorProfile:
    """An admin lets an annotator who failed take the qualifying set again, from its start.

    The earlier answers are taken back, as an undo does: they stay, and count no more. Raises Conflict (`not_failed`).
    """
    with transaction.atomic():
        profile = AnnotatorProfile.objects.select_for_update().get(pk=annotator_profile(user=annotator).pk)
        if profile.qualification != AnnotatorProfile.Qualification.FAILED:
            raise Conflict(f"{annotator} did not fail the qualifying set, or has been given another try already.", code="not_failed")
        mine = Lease.objects.select_for_update(no_key=True).filter(annotator=annotator, comparison__qualifying=True).order_by("id")
        turns = {lease.pk: lease for lease in mine.filter(state__in=[Lease.State.ANSWERED, Lease.State.SKIPPED])}
        choices = list(Choice.objects.filter(annotator=annotator, lease__in=turns, undone_by__isnull=True).select_related("comparison"))
        for choice in choices:
            choice.undone_by = Undo.objects.create(annotator=annotator)
            choice.save(update_fields=["undone_by"])
            webhooks.choice_announce(choice=choice, event="choice.undone")
        answered = {choice.lease_id for choice in choices}
        Lease.objects.filter(pk__in=answered).update(state=Lease.State.UNDONE)
        Lease.objects.filter(pk__in=turns.keys() - answered).update(state=Lease.State.RETURNED)
        _recount(annotator)
        profile.qualification, profile.qualified_at = AnnotatorProfile.Qualification.NONE, None
        profile.save(update_fields=["qualification", "qualified_at"])
        audit.record(
            actor=by,
            action="annotator.retry_qualification",
            target=annotator,
            before={"qualification": AnnotatorProfile.Qualification.FAILED},
            after={"qualification": profile.qualification, "taken_back": [str(choice.pk) for choice in choices]},
        )
    return profile


def annotator_exclude(*, annotator, by, from_at: datetime, until_at: datetime | None = None, reason: str) -> Exclusion:
    """Stop counting an annotator's choices from `from_at` on (until `until_at`, if given). Nothing is deleted.

    Their comparisons open again for others where an answer is now missing.
    Raises Invalid without a reason or with an empty interval.
    """
    if not reason.strip():
        raise Invalid("Say why these choices are excluded.")
    if until_at is not None and until_at <= from_at:
        raise Invalid("The exclusion has to end after it starts.")
    with transaction.atomic():
        exclusion = Exclusion.objects.create(annotator=annotator, from_at=from_at, until_at=until_at, reason=reason.strip(), created_by=by)
        _recount(annotator)
        audit.record(
            actor=by,
            action="annotator.exclude",
            target=annotator,
            after={"from": from_at.isoformat(), "until": until_at and until_at.isoformat(), "exclusion": exclusion.pk},
            reason=reason,
        )
    return exclusion


def exclusion_lift(*, exclusion: Exclusion, by) -> Exclusion:
    """Count the choices again. Raises Conflict when the exclusion was lifted already."""
    with transaction.atomic():
        changed = Exclusion.objects.filter(pk=exclusion.pk, lifted_at__isnull=True).update(lifted_at=timezone.now(), lifted_by=by)
        if not changed:
            raise Conflict("This exclusion was lifted already.", code="already_lifted")
        exclusion.refresh_from_db()
        _recount(exclusion.annotator)
        audit.record(actor=by, action="annotator.exclusion_lift", target=exclusion.annotator, after={"exclusion": exclusion.pk})
    return exclusion


def qualification_update(*, profile: AnnotatorProfile, needed: int, accuracy_needed: float) -> AnnotatorProfile:
    """Pass or fail a person who has answered the whole qualifying set; otherwise change nothing."""
    answers = list(
        Choice.objects.filter(annotator=profile.user, undone_by__isnull=True, comparison__qualifying=True).values_list("answer", "comparison__gold_answer")
    )
    if not answers or len(answers) < needed:
        return profile
    right = sum(answer == gold for answer, gold in answers)
    passed = right / len(answers) >= accuracy_needed
    profile.qualification = AnnotatorProfile.Qualification.PASSED if passed else AnnotatorProfile.Qualification.FAILED
    profile.qualified_at = timezone.now()
    profile.save(update_fields=["qualification", "qualified_at"])
    return profile


def _recount(annotator) -> None:
    with connection.cursor() as cursor:
        cursor.execute(RECOUNT_SQL, {"annotator": annotator.pk})
