"""The queue: who may answer which comparison, and until when.

Lock order everywhere in this package: annotator profile, then leases (by id), then comparisons (by id). `leases_next` takes its
comparisons with SKIP LOCKED and waits for none.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from labeling.errors import NotYours
from labeling.models import AnnotatorProfile, Comparison, Lease, Project

from . import supply
from .annotators import annotator_profile, qualification_update

# One annotator holds at most this many leases; beyond it, the oldest are handed out again (a tab that never came back).
HELD_AT_MOST = 16
RETRY_AFTER_S = 10

# The queue's order is (priority, id), highest first, exactly as the partial index `labeling_queue` holds it. The scalar
# subquery keeps the planner to one index probe for each row it passes: an anti-join might hash everything that this annotator ever
# answered.
NEXT_SQL = """
SELECT c.id FROM labeling_comparison c
WHERE c.state = 'open' AND c.kind = 'normal' AND c.free_slots > 0
  AND (c.priority, c.id) < (%(priority)s, %(id)s)
  AND (SELECT 1 FROM labeling_lease l
       WHERE l.annotator_id = %(annotator)s AND l.comparison_id = c.id
         AND l.state IN ('active', 'answered', 'skipped') LIMIT 1) IS NULL
ORDER BY c.priority DESC, c.id DESC
LIMIT %(count)s
"""
# NO KEY: the foreign keys of leases being written elsewhere do not make a row look taken.
LOCKED = "FOR NO KEY UPDATE OF c SKIP LOCKED"
START_OF_QUEUE = {"priority": float("inf"), "id": 2**62}

GOLD_SQL = """
SELECT c.id FROM labeling_comparison c
WHERE c.kind = 'gold' AND c.state = 'open' AND c.qualifying = ANY(%(qualifying)s)
  AND (SELECT 1 FROM labeling_lease l
       WHERE l.annotator_id = %(annotator)s AND l.comparison_id = c.id
         AND l.state IN ('active', 'answered', 'skipped') LIMIT 1) IS NULL
ORDER BY {order} LIMIT %(count)s
"""

# Pairs that this annotator answered at least `after` answers ago and has not been asked again.
REPEAT_SQL = """
SELECT old.comparison_id, l.swapped FROM (
    SELECT ch.comparison_id, ch.lease_id FROM labeling_choice ch
    WHERE ch.annotator_id = %(annotator)s AND ch.undone_by_id IS NULL
    ORDER BY ch.created_at DESC OFFSET %(after)s LIMIT 60
) old
JOIN labeling_comparison c ON c.id = old.comparison_id AND c.kind = 'normal' AND c.state <> 'retired'
JOIN labeling_lease l ON l.id = old.lease_id
WHERE NOT EXISTS (SELECT 1 FROM labeling_comparison r
                  WHERE r.kind = 'repeat' AND r.repeat_of_id = c.id AND r.only_for_id = %(annotator)s)
ORDER BY random() LIMIT 1
"""


@dataclass(frozen=True)
class NextLeases:
    """`status`: ok, all_done, all_leased (others hold what is left) or nothing_sampled (there is no comparison at all)."""

    status: str
    leases: list[Lease] = field(default_factory=list)
    retry_after_s: int = RETRY_AFTER_S


def leases_next(*, annotator, count: int = 1, held: Collection[UUID] = (), rng: random.Random | None = None) -> NextLeases:
    """Lease up to `count` (1..4) comparisons to this annotator.

    1. Leases that ran out go back to the queue.
    2. A new annotator gets the rest of the qualifying set first.
    3. Each place is drawn: a gold pair, a repeat with swapped sides, or the next of the queue.
    4. Nothing left: say whether all is done, all is held by others, or nothing was ever sampled.

    Args:
        held: leases that the page which asks has. Whoever holds too many gets those again, and others in exchange for new ones.
    """
    rng = rng or random.SystemRandom()
    leases_expire()
    project = Project.current()
    count = max(1, min(4, count))
    annotator_profile(user=annotator)
    with transaction.atomic():
        profile = AnnotatorProfile.objects.select_for_update().get(user=annotator)
        leases = _held_too_long(annotator, count, project, held)
        wanted = count - len(leases)
        if wanted and profile.qualification == AnnotatorProfile.Qualification.NONE:
            leases += _qualifying(profile, wanted, project, rng)
            wanted = count - len(leases)
        if wanted:
            leases += _mixed(profile, wanted, project, rng)
        if leases:
            supply.ask_ahead(project=project, rng=rng)
            return NextLeases("ok", _with_rollouts(leases, project))
        supply.ask_ahead(project=project, rng=rng, empty=True)
        return NextLeases(_why_nothing(annotator))


def leases_heartbeat(*, annotator, lease_ids: list[UUID]) -> tuple[list[UUID], datetime]:
    """Extend the leases that this annotator still holds; ended and foreign ones are passed over.

    Returns:
        The ids that were extended, and until when they now last.
    """
    expires_at = _expiry(Project.current())
    with transaction.atomic():
        mine = Lease.objects.select_for_update(no_key=True).filter(annotator=annotator, id__in=lease_ids, state=Lease.State.ACTIVE)
        held = list(mine.order_by("id").values_list("id", flat=True))
        Lease.objects.filter(id__in=held).update(expires_at=expires_at)
    return held, expires_at


def leases_return(*, annotator, lease_ids: list[UUID]) -> int:
    """Give leases back (a closed tab). Ended or foreign ones are ignored. Returns how many were given back."""
    with transaction.atomic():
        leases = list(Lease.objects.select_for_update(no_key=True).filter(annotator=annotator, id__in=lease_ids, state=Lease.State.ACTIVE).order_by("id"))
        _end(leases, Lease.State.RETURNED)
    return len(leases)


def leases_expire(*, limit: int = 200) -> int:
    """Take back leases whose time is up. Cheap when there are none; one caller at a time, the others pass."""
    with transaction.atomic():
        now = timezone.now()
        if not Lease.objects.filter(state=Lease.State.ACTIVE, expires_at__lt=now).exists():
            return 0
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('labeling.leases_expire'))")
            if not cursor.fetchone()[0]:
                return 0
        leases = list(
            Lease.objects.select_for_update(skip_locked=True, no_key=True).filter(state=Lease.State.ACTIVE, expires_at__lt=now).order_by("expires_at")[:limit]
        )
        _end(leases, Lease.State.EXPIRED)
    return len(leases)


def comparison_release(*, comparison_id: int) -> None:
    """One place of a comparison is free again (its lease ended unanswered). Call inside a transaction."""
    Comparison.objects.filter(pk=comparison_id).update(leased=F("leased") - 1)


def lease_create(*, annotator, comparison: Comparison, project: Project, swapped: bool) -> Lease:
    """Write a lease and take its place. The caller holds the comparison's row lock."""
    Comparison.objects.filter(pk=comparison.pk).update(leased=F("leased") + 1)
    return Lease.objects.create(annotator=annotator, comparison=comparison, swapped=swapped, expires_at=_expiry(project))


