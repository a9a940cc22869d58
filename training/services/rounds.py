"""The life of a round: start, next stage, cancel, resume, fail, override.

    snapshot -> post_train -> value_head -> evaluate -> gate -> promoted | rejected

Every stage is one job (`training.round_<stage>`). A stage ends by `round_advance` inside the job's fence, which checks that
the round still is at that stage and submits the next job in the same transaction: so a stage that ran twice counts once.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction
from django.utils import timezone

from core import audit
from core.events import publish
from core.jobs import JobContext, job_cancel, submit
from core.models import Job
from labeling.selectors import live_choices
from labeling.services import comparisons_make_ahead
from rollouts.models import PolicyVersion, StartFrame
from rollouts.services import policy_version_activate, policy_version_set_state, rollouts_sample_many
from training.models import Round
from training.services.errors import TrainingError
from training.services.round_settings import MIN_CHOICES, parse

# What a version dreams as soon as it is promoted: enough for a first look at it, little enough not to fill the queue.
NEXT_FRAMES, NEXT_ROLLOUTS = 24, 4
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,79}$")


@transaction.atomic
def round_start(
    *,
    parent: PolicyVersion,
    settings: dict[str, Any] | None = None,
    name: str = "",
    note: str = "",
    created_by: Any = None,
    trigger: str = Round.Trigger.PERSON,
) -> Round:
    """Check the settings and queue the first stage.

    Raises TrainingError for impossible settings, a taken name, a parent that cannot be one, or too few choices.
    """
    parsed = parse(settings)
    if parent.state in (PolicyVersion.State.REJECTED, PolicyVersion.State.RETIRED):
        raise TrainingError(f"“{parent.name}” is {parent.get_state_display().lower()}; choose another parent.", "bad_parent")
    name = name.strip() or next_name(parent)
    if not NAME.match(name):
        raise TrainingError("A name is made of letters, digits, dots, dashes, underscores and spaces, at most 80.", "bad_name")
    if Round.objects.filter(name=name).exists() or PolicyVersion.objects.filter(name=name).exists():
        raise TrainingError(f"There already is a round or version called “{name}”.", "name_taken")
    found = live_choices(parsed.choice_filter()).count()
    if found < MIN_CHOICES:
        raise TrainingError(f"{found} choices match; a round needs at least {MIN_CHOICES}. Widen the filter, or label more comparisons.", "too_few_choices")
    row = Round.objects.create(name=name, parent=parent, settings=parsed.to_dict(), note=note[:2000], created_by=created_by, trigger=trigger)
    submit_stage(row, attempt=1)
    audit.record(actor=created_by, action="round.start", target=row, after={"parent": parent.name, "choices": found}, reason=note[:500])
    publish(row.topic, "started", {"stage": row.stage})
    return row


def next_name(parent: PolicyVersion) -> str:
    """The parent's name with a round number counted on: base -> base-r1 -> base-r2, past names that are taken."""
    match = re.match(r"^(.*)-r(\d+)$", parent.name)
    stem, number = (match[1], int(match[2])) if match else (parent.name, 0)
    taken = set(Round.objects.values_list("name", flat=True)) | set(PolicyVersion.objects.values_list("name", flat=True))
    while True:
        number += 1
        name = f"{stem[:70]}-r{number}"
        if name not in taken:
            return name


def submit_stage(row: Round, *, attempt: int) -> Job:
    """Queue the job of the round's stage. Call with the round's row locked or new."""
    job = submit(
        kind=f"training.round_{row.stage}",
        params={"round": row.pk},
        created_by=row.created_by,
        # Resuming asks again under a new key; a stage that ends twice asks for the next one once.
        idempotency_key=f"round:{row.pk}:{row.stage}:{attempt}",
    )
    row.job = job
    row.save(update_fields=["job"])
    return job


def round_at_stage(*, round_id: int, stage: str, job: Job) -> Round | None:
    """The round, if this job is to work on this stage of it; None if somebody cancelled or it went on already."""
    return Round.objects.select_related("parent", "child").filter(pk=round_id, stage=stage, state=Round.State.RUNNING, job=job).first()


