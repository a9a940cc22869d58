"""Background work of labeling."""

from __future__ import annotations

from core.jobs import JobContext, job
from labeling.services.leases import leases_expire
from labeling.services.pairs import comparisons_make_ahead
from labeling.services.supply import JOB_KIND


@job(JOB_KIND, queue="cpu", title="Make comparisons ahead")
def pairs_ahead(
    ctx: JobContext,
    count: int | None = None,
    strategy: str | None = None,
    scenarios: list[int] | None = None,
    policy_versions: list[int] | None = None,
    required_overlap: int | None = None,
    seed: int | None = None,
) -> dict:
    leases_expire(limit=1000)
    return comparisons_make_ahead(
        count=count,
        strategy=strategy,
        scenarios=scenarios or (),
        policy_versions=policy_versions or (),
        required_overlap=required_overlap,
        seed=seed,
        progress=lambda done, total: ctx.progress(done, total, f"{done} of {total} comparisons"),
        fence=ctx.fence,
    )