def _expiry(project: Project):
    return timezone.now() + timedelta(seconds=project.lease_seconds)


def lease_own(annotator, lease_id: UUID) -> Lease:
    """The annotator's own lease, locked. Raises NotYours."""
    lease = Lease.objects.select_for_update(no_key=True).filter(pk=lease_id, annotator=annotator).first()
    if lease is None:
        raise NotYours("There is no such lease of yours.")
    return lease


def _end(leases: list[Lease], state: str) -> None:
    if not leases:
        return
    Lease.objects.filter(pk__in=[lease.pk for lease in leases]).update(state=state, ended_at=timezone.now())
    for comparison_id in sorted(lease.comparison_id for lease in leases):
        comparison_release(comparison_id=comparison_id)


def leases_for_player(project: Project):
    """Leases with what the player is given of them; the large columns of rollouts stay in the database, paths only if they may lead the annotator."""
    columns = ("actions", "path", "sampler") if project.paths_before else ("actions", "path", "sampler", "path_pixels", "verdict")
    heavy = [f"comparison__rollout_{side}__{column}" for side in "ab" for column in columns]
    return Lease.objects.select_related("comparison__rollout_a", "comparison__rollout_b", "comparison__start_frame").defer(*heavy)


def _with_rollouts(leases: list[Lease], project: Project) -> list[Lease]:
    order = {lease.pk: place for place, lease in enumerate(leases)}
    found = leases_for_player(project).filter(pk__in=order)
    return sorted(found, key=lambda lease: order[lease.pk])


def _held_too_long(annotator, count: int, project: Project, here: Collection[UUID]) -> list[Lease]:
    """The oldest leases of somebody who holds too many, once more.

    A lease that another page holds is exchanged for a new one of the same pair with the same sides: that page may be closing, and what it
    gives back a moment later must not be what this page shows now.
    """
    active = Lease.objects.filter(annotator=annotator, state=Lease.State.ACTIVE).order_by("created_at", "id")
    over = max(0, active.count() + count - HELD_AT_MOST)
    oldest = list(active.values_list("pk", flat=True)[: min(count, over)])
    again = list(active.select_for_update(no_key=True).filter(pk__in=oldest).order_by("id").select_related("comparison")) if oldest else []
    Lease.objects.filter(pk__in=[lease.pk for lease in again if lease.pk in here]).update(expires_at=_expiry(project))
    others = [lease for lease in again if lease.pk not in here]
    _end(others, Lease.State.RETURNED)
    anew = {lease.pk: lease_create(annotator=annotator, comparison=lease.comparison, project=project, swapped=lease.swapped) for lease in others}
    return [anew.get(lease.pk, lease) for lease in again]