@transaction.atomic
def round_advance(*, row: Round, stage: str, seconds: float, **changes: Any) -> bool:
    """End a stage: write what it found and queue the next one. False if the round is not at that stage any more.

    Call inside the stage's fence.
    """
    locked = Round.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if locked.stage != stage or locked.state != Round.State.RUNNING:
        return False
    for field, value in changes.items():
        setattr(locked, field, value)
    locked.seconds = {**locked.seconds, stage: round(locked.seconds.get(stage, 0.0) + seconds, 2)}
    following = Round.STAGES.index(stage) + 1
    if following < len(Round.STAGES):
        locked.stage = Round.STAGES[following]
    locked.save()
    if locked.stage != stage:
        submit_stage(locked, attempt=1)
    publish(locked.topic, "stage", {"stage": locked.stage, "done": stage})
    return True


@transaction.atomic
def round_decide(*, row: Round, report: dict[str, Any], seconds: float) -> bool:
    """The last stage: promote or reject the child. Call inside the stage's fence."""
    locked = Round.objects.select_for_update(of=("self",)).select_related("child").get(pk=row.pk)
    if locked.stage != Round.Stage.GATE or locked.state != Round.State.RUNNING:
        return False
    promote = bool(report["promote"])
    child = locked.child
    if child is None:
        raise TrainingError("The round reached the gate without a child.", "no_child")
    why = " ".join(report["reasons"])
    if promote:
        if locked.settings.get("auto_promote", True):
            policy_version_activate(version=child, by=locked.created_by, reason=f"round {locked.name}: {why}"[:2000])
            next_rollouts_submit(version=child, by=locked.created_by)
        else:
            policy_version_set_state(version=child, state=PolicyVersion.State.PROMOTED, by=locked.created_by, reason=why[:2000])
    else:
        policy_version_set_state(version=child, state=PolicyVersion.State.REJECTED, by=locked.created_by, reason=why[:2000])
    locked.gate = report
    locked.state = Round.State.PROMOTED if promote else Round.State.REJECTED
    locked.finished_at = timezone.now()
    locked.seconds = {**locked.seconds, Round.Stage.GATE: round(seconds, 2)}
    locked.save()
    publish(locked.topic, locked.state, {"version": child.pk, "reasons": report["reasons"]})
    return True


@transaction.atomic
def round_cancel(*, row: Round, by: Any, reason: str = "") -> Round:
    """Stop a round at once; what its stages wrote is kept and it can be resumed.

    Raises TrainingError if it is finished.
    """
    # The job first, then the round: the order in which a stage's fence takes them.
    job = Job.objects.select_for_update().filter(pk__in=Round.objects.filter(pk=row.pk).values("job")).first()
    locked = Round.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if not locked.can_cancel:
        raise TrainingError(f"This round is {locked.get_state_display().lower()} already.", "round_finished")
    locked.state, locked.finished_at = Round.State.CANCELLED, timezone.now()
    locked.save(update_fields=["state", "finished_at"])
    if job and locked.job_id != job.pk:
        job = locked.job  # it went on to the next stage while we waited
    if job and not job.is_finished:
        job_cancel(job=job, by=by)
    audit.record(actor=by, action="round.cancel", target=locked, before={"stage": locked.stage}, reason=reason)
    publish(locked.topic, "cancelled", {"stage": locked.stage})
    return locked


@transaction.atomic
def round_resume(*, row: Round, by: Any) -> Round:
    """Take a failed or cancelled round up at the stage where it stopped, from its last checkpoint.

    Raises TrainingError if it is running or decided, or its last job is still ending.
    """
    locked = Round.objects.select_for_update(of=("self",)).select_related("job").get(pk=row.pk)
    if not locked.can_resume:
        raise TrainingError(f"This round is {locked.get_state_display().lower()}; only failed and cancelled rounds resume.", "not_resumable")
    if locked.job and not locked.job.is_finished:
        raise TrainingError("Its last job is still stopping; try again in a few seconds.", "still_stopping")
    before = locked.state
    locked.state, locked.finished_at, locked.error = Round.State.RUNNING, None, ""
    locked.save(update_fields=["state", "finished_at", "error"])
    attempts = Job.objects.filter(idempotency_key__startswith=f"round:{locked.pk}:{locked.stage}:").count()
    submit_stage(locked, attempt=attempts + 1)
    audit.record(actor=by, action="round.resume", target=locked, before={"state": before}, after={"stage": locked.stage})
    publish(locked.topic, "resumed", {"stage": locked.stage})
    return locked


@transaction.atomic
def round_fail(*, row: Round, error: str) -> bool:
    """Mark a running round as failed, in words for the person who started it."""
    locked = Round.objects.select_for_update(of=("self",)).get(pk=row.pk)
    if locked.state != Round.State.RUNNING:
        return False
    locked.state, locked.error, locked.finished_at = Round.State.FAILED, error[:2000] or "It failed without a word.", timezone.now()
    locked.save(update_fields=["state", "error", "finished_at"])
    publish(locked.topic, "failed", {"error": locked.error, "stage": locked.stage})
    return True


