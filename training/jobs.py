"""The work that takes longer than a request: parse the parameters, call one service.

Importing this module registers the kinds (`core.jobs.job`).
"""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError

from core.jobs import JobCancelled, JobContext, JobLeaseLost, JobProblem, JobRetry, job
from rollouts.models import PolicyVersion
from training import services
from training.models import Evaluation, Round

# A killed worker costs an attempt, and a long stage may meet several.
ATTEMPTS = 5


def stage(ctx: JobContext, round_id: int, name: str) -> dict[str, Any]:
    """Run a stage. An error that ends the job also ends the round, in the same words.

    Trouble that passes (a database away for a moment) is tried again by the job; if its attempts run out, or its worker
    dies too often, `training.watch` ends the round.
    """
    try:
        return services.stage_run(round_id=round_id, stage=name, ctx=ctx)
    except (JobCancelled, JobLeaseLost, JobRetry, OperationalError, InterfaceError, ConnectionError, TimeoutError):
        raise
    except Exception as error:
        text = str(error) if isinstance(error, JobProblem) else f"Something in Dreamfork broke ({type(error).__name__}: {error})."
        with ctx.fence():
            services.round_fail(row=Round.objects.get(pk=round_id), error=text)
        raise


@job("training.round_snapshot", queue="gpu", max_attempts=ATTEMPTS, title="Round: snapshot of choices")
def round_snapshot(ctx: JobContext, *, round: int) -> dict[str, Any]:
    return stage(ctx, round, Round.Stage.SNAPSHOT)


@job("training.round_post_train", queue="gpu", max_attempts=ATTEMPTS, title="Round: DPO post-training")
def round_post_train(ctx: JobContext, *, round: int) -> dict[str, Any]:
    return stage(ctx, round, Round.Stage.POST_TRAIN)


@job("training.round_value_head", queue="gpu", max_attempts=ATTEMPTS, title="Round: value head")
def round_value_head(ctx: JobContext, *, round: int) -> dict[str, Any]:
    return stage(ctx, round, Round.Stage.VALUE_HEAD)


@job("training.round_evaluate", queue="gpu", max_attempts=ATTEMPTS, title="Round: evaluation")
def round_evaluate(ctx: JobContext, *, round: int) -> dict[str, Any]:
    return stage(ctx, round, Round.Stage.EVALUATE)


@job("training.round_gate", queue="gpu", max_attempts=ATTEMPTS, title="Round: gate")
def round_gate(ctx: JobContext, *, round: int) -> dict[str, Any]:
    return stage(ctx, round, Round.Stage.GATE)


@job("training.evaluate", queue="gpu", max_attempts=ATTEMPTS, title="Evaluation")
def evaluate(ctx: JobContext, *, evaluation: int) -> dict[str, Any]:
    row = Evaluation.objects.select_related("policy_version").get(pk=evaluation)
    return services.evaluation_run(evaluation=row, ctx=ctx, progress=lambda done, total: ctx.progress(done, total, f"{done} of {total} episodes"))


@job("training.next_rollouts", queue="gpu", max_attempts=3, title="First rollouts of a promoted version")
def next_rollouts(ctx: JobContext, *, start_frames: list[int], policy_version: int, n: int) -> dict[str, Any]:
    version = PolicyVersion.objects.get(pk=policy_version)
    return services.next_rollouts_run(version=version, start_frames=start_frames, n=n, ctx=ctx)


@job("training.watch", queue="cpu", max_attempts=1, title="Rounds: schedules and lost jobs", every_s=60)
def watch(ctx: JobContext) -> dict[str, Any]:
    """Start rounds that are due, and end rounds and evaluations whose job ended without them."""
    return {"reconciled": services.rounds_reconcile() + services.evaluations_reconcile(), "started": services.round_schedules_run()}