def _qualifying(profile: AnnotatorProfile, wanted: int, project: Project, rng) -> list[Lease]:
    """Leases of the rest of the qualifying set. With nothing left to lease or answer of it, the person is passed or failed."""
    taken = Lease.objects.filter(annotator=profile.user, comparison__qualifying=True, state__in=Lease.TAKEN)
    states = list(taken.values_list("state", flat=True))
    left = max(0, project.qualifying_pairs - len(states))
    who = {"qualifying": [True], "annotator": profile.user_id, "count": min(wanted, left)}
    ids = _ids(GOLD_SQL.format(order="c.id"), who)
    if not ids and Lease.State.ACTIVE not in states:
        if Lease.State.ANSWERED in states:
            qualification_update(profile=profile, needed=1, accuracy_needed=project.qualifying_accuracy)
        else:
            # There is no set to take; whoever skipped all of it has shown nothing.
            profile.qualification = AnnotatorProfile.Qualification.FAILED if states else AnnotatorProfile.Qualification.PASSED
            profile.qualified_at = timezone.now()
            profile.save(update_fields=["qualification", "qualified_at"])
    return [_lease(profile, comparison_id, project, rng) for comparison_id in ids]


def _mixed(profile: AnnotatorProfile, wanted: int, project: Project, rng) -> list[Lease]:
    """Queue, gold and repeats. Gold and repeats come only with real work: alone they would hide that all is done."""
    ids = _from_queue(profile, wanted)
    unused = iter(ids)
    used: list[int] = []
    leases: list[Lease] = []
    for _ in ids:
        draw = rng.random()
        lease = None
        if draw < project.gold_share:
            lease = _gold(profile, project, rng)
        elif draw < project.gold_share + project.repeat_share:
            lease = _repeat(profile, project)
        if lease is None:
            used.append(next(unused))
            lease = _lease(profile, used[-1], project, rng)
        leases.append(lease)
    # What a gold pair or repeat stood in for stays next in the queue: the cursor passes only what was leased.
    _set_cursor(profile, used)
    return leases


def _from_queue(profile: AnnotatorProfile, wanted: int) -> list[int]:
    """The next comparisons after this annotator's cursor, else from the start of the queue; locked, not yet leased."""
    who = {"annotator": profile.user_id, "count": wanted}
    ids: list[int] = []
    if profile.cursor_id is not None:
        ids = _ids(NEXT_SQL + LOCKED, {**who, "priority": profile.cursor_priority, "id": profile.cursor_id})
    if len(ids) < wanted:
        for comparison_id in _ids(NEXT_SQL + LOCKED, {**who, **START_OF_QUEUE}):
            if comparison_id not in ids and len(ids) < wanted:
                ids.append(comparison_id)
    return ids


def _set_cursor(profile: AnnotatorProfile, ids: list[int]) -> None:
    if not ids:
        return
    last = Comparison.objects.values("priority", "id").get(pk=ids[-1])
    profile.cursor_priority, profile.cursor_id = last["priority"], last["id"]
    profile.save(update_fields=["cursor_priority", "cursor_id"])


def _gold(profile: AnnotatorProfile, project: Project, rng) -> Lease | None:
    who = {"qualifying": [True, False], "annotator": profile.user_id, "count": 1}
    ids = _ids(GOLD_SQL.format(order="random()"), who)
    return _lease(profile, ids[0], project, rng) if ids else None


def _repeat(profile: AnnotatorProfile, project: Project) -> Lease | None:
    with connection.cursor() as cursor:
        cursor.execute(REPEAT_SQL, {"annotator": profile.user_id, "after": project.repeat_after})
        row = cursor.fetchone()
    if row is None:
        return None
    first = Comparison.objects.get(pk=row[0])
    repeat = Comparison.objects.create(
        rollout_a_id=first.rollout_a_id,
        rollout_b_id=first.rollout_b_id,
        start_frame_id=first.start_frame_id,
        kind=Comparison.Kind.REPEAT,
        strategy="repeat",
        reason=f"Swapped repeat of comparison {first.pk}",
        repeat_of=first,
        only_for_id=profile.user_id,
    )
    return lease_create(annotator=profile.user, comparison=repeat, project=project, swapped=not row[1])


def _lease(profile: AnnotatorProfile, comparison_id: int, project: Project, rng) -> Lease:
    return lease_create(
        annotator=profile.user,
        comparison=Comparison(pk=comparison_id),
        project=project,
        swapped=rng.random() < 0.5,
    )


def _ids(sql: str, params: dict) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return [row[0] for row in cursor.fetchall()]


def _why_nothing(annotator) -> str:
    if not Comparison.objects.filter(kind=Comparison.Kind.NORMAL).exists():
        return "nothing_sampled"
    # Passed over only because another transaction holds the row at this instant: not "all done".
    if _ids(NEXT_SQL, {"annotator": annotator.pk, "count": 1, **START_OF_QUEUE}):
        return "all_leased"
    mine = Lease.objects.filter(annotator=annotator, state__in=Lease.TAKEN)
    held_by_others = (
        Lease.objects.filter(state=Lease.State.ACTIVE, comparison__state=Comparison.State.OPEN, comparison__kind=Comparison.Kind.NORMAL)
        .exclude(annotator=annotator)
        .exclude(comparison__in=mine.values("comparison"))
    )
    return "all_leased" if held_by_others.exists() else "all_done"
