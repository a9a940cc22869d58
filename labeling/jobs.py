"""Background work of labeling."""

from __future__ import annotations

from core.jobs import JobContext, job
from labeling.services.estimates import annotator_estimates_fit
from labeling.services.leases import leases_expire
from labeling.services.pairs import comparisons_make_ahead
from labeling.services.supply import JOB_KIND
from labeling.services.webhooks import JOB_KIND as WEBHOOKS_KIND
from labeling.services.webhooks import webhooks_deliver


@job(JOB_KIND, queue="cpu", title="Make comparisons ahead", every_s=300)
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


@job("labeling.annotator_model", queue="cpu", title="Fit the annotator model", every_s=900)
def annotator_model(ctx: JobContext, force: bool = False) -> dict:
    with ctx.fence():
        return {"annotators": len(annotator_estimates_fit(force=force))}


@job(WEBHOOKS_KIND, queue="cpu", title="Send webhooks", every_s=300)
def webhooks(ctx: JobContext) -> dict:
    # Not fenced: each delivery is claimed by its own row, and a request to the outside can not be rolled back anyway.
    return webhooks_deliver()


@job("labeling.demo", queue="cpu", max_attempts=20, title="Make the demo's comparisons")
def demo(ctx: JobContext) -> dict:
    # Torch is loaded only here: a worker that never runs the demo does without it.
    from labeling.demo import make

    return make(ctx)
