"""Start frames: imagine, capture, upload, review."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction
from django.utils import timezone

from core import audit
from core.events import publish
from core.jobs import submit
from core.media import blob_bytes, blob_store
from rollouts import factors as scene_factors
from rollouts.images import png_bytes, png_decode, sprite_frames
from rollouts.models import PolicyVersion, Rollout, ScenarioVersion, StartFrame
from rollouts.phash import phash
from rollouts.services.errors import RolloutsError
from rollouts.services.uploads import MAX_FILES, image_reencode
from rollouts.services.versions import frame_size, policy_load

if TYPE_CHECKING:
    from core.jobs import JobContext
    from rollouts.dreams.policy import Policy

IMAGINE_BATCH = 4
CAPTURE_BATCH = 8
MAX_FRAMES = 200
REASONS = (
    "Not as described",
    "Dog missing or broken",
    "Robot missing or broken",
    "Object missing or wrong",
    "Blurred or smeared",
    "Near duplicate",
)


def topic_of(slug: str) -> str:
    """The event topic that a scenario's grid listens to."""
    return f"start-frames:{slug}"


def start_frame_create(
    *,
    scenario_version: ScenarioVersion,
    frame: np.ndarray,
    source: str,
    seed: int | None = None,
    sampler: dict[str, Any] | None = None,
    scene_text: str = "",
    policy_version: PolicyVersion | None = None,
    world_spec: dict[str, Any] | None = None,
    probe: dict[str, Any] | None = None,
    created_by: Any = None,
) -> StartFrame:
    """Store one frame, uint8 [H, W, 3], and announce it to the pages that watch the scenario.

    The same pixels under the same version are the same row: then that row is returned unchanged.
    """
    blob = blob_store(png_bytes(frame), "image/png")
    row, created = StartFrame.objects.get_or_create(
        scenario_version=scenario_version,
        image=blob,
        defaults={
            "source": source,
            "width": frame.shape[1],
            "height": frame.shape[0],
            "seed": seed,
            "sampler": sampler or {},
            "scene_text": scene_text,
            "policy_version": policy_version,
            "world_spec": world_spec,
            "phash": phash(frame),
            "probe": probe or {},
            "created_by": created_by,
        },
    )
    if created:
        publish(topic_of(scenario_version.scenario.slug), "start_frame.created", {"id": row.pk, "state": row.state})
    return row


