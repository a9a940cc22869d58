"""The work that takes longer than a request: parse the parameters, call one service.

Importing this module registers the kinds (`core.jobs.job`).
"""

from __future__ import annotations

from typing import Any

from core.jobs import JobContext, job
from rollouts import demo, services
from rollouts.models import MiningRun, PolicyVersion, ScenarioVersion, StartFrame
from rollouts.services.mining import TASKS
from rollouts.services.versions import ROUTINE


@job("rollouts.sample", queue="gpu", max_attempts=3, title="Sample rollouts")
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


@job("rollouts.imagine", queue="gpu", max_attempts=3, title="Generate start frames")
def imagine(
    ctx: JobContext, *, scenario_version: int, policy_version: int, n: int, seed: int = 0, scene_text: str = "", like: int | None = None, closeness: float = 0.8
) -> dict[str, Any]:
    """Generate start frames from words; with `like`, variations of that seed's frame."""
    rows = services.start_frames_imagine(
        scenario_version=ScenarioVersion.objects.select_related("scenario").get(pk=scenario_version),
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        n=n,
        seed=seed,
        scene_text=scene_text,
        like=like,
        closeness=closeness,
        created_by=ctx.job.created_by,
        ctx=ctx,
    )
    return {"start_frames": [row.pk for row in rows]}


@job("rollouts.capture", queue="gpu", max_attempts=3, title="Capture start frames")
def capture(ctx: JobContext, *, scenario_version: int, policy_version: int | None = None, n: int, seed: int = 0) -> dict[str, Any]:
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


@job("rollouts.probe", queue="gpu", max_attempts=3, title="Read start frames")
def probe(ctx: JobContext, *, start_frames: list[int], policy_version: int) -> dict[str, Any]:
    """Let the probe read frames that nobody has read yet: uploads, moments of rollouts, and what mining found."""
    return services.start_frames_probe(
        start_frames=StartFrame.objects.filter(pk__in=start_frames).select_related("scenario_version__scenario"),
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        ctx=ctx,
    )


@job(demo.JOB_KIND, queue="gpu", max_attempts=3, title="Demo start frames")
def demo_frames(ctx: JobContext, *, policy_version: int) -> dict[str, Any]:
    """Start frames of the world model's own for the demo scenarios."""
    return demo.generate(version=PolicyVersion.objects.get(pk=policy_version), ctx=ctx)


@job("rollouts.mine", queue="gpu", max_attempts=2, title="Mining")
def mine(
    ctx: JobContext,
    *,
    policy_version: int,
    budget: int,
    dreams: int = 4,
    seed: int = 0,
    task: str = "",
    strategy: str = "map_elites",
    trigger: str = "page",
) -> dict[str, Any]:
    """Search for start frames where the policy fails."""
    run = services.mining_run(
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        budget=budget,
        dreams=dreams,
        seed=seed,
        task=task,
        strategy=strategy,
        trigger=trigger,
        created_by=ctx.job.created_by,
        ctx=ctx,
    )
    return {"run": run.pk, **run.summary}


@job("rollouts.mine_daily", queue="gpu", max_attempts=1, title="Daily mining", every_s=24 * 3600)
def mine_daily(ctx: JobContext) -> dict[str, Any] | None:
    """A routine search under the active version, with a seed that no run of it has used; for any task, and for each alone, in turn."""
    version = PolicyVersion.objects.filter(is_active=True).first()
    if version is None:
        return {"skipped": "No policy version is active."}
    seed = MiningRun.objects.filter(policy_version=version).count()
    task = list(TASKS)[seed % len(TASKS)]
    run = services.mining_run(policy_version=version, seed=seed, task=task, trigger="schedule", ctx=ctx, budget=ROUTINE["budget"], dreams=ROUTINE["dreams"])
    return {"run": run.pk, **run.summary}


@job("rollouts.mine_verify", queue="gpu", max_attempts=2, title="Replay mined start frames in the world")
def mine_verify(ctx: JobContext, *, run: int, limit: int = 50, n: int = 1) -> dict[str, Any]:
    """Replay a mining run's worst candidates in physics."""
    return services.mining_verify(run=MiningRun.objects.select_related("policy_version").get(pk=run), limit=limit, n=n, ctx=ctx)


@job("rollouts.verify", queue="gpu", max_attempts=2, title="Verify a scenario in the world")
def verify(ctx: JobContext, *, scenario_version: int, policy_version: int, episodes: int, dreams: int = 4, seed: int = 0, n: int = 1) -> dict[str, Any]:
    """A scenario's dreamed failure rate beside its real one."""
    row = services.scenario_verify(
        scenario_version=ScenarioVersion.objects.get(pk=scenario_version),
        policy_version=PolicyVersion.objects.get(pk=policy_version),
        episodes=episodes,
        dreams=dreams,
        seed=seed,
        n=n,
        ctx=ctx,
    )
    return {"verification": row.pk, "real_failures": row.real_failures, "real_n": row.real_n}
