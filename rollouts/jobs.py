"""The work that takes longer than a request: parse the parameters, call one service.

Importing this module registers the kinds (`core.jobs.job`).
"""

from __future__ import annotations

from typing import Any

from core.jobs import JobContext, job
from rollouts import services
from rollouts.models import PolicyVersion, ScenarioVersion, StartFrame


@job("rollouts.sample", queue="gpu", max_attempts=3)
def sample(
    ctx: JobContext,
    *,
    start_frames: list[int],
    policy_version: int,
    n: int,
    seed: int = 0,
    prompt: str = "",
) -> dict[str, Any]:
    """Sample `n` rollouts of each start frame; without a prompt each frame's scenario says what the robot is told."""
    return services.rollouts_sample_many(
        start_frames=start_frames,
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        prompt=prompt,
        n=n,
        seed=seed,
        ctx=ctx,
    )


@job("rollouts.imagine", queue="gpu", max_attempts=3)
def imagine(
    ctx: JobContext, *, scenario_version: int, policy_version: int, n: int, seed: int = 0, scene_text: str = ""
) -> dict[str, Any]:
    """Generate start frames from words."""
    rows = services.start_frames_imagine(
        scenario_version=ScenarioVersion.objects.select_related("scenario").get(pk=scenario_version),
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        n=n,
        seed=seed,
        scene_text=scene_text,
        created_by=ctx.job.created_by,
        ctx=ctx,
    )
    return {"start_frames": [row.pk for row in rows]}


@job("rollouts.capture", queue="gpu", max_attempts=3)
def capture(
    ctx: JobContext, *, scenario_version: int, policy_version: int | None = None, n: int, seed: int = 0
) -> dict[str, Any]:
    """Photograph the household world with the scenario's factors set."""
    rows = services.start_frame_capture(
        scenario_version=ScenarioVersion.objects.select_related("scenario").get(pk=scenario_version),
        policy_version=PolicyVersion.objects.get(pk=policy_version) if policy_version else None,
        n=n,
        seed=seed,
        created_by=ctx.job.created_by,
        ctx=ctx,
    )
    return {"start_frames": [row.pk for row in rows]}


@job("rollouts.probe", queue="gpu", max_attempts=3)
def probe(ctx: JobContext, *, start_frames: list[int], policy_version: int) -> dict[str, Any]:
    """Let the probe read frames that nobody has read yet (uploads)."""
    return services.start_frames_probe(
        start_frames=StartFrame.objects.filter(pk__in=start_frames).select_related("scenario_version__scenario"),
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        ctx=ctx,
    )
