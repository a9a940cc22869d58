"""Rollouts: sample futures of an approved start frame and keep each with all that explains it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction
from safetensors.numpy import save as safetensors_bytes

from core.events import publish
from core.media import blob_bytes, blob_store
from rollouts.images import png_bytes, png_decode, scaled, sprite_sheet
from rollouts.mining import touched_at
from rollouts.models import PolicyVersion, Rollout, StartFrame
from rollouts.services.errors import RolloutsError
from rollouts.services.versions import frame_size, policy_load

if TYPE_CHECKING:
    from core.jobs import JobContext
    from rollouts.dreams.policy import Dream, Policy

BATCH = 8
MAX_ROLLOUTS = 64
# How many times as many dreams as asked for may be sampled to replace the rejected ones.
MAX_TRIES = 4


def sampler_settings(policy: Policy) -> dict[str, Any]:
    """The settings of the policy's sampler, as they go into a rollout's identity."""
    return dict(policy.sampler_settings())


def sampler_hash(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def rollouts_sample(
    *,
    start_frame: StartFrame,
    policy_version: PolicyVersion,
    prompt: str,
    n: int,
    seed: int,
    ctx: JobContext | _Part | None = None,
) -> list[Rollout]:
    """Sample `n` rollouts of an approved start frame, with seeds `seed`, `seed + 1`, ...

    1. Dream in batches; every dream is stored, accepted or not, so that a page can say why one was rejected.
    2. Rejected dreams are replaced by dreams with further seeds, until `n` are accepted or `MAX_TRIES * n` were
       sampled. Rejections per constraint are counted from the rows (`selectors.rejection_counts`).
    3. Asking again for the same frame, version, prompt, seed and sampler gives the rows that are there.

    Returns all rows of this call, accepted and rejected, by seed. Under a job, cancellation is honoured between
    batches and each batch is written inside the job's fence.

    Raises RolloutsError if the frame is not approved, the prompt is empty, or `n` is not in 1..MAX_ROLLOUTS.
    """
    if start_frame.state != StartFrame.State.APPROVED:
        raise RolloutsError("Only approved start frames are sampled: approve this one first.", "frame_not_approved")
    if not prompt.strip():
        raise RolloutsError("The robot needs a prompt.", "no_prompt")
    if not 1 <= n <= MAX_ROLLOUTS:
        raise RolloutsError(f"Ask for 1 to {MAX_ROLLOUTS} rollouts at once.", "count_out_of_range")
    policy = policy_load(policy_version)
    frame = scaled(png_decode(blob_bytes(start_frame.image_id)), frame_size(policy_version))
    settings = sampler_settings(policy)
    rows: dict[int, Rollout] = {}
    tried = 0
    while True:
        missing = n - sum(row.accepted for row in rows.values())
        count = min(BATCH, missing, MAX_TRIES * n - tried)
        if count <= 0:
            break
        if ctx:
            ctx.check_cancelled()
        first = seed + tried
        found = {
            row.seed: row
            for row in Rollout.objects.filter(
                start_frame=start_frame,
                policy_version=policy_version,
                prompt=prompt,
                sampler_hash=sampler_hash(settings),
                seed__range=(first, first + count - 1),
            )
        }
        if len(found) < count:
            dreams = policy.dream(frame, prompt, n=count, seed=first)
            # Blobs are named by their content, so they may be written before it is sure that we still own the job.
            fields = [_fields(dream, settings, policy) for dream in dreams]
            with ctx.fence() if ctx else nullcontext(), transaction.atomic():
                for i, values in enumerate(fields):
                    row, _ = Rollout.objects.get_or_create(
                        start_frame=start_frame,
                        policy_version=policy_version,
                        prompt=prompt,
                        seed=first + i,
                        sampler_hash=sampler_hash(settings),
                        defaults=values,
                    )
                    found[row.seed] = row
                publish(f"rollouts:{start_frame.pk}", "rollouts.created", {"ids": [row.pk for row in found.values()]})
        rows.update(found)
        tried += count
        if ctx:
            accepted = sum(row.accepted for row in rows.values())
            ctx.progress(min(accepted, n), n, f"{accepted} of {n} accepted, {tried} dreamed")
    return [rows[key] for key in sorted(rows)]


def rollouts_sample_many(
    *,
    start_frames: Sequence[int],
    policy_version: PolicyVersion,
    n: int,
    seed: int,
    prompt: str = "",
    ctx: JobContext | None = None,
) -> dict[str, Any]:
    """Sample `n` rollouts of each frame; without a prompt each frame's scenario version says what the robot is told.

    Returns {"rollouts": n, "accepted": n, "rejected": {constraint: n}, "skipped": [sentence, ...]}. A frame whose approval
    was taken back meanwhile is skipped, not an error: the others are still wanted.
    """
    result: dict[str, Any] = {"rollouts": 0, "accepted": 0, "rejected": {}, "skipped": []}
    frames = {row.pk: row for row in StartFrame.objects.select_related("scenario_version").filter(pk__in=list(start_frames))}
    for at, pk in enumerate(start_frames):
        part = _Part(ctx, at, len(start_frames)) if ctx else None
        frame = frames.get(pk)
        if frame is None:
            result["skipped"].append(f"There is no start frame {pk}.")
            continue
        try:
            rows = rollouts_sample(
                start_frame=frame,
                policy_version=policy_version,
                prompt=prompt or frame.scenario_version.prompt,
                n=n,
                seed=seed,
                ctx=part,
            )
        except RolloutsError as error:
            if error.code != "frame_not_approved":
                raise
            result["skipped"].append(f"Start frame {pk}: {error}")
            continue
        result["rollouts"] += len(rows)
        result["accepted"] += sum(row.accepted for row in rows)
        for row in rows:
            for check in row.failed_checks:
                result["rejected"][check["name"]] = result["rejected"].get(check["name"], 0) + 1
    return result


class _Part:
    """A job's context as one frame of many sees it: its progress is a share of the whole."""

    def __init__(self, ctx: JobContext, at: int, parts: int) -> None:
        self._ctx, self._at, self._parts = ctx, at, parts
        self.check_cancelled, self.fence = ctx.check_cancelled, ctx.fence

    def progress(self, done: float, total: float, text: str = "") -> None:
        self._ctx.progress(self._at + done / total, self._parts, f"frame {self._at + 1} of {self._parts}: {text}")