def probe_check(*, policy: Policy, frames_NHW3: np.ndarray, expected: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the policy's probe sees in each frame, and where that differs from what is expected (one entry a frame).

    Returns what `StartFrame.probe` holds, for each frame.
    """
    checks = []
    for reading, wanted in zip(policy.probe.read(frames_NHW3), expected, strict=True):
        seen = reading.to_dict()
        wrong = scene_factors.disagreements(wanted, seen)
        checks.append({"reading": seen, "expected": wanted, "disagreements": wrong, "agrees": not wrong})
    return checks


def start_frames_imagine(
    *,
    scenario_version: ScenarioVersion,
    policy_version: PolicyVersion,
    n: int,
    seed: int,
    scene_text: str = "",
    like: int | None = None,
    closeness: float = 0.8,
    created_by: Any = None,
    ctx: JobContext | None = None,
) -> list[StartFrame]:
    """Generate `n` start frames from words with the world model, a few at a time, so that a page fills as they come.

    Frame i has the seed `seed + i`. With `like`, each is a variation of the frame of that seed (`dreams.variations`).
    Under a job, cancellation is honoured between batches, and each batch is
    written inside the job's fence.

    Raises RolloutsError for a count out of range or an empty description.
    """
    if not 1 <= n <= MAX_FRAMES:
        raise RolloutsError(f"Ask for 1 to {MAX_FRAMES} frames at once.", "count_out_of_range")
    text = (scene_text or scenario_version.scene_text).strip()
    if not text:
        raise RolloutsError("Describe the scene first: there are no words to generate it from.", "no_scene_text")
    if not 0 <= closeness <= 1:
        raise RolloutsError("How near variations are is a number from 0 to 1.", "closeness_out_of_range")
    from rollouts.dreams.variations import imagine_like

    policy = policy_load(policy_version)
    made: list[StartFrame] = []
    for start in range(0, n, IMAGINE_BATCH):
        if ctx:
            ctx.check_cancelled()
        count = min(IMAGINE_BATCH, n - start)
        if like is None:
            frames = policy.imagine(text, n=count, seed=seed + start)
        else:
            frames = imagine_like(policy, text, like=like, closeness=closeness, n=count, seed=seed + start)
        expected = scene_factors.expected_in(text, scenario_version.factors, scenario_version.prompt)
        probes = probe_check(policy=policy, frames_NHW3=frames, expected=[expected] * count)
        with ctx.fence() if ctx else nullcontext(), transaction.atomic():
            for i, (frame, probe) in enumerate(zip(frames, probes, strict=True)):
                made.append(
                    start_frame_create(
                        scenario_version=scenario_version,
                        frame=frame,
                        source=StartFrame.Source.GENERATED,
                        seed=seed + start + i,
                        sampler={} if like is None else {"like": like, "closeness": closeness},
                        scene_text=text,
                        policy_version=policy_version,
                        probe=probe,
                        created_by=created_by,
                    )
                )
        if ctx:
            ctx.progress(start + count, n, f"{start + count} of {n} frames")
    return made


def start_frame_capture(
    *,
    scenario_version: ScenarioVersion,
    policy_version: PolicyVersion | None,
    n: int,
    seed: int,
    created_by: Any = None,
    ctx: JobContext | None = None,
) -> list[StartFrame]:
    """Photograph the household world with the scenario's factors set: `n` episodes' first frames, seeds `seed + i`.

    The spec that is kept starts the very same episode again. The probe of `policy_version` reads the frames, if given.

    Raises RolloutsError for a count out of range, or a prompt that this world does not understand.
    """
    from rollouts.worlds import make_world

    if not 1 <= n <= MAX_FRAMES:
        raise RolloutsError(f"Ask for 1 to {MAX_FRAMES} frames at once.", "count_out_of_range")
    policy = policy_load(policy_version) if policy_version else None
    made: list[StartFrame] = []
    world = make_world("household")
    try:
        for start in range(0, n, CAPTURE_BATCH):
            if ctx:
                ctx.check_cancelled()
            shots, specs, truths = [], [], []
            for i in range(start, min(start + CAPTURE_BATCH, n)):
                spec = {
                    "world": "household",
                    "prompt": scenario_version.prompt,
                    "seed": seed + i,
                    "factors": scenario_version.factors,
                }
                try:
                    _, info = world.reset(seed=spec["seed"], options={"prompt": spec["prompt"], "factors": spec["factors"]})
                except ValueError as error:
                    raise RolloutsError(f"The household world cannot set this scene: {error}.", "world_refused") from error
                shots.append(np.asarray(world.render()))
                # With every factor decided, the same seed still gives the same episode, and the row says what it shows.
                specs.append({**spec, "factors": info["factors"]})
                state = info["state"]
                truths.append({"robot": True, "dog": state["dog"] is not None, "objects": sorted(state["objects"])})
            frames = np.stack(shots)
            probes: Sequence[dict[str, Any] | None] = [None] * len(shots)
            if policy:
                probes = probe_check(policy=policy, frames_NHW3=frames, expected=truths)
            with ctx.fence() if ctx else nullcontext(), transaction.atomic():
                for frame, spec, probe in zip(frames, specs, probes, strict=True):
                    made.append(
                        start_frame_create(
                            scenario_version=scenario_version,
                            frame=frame,
                            source=StartFrame.Source.CAPTURED,
                            seed=spec["seed"],
                            world_spec=spec,
                            policy_version=policy_version,
                            probe=probe,
                            created_by=created_by,
                        )
                    )
            if ctx:
                ctx.progress(start + len(shots), n, f"{start + len(shots)} of {n} frames")
    finally:
        world.close()
    return made


def start_frame_continue(*, rollout: Rollout, frame: int, by: Any) -> StartFrame:
    """Propose a moment of a rollout, frame 1 to the last, as a start frame: where the policy would find itself if it went on so.

    First frames show a robot that has just set out. A policy that plans again and again meets the dog in the middle of a plan, and what
    is chosen there can be learned only from futures that begin there. A job lets the probe read it. The same moment again is the row that
    is there.

    Raises RolloutsError for a frame that the rollout does not have.
    """
    if not 1 <= frame < rollout.frame_count:
        raise RolloutsError(f"This rollout has the moments 1 to {rollout.frame_count - 1} after its start frame.", "no_such_frame")
    start, version = rollout.start_frame, rollout.start_frame.scenario_version
    moment = {"rollout": rollout.pk, "frame": frame}
    there = StartFrame.objects.filter(scenario_version=version, source=StartFrame.Source.CONTINUED, sampler=moment).first()
    if there:
        return there
    picture = sprite_frames(png_decode(blob_bytes(rollout.sprite_id)), rollout.frame_count, rollout.height, rollout.width)[frame]
    with transaction.atomic():
        made = start_frame_create(
            scenario_version=version,
            frame=picture,
            source=StartFrame.Source.CONTINUED,
            seed=rollout.seed,
            sampler=moment,
            scene_text=start.scene_text,
            policy_version=rollout.policy_version,
            created_by=by,
        )
        audit.record(actor=by, action="start_frame.continue", target=made, after=moment)
        if not made.probe:
            submit(kind="rollouts.probe", params={"start_frames": [made.pk], "policy_version": rollout.policy_version_id}, created_by=by)
    return made


def start_frames_probe(*, start_frames: Iterable[StartFrame], policy_version: PolicyVersion, ctx: JobContext | None = None) -> dict[str, Any]:
    """Let the probe read frames that nobody has read yet. Returns {"read": n, "disagree": n}."""
    rows = [row for row in start_frames if not row.probe]
    disagree = 0
    if rows:
        policy = policy_load(policy_version)
        for at, row in enumerate(rows, start=1):
            if ctx:
                ctx.check_cancelled()
            version = row.scenario_version
            words = row.scene_text or version.scene_text
            expected = scene_factors.expected_in(words, version.factors, version.prompt)
            frame = png_decode(blob_bytes(row.image_id))
            (row.probe,) = probe_check(policy=policy, frames_NHW3=frame[None], expected=[expected])
            disagree += not row.probe["agrees"]
            with ctx.fence() if ctx else nullcontext(), transaction.atomic():
                row.save(update_fields=["probe"])
                publish(topic_of(version.scenario.slug), "start_frame.probed", {"id": row.pk})
            if ctx:
                ctx.progress(at, len(rows))
    return {"read": len(rows), "disagree": disagree}


def start_frame_upload(*, scenario_version: ScenarioVersion, files: Sequence[tuple[str, str, bytes]], created_by: Any) -> tuple[list[StartFrame], list[str]]:
    """Take uploaded pictures, each as (name, claimed type, bytes).

    Returns the frames that were made and the sentences for those refused; a refused file leaves nothing behind.
    Raises RolloutsError for too many files at once.
    """
    if len(files) > MAX_FILES:
        raise RolloutsError(f"Upload at most {MAX_FILES} pictures at once.", "too_many_files")
    made, refused = [], []
    size = frame_size()
    for name, content_type, data in files:
        try:
            frame = image_reencode(data=data, name=name, content_type=content_type, size=size)
        except RolloutsError as error:
            refused.append(str(error))
            continue
        made.append(
            start_frame_create(
                scenario_version=scenario_version,
                frame=frame,
                source=StartFrame.Source.UPLOADED,
                created_by=created_by,
            )
        )
    if made:
        audit.record(
            actor=created_by,
            action="start_frame.upload",
            target=scenario_version,
            after={"frames": [row.pk for row in made], "refused": refused},
        )
    return made, refused


@transaction.atomic
def start_frames_review(*, ids: Iterable[int], state: str, by: Any, reason: str = "", default_reason: str = "", note: str = "") -> list[StartFrame]:
    """Approve, reject, flag or reopen start frames, many at once; one audit entry for each that changed.

    default_reason: when a rejection or flag comes without a reason, what the probe said against the frame is kept, or
    this if it said nothing. So a whole grid can be reviewed with single keys, and no row lacks its why.

    Raises RolloutsError for an unknown state, or a rejection or flag without a reason.
    """
    if state not in StartFrame.State.values:
        raise RolloutsError(f"“{state}” is not a state of a start frame.", "unknown_state")
    reason = reason.strip()
    needs_reason = state in (StartFrame.State.REJECTED, StartFrame.State.FLAGGED)
    if needs_reason and not (reason or default_reason):
        raise RolloutsError("Say why: a rejection or a flag needs a reason.", "reason_missing")
    rows = list(StartFrame.objects.select_for_update(of=("self",)).select_related("scenario_version__scenario").filter(pk__in=list(ids)).order_by("pk"))
    changed = []
    now = timezone.now()
    for row in rows:
        before = {"state": row.state, "reason": row.reason}
        why = reason or " ".join(row.probe.get("disagreements", []))[:300] or default_reason
        after = {"state": state, "reason": why if needs_reason else ""}
        if before == after:
            continue
        row.state, row.reason = state, after["reason"]
        row.reviewed_by, row.reviewed_at = by, now
        changed.append(row)
        audit.record(actor=by, action=f"start_frame.{state}", target=row, before=before, after=after, reason=note or after["reason"])
        publish(topic_of(row.scenario_version.scenario.slug), "start_frame.reviewed", {"id": row.pk, "state": row.state})
    StartFrame.objects.bulk_update(changed, ["state", "reason", "reviewed_by", "reviewed_at"])
    return changed
