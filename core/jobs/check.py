"""`core.check`: a job that only waits. It shows from the jobs page that a queue's workers work, and lets tests break them."""

import time

from core.jobs.context import JobContext
from core.jobs.problems import JobProblem
from core.jobs.registry import job


def _check(ctx: JobContext, *, steps: int = 5, step_s: float = 0.2, fail: bool = False) -> dict[str, int]:
    """Take `steps` steps of `step_s` seconds each; every step leaves one fenced event."""
    for step in range(1, steps + 1):
        time.sleep(step_s)
        ctx.progress(step, steps, f"Step {step} of {steps}")
        ctx.event("step", {"step": step, "attempt": ctx.job.attempt})
    if fail:
        raise JobProblem("It was asked to fail.")
    return {"steps": steps}


@job("core.check", queue="cpu", title="Check the CPU workers")
def check_cpu(ctx: JobContext, *, steps: int = 5, step_s: float = 0.2, fail: bool = False) -> dict[str, int]:
    return _check(ctx, steps=steps, step_s=step_s, fail=fail)


@job("core.check_gpu", queue="gpu", title="Check the GPU workers")
def check_gpu(ctx: JobContext, *, steps: int = 5, step_s: float = 0.2, fail: bool = False) -> dict[str, int]:
    return _check(ctx, steps=steps, step_s=step_s, fail=fail)