def _fields(dream: Dream, settings: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """Everything of a rollout's row that comes from its dream; stores the blobs."""
    frames_THW3 = np.asarray(dream.frames)
    verdict = dream.verdict.to_dict()
    latents = np.ascontiguousarray(dream.latents, dtype=np.float16)
    start, *later = policy.probe.read(frames_THW3)
    return {
        "sampler": settings,
        "sprite": blob_store(png_bytes(sprite_sheet(frames_THW3)), "image/png"),
        "latents": blob_store(safetensors_bytes({"latents": latents}), "application/octet-stream", audience="researchers"),
        "frame_count": len(frames_THW3),
        "fps": policy.fps,
        "width": frames_THW3.shape[2],
        "height": frames_THW3.shape[1],
        "actions": rounded(dream.actions),
        "path": rounded(dream.path),
        "path_pixels": rounded(dream.path_pixels),
        "verdict": verdict,
        "accepted": bool(verdict["accepted"]),
        "value": float(dream.value),
        "success": min(1.0, max(0.0, float(dream.success))),
        "touches_dog": touched_at(start, later) is not None,
    }


def rounded(array: Any, digits: int = 4) -> list:
    """An array as nested lists for JSON: a tenth of a millimetre is enough."""
    return np.round(np.asarray(array, dtype=np.float64), digits).tolist()
