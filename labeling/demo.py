"""Demo content: comparisons of the demo rollouts, a qualifying set, and some simulated annotators who have been here already."""

from __future__ import annotations

from typing import Any

import numpy as np
import structlog

from core.jobs import JobContext, JobProblem, JobRetry, submit
from core.media import blob_bytes
from core.models import Job
from labeling import services
from labeling.models import Choice, Comparison
from labeling.services.simulation import judge_load, simulation_run
from labeling.simulate import Judge, Teacher, Verdict
from rollouts.images import png_decode, sprite_frames
from rollouts.models import Rollout

log = structlog.get_logger(__name__)

JOB_KIND = "labeling.demo"
# Fewer rollouts than this: the sampling has only begun.
ROLLOUTS_AT_LEAST = 16
COMPARISONS = 90
EXAMPLES, QUALIFYING, MIXED_IN = 2, 4, 4
# A pair is gold by the probe only where the two differ by about "one got there, the other hardly moved or did harm".
CLEAR = 0.6
SIMULATED_CHOICES = 30
TEACHERS = (Teacher(skip=0.03), Teacher(mistake=0.2, skip=0.03), Teacher(mistake=0.05, equal=0.05, skip=0.03))


def load() -> dict[str, int]:
    """Submit the job that makes the demo's comparisons once its rollouts are dreamed. Returns {"jobs": n} of what was made."""
    job = submit(kind=JOB_KIND, params={}, idempotency_key=JOB_KIND)
    return {"jobs": int(job.attempt == 0 and job.state == job.State.QUEUED)}


def make(ctx: JobContext) -> dict[str, Any]:
    """The job: comparisons, gold pairs that the probe is sure of, choices of simulated annotators. Goes on where it was.

    Where the kinematic checks let too few rollouts through, the demo compares the rejected ones too, rather than nothing.
    """
    accepted = Rollout.objects.filter(accepted=True).count()
    sampling = Job.objects.filter(kind="rollouts.sample", state__in=[Job.State.QUEUED, Job.State.RUNNING]).exists()
    if accepted < ROLLOUTS_AT_LEAST and (sampling or not Rollout.objects.exists()):
        raise JobRetry(f"{accepted} of {ROLLOUTS_AT_LEAST} rollouts are there; their sampling has to come first.")
    if Rollout.objects.count() < 2:
        raise JobProblem("The demo's rollouts could not be sampled, so there is nothing to compare.")
    if not Comparison.objects.exists():
        ctx.progress(0, 3, "choosing pairs")
        services.comparisons_make_ahead(count=COMPARISONS, seed=0, fence=ctx.fence, include_rejected=accepted < ROLLOUTS_AT_LEAST)
    judge = judge_load()
    if not Comparison.objects.filter(kind=Comparison.Kind.GOLD).exists():
        ctx.progress(1, 3, "looking for pairs with a clear answer")
        _gold(ctx, judge)
    done = Choice.objects.filter(is_simulated=True).count()
    for number, teacher in enumerate(TEACHERS):
        ctx.progress(2 + number / len(TEACHERS), 3, "simulated annotators answer")
        share = SIMULATED_CHOICES // len(TEACHERS)
        if done < share * (number + 1):
            simulation_run(judge=judge, teacher=teacher, choices=share, in_process=True, seed=number, prefix=f"simulated-demo-{number + 1}")
    with ctx.fence():
        services.annotator_estimates_fit()
    made = {
        "comparisons": Comparison.objects.filter(kind=Comparison.Kind.NORMAL).count(),
        "gold": Comparison.objects.filter(kind=Comparison.Kind.GOLD).count(),
        "choices": Choice.objects.count(),
    }
    log.info("demo.labeling", **made)
    return made


def _gold(ctx: JobContext, judge: Judge) -> None:
    clear: list[tuple[float, Comparison, Verdict, Verdict]] = []
    pairs = list(Comparison.objects.filter(answered=0, leased=0, kind=Comparison.Kind.NORMAL).select_related("rollout_a", "rollout_b"))
    verdicts: dict[int, Verdict] = {}
    for comparison in pairs:
        ctx.check_cancelled()
        for rollout in (comparison.rollout_a, comparison.rollout_b):
            if rollout.pk not in verdicts:
                verdicts[rollout.pk] = judge.look(_frames(rollout), rollout.prompt)
        a, b = verdicts[comparison.rollout_a_id], verdicts[comparison.rollout_b_id]
        gap = Teacher().utility(a).value - Teacher().utility(b).value
        if abs(gap) >= CLEAR:
            clear.append((gap, comparison, a, b))
    clear.sort(key=lambda found: -abs(found[0]))
    for number, (gap, comparison, a, b) in enumerate(_varied(clear)[: EXAMPLES + QUALIFYING + MIXED_IN]):
        better, worse = (a, b) if gap > 0 else (b, a)
        with ctx.fence():
            services.comparison_make_gold(
                comparison=comparison, answer="a" if gap > 0 else "b", note=_note(better, worse), by=None,
                example=number < EXAMPLES, qualifying=number >= EXAMPLES and number % 2 == 0,
            )  # fmt: skip


def _varied(clear: list[tuple[float, Comparison, Verdict, Verdict]]) -> list[tuple[float, Comparison, Verdict, Verdict]]:
    """The clearest pair of each start frame, then the second of each, and so on: the guide shall not show one scene twice."""
    turn: dict[int, int] = {}
    order = []
    for found in clear:
        frame = found[1].start_frame_id
        order.append(turn.get(frame, 0))
        turn[frame] = turn.get(frame, 0) + 1
    return [found for _, found in sorted(zip(order, clear, strict=True), key=lambda one: one[0])]


def _frames(rollout: Rollout) -> np.ndarray:
    return sprite_frames(png_decode(blob_bytes(rollout.sprite_id)), rollout.frame_count, rollout.height, rollout.width)


def _note(better: Verdict, worse: Verdict) -> str:
    """Why, in words that a new annotator understands."""
    if worse.contact.any() and not better.contact.any():
        return "The worse one touches the dog; the better one keeps clear of it."
    if better.success and not worse.success:
        return "The better one does what the prompt asks; the worse one does not get there."
    if better.plausible and not worse.plausible:
        return "In the worse one the robot jumps or falls apart."
    return "The better one gets much further with what the prompt asks."