def rounds_reconcile() -> int:
    """Bring rounds whose job ended without them (a worker that died too often, a job cancelled by itself) to an end.

    Returns how many were changed.
    """
    changed = 0
    lost = Round.objects.filter(state=Round.State.RUNNING, job__state__in=[Job.State.FAILED, Job.State.CANCELLED])
    for row in lost.select_related("job"):
        job = row.job
        assert job is not None  # for the type checker: the filter is about its state
        if job.state == Job.State.FAILED:
            changed += round_fail(row=row, error=job.error)
        else:
            with transaction.atomic():
                locked = Round.objects.select_for_update(of=("self",)).get(pk=row.pk)
                if locked.state == Round.State.RUNNING and locked.job_id == job.pk:
                    locked.state, locked.finished_at = Round.State.CANCELLED, timezone.now()
                    locked.save(update_fields=["state", "finished_at"])
                    publish(locked.topic, "cancelled", {"stage": locked.stage})
                    changed += 1
    return changed


@transaction.atomic
def round_override(*, row: Round, by: Any, reason: str) -> Round:
    """Promote a child that the gate rejected, with a reason that is kept.

    Raises TrainingError without a reason, or if there is nothing to override.
    """
    reason = reason.strip()
    if len(reason) < 10:
        raise TrainingError("Say in a sentence why the gate is overridden; it is kept with the version.", "reason_needed")
    locked = Round.objects.select_for_update(of=("self",)).select_related("child").get(pk=row.pk)
    if not locked.can_override or locked.child is None:
        raise TrainingError("Only a round that the gate rejected can be overridden, once.", "nothing_to_override")
    policy_version_set_state(version=locked.child, state=PolicyVersion.State.CANDIDATE, by=by, reason=f"gate overridden: {reason}")
    policy_version_activate(version=locked.child, by=by, reason=f"gate overridden: {reason}")
    next_rollouts_submit(version=locked.child, by=by)
    locked.state, locked.override_by, locked.override_reason = Round.State.PROMOTED, by, reason
    locked.save(update_fields=["state", "override_by", "override_reason"])
    audit.record(actor=by, action="round.override", target=locked, before={"state": "rejected"}, after={"state": "promoted"}, reason=reason)
    publish(locked.topic, "overridden", {"reason": reason})
    return locked


def next_rollouts_key(version_id: int) -> str:
    """The idempotency key of a version's first rollouts: one job a version, however often it is activated."""
    return f"next-rollouts:{version_id}"


def next_rollouts_submit(*, version: PolicyVersion, by: Any) -> Job | None:
    """Let a version that has just become active dream from the newest approved start frames, and pair what it dreamed.

    None if no start frame is approved. Comparisons of other versions stay as they are.
    """
    frames = StartFrame.objects.filter(state=StartFrame.State.APPROVED, scenario_version__scenario__state="active").order_by("-reviewed_at", "-id")
    found = list(frames.values_list("pk", flat=True)[:NEXT_FRAMES])
    if not found:
        return None
    return submit(
        kind="training.next_rollouts",
        params={"start_frames": found, "policy_version": version.pk, "n": NEXT_ROLLOUTS},
        created_by=by,
        idempotency_key=next_rollouts_key(version.pk),
    )


def next_rollouts_run(*, version: PolicyVersion, start_frames: list[int], n: int, ctx: JobContext) -> dict[str, Any]:
    """Sample a promoted version's first rollouts and put pairs of them into the queue.

    The queue is kept filled for hours of work; without pairs of its own a new version would be seen only when all of those are answered.
    """
    result = rollouts_sample_many(start_frames=start_frames, policy_version=version, n=n, seed=0, ctx=ctx)
    paired = comparisons_make_ahead(count=len(start_frames) * n // 2, policy_versions=(version.pk,), fence=ctx.fence)
    return {**result, "comparisons": paired["made"]}


def version_rollback(*, version: PolicyVersion, by: Any, reason: str = "") -> PolicyVersion:
    """Make a version that was promoted before the active one again; comparisons of other versions stay valid.

    Raises TrainingError if it never was promoted.
    """
    if version.state != PolicyVersion.State.PROMOTED:
        raise TrainingError(f"“{version.name}” was never promoted; only promoted versions can be rolled back to.", "not_promoted")
    return policy_version_activate(version=version, by=by, reason=reason or "rolled back")
