"""Mining: run a search, propose its finds, let an admin decide, and ask the real world."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction
from django.utils import timezone

from core import audit
from core.events import publish
from core.jobs import submit
from core.media import blob_bytes, blob_store
from rollouts import closed_loop
from rollouts import factors as scene_factors
from rollouts.images import png_bytes, png_decode, strip
from rollouts.mining import Evidence, Forecast, Genome, Search, Tried, attempt, forecast_for, proposals
from rollouts.mining.forecast import FACTS
from rollouts.mining.search import PROMPTS
from rollouts.models import MiningCandidate, MiningRun, PolicyVersion, Scenario, StartFrame
from rollouts.selectors.mining import run_figures
from rollouts.services.acts import submit_act
from rollouts.services.errors import RolloutsError
from rollouts.services.frames import start_frame_create, start_frames_review
from rollouts.services.scenarios import scenario_create, scenario_set_state
from rollouts.services.versions import policy_load

if TYPE_CHECKING:
    from core.jobs import JobContext
    from core.models import Job, User
    from rollouts.dreams.policy import Policy

BATCH = 4
# Less than this is no search; a command may still try a few. Its bounds are those of forms and the API, too.
MIN_BUDGET = 8
MAX_BUDGET = 5000
MIN_DREAMS = 2
MAX_DREAMS = 16
# What a person who says nothing else gets.
START = {"budget": 96, "dreams": 4}
PROPOSALS = 24
STRIP_PICTURES = 5
MAX_DECISIONS = 200
TASKS = {"": "any", "go": "go to a thing", "bring": "bring a thing to the mat"}
DECIDED = (MiningCandidate.State.ACCEPTED, MiningCandidate.State.DECLINED)


def mining_start(*, policy_version: PolicyVersion, budget: int, dreams: int, seed: int, by: User, task: str = "", trigger: str = "page") -> Job:
    """Queue a search that a person asked for; `mining_run` is what the job does.

    Raises RolloutsError for a budget or a number of dreams out of range, and for a task that is none of `TASKS`.
    """
    if not MIN_BUDGET <= budget <= MAX_BUDGET or not MIN_DREAMS <= dreams <= MAX_DREAMS:
        raise RolloutsError(f"Try {MIN_BUDGET} to {MAX_BUDGET} start frames with {MIN_DREAMS} to {MAX_DREAMS} dreams each.", "count_out_of_range")
    _check_task(task)
    params = {"policy_version": policy_version.pk, "budget": budget, "dreams": dreams, "seed": seed, "task": task, "trigger": trigger}
    return submit_act(kind="rollouts.mine", params=params, by=by, target=policy_version)


def mining_run(
    *,
    policy_version: PolicyVersion,
    budget: int,
    dreams: int,
    seed: int = 0,
    task: str = "",
    strategy: str = "map_elites",
    trigger: str = "page",
    created_by: Any = None,
    ctx: JobContext | None = None,
    say: Callable[[str], None] | None = None,
) -> MiningRun:
    """Search the household world for start frames at which the policy is likely to fail, and propose the likeliest and those whose dreams disagree.

    1. Draw genomes (prompt, factors, seed), photograph some layouts of each in the world, dream `dreams` episodes of the one that looks worst.
    2. Score by `rollouts.mining.Forecast`, which knows what the version's replays in physics have taught by then (`forecast_of`); store every
       try, so that the coverage map knows what was tried.
    3. Propose up to `PROPOSALS` of them (`rollouts.mining.proposals`), with a strip of the worst episode as evidence.

    task: that prompts ask for, one of `TASKS`; "" for any. A search for any finds mostly what the policy is worse at.

    A job that is started again after its worker died goes on with a fresh run; the old one keeps its tries.

    Raises RolloutsError for a budget or a number of dreams out of range, and for a task that is none of `TASKS`.
    """
    if not 1 <= budget <= MAX_BUDGET or not MIN_DREAMS <= dreams <= MAX_DREAMS:
        raise RolloutsError(f"Try 1 to {MAX_BUDGET} start frames with {MIN_DREAMS} to {MAX_DREAMS} dreams each.", "count_out_of_range")
    _check_task(task)
    from rollouts.worlds import make_world

    policy = policy_load(policy_version)
    with _fence(ctx):
        run = MiningRun.objects.create(
            policy_version=policy_version,
            options={"budget": budget, "dreams": dreams, "seed": seed, "task": task, "strategy": strategy},
            trigger=trigger,
            job=ctx.job if ctx else None,
            created_by=created_by,
        )
    search = Search(seed=seed, strategy=strategy, kinds=[task] if task else list(PROMPTS))
    forecast = forecast_of(policy_version=policy_version, policy=policy)
    rows: dict[tuple[str, int, str], MiningCandidate] = {}
    began = time.monotonic()
    world = make_world("household")
    try:
        while len(search.tried) < budget:
            if ctx:
                ctx.check_cancelled()
            made = attempt(policy, world, search, min(BATCH, budget - len(search.tried)), dreams, forecast)
            with _fence(ctx):
                for one in made:
                    genome = one.tried.genome
                    rows[_key(genome)] = MiningCandidate.objects.create(
                        run=run,
                        cell=genome.cell,
                        prompt=genome.prompt,
                        world_spec=genome.to_spec(),
                        objective=one.tried.objective,
                        evidence=_evidence(one.tried),
                        image=blob_store(png_bytes(one.frame), "image/png"),
                        strip=blob_store(png_bytes(strip(one.worst, STRIP_PICTURES)), "image/png"),
                    )
                publish("mining:all", "mining.tried", {"run": run.pk, "tried": len(search.tried)})
            text = f"{len(search.tried)} of {budget} tried, {len(search.archive)} of {len(search.cells)} cells"
            if ctx:
                ctx.progress(len(search.tried), budget, text)
            if say:
                say(text)
    finally:
        world.close()
    proposed = proposals(search.tried, PROPOSALS)
    with _fence(ctx):
        for why in MiningCandidate.Why.values:
            ids = [rows[_key(one.genome)].pk for one, reason in proposed if reason == why]
            MiningCandidate.objects.filter(pk__in=ids).update(state=MiningCandidate.State.PROPOSED, why=why)
        run.summary = {
            "evaluated": len(search.tried),
            "proposed": len(proposed),
            "cells": len(search.archive),
            "cells_total": len(search.cells),
            "best": round(max(one.objective for one in search.tried), 4),
            "mean": round(float(np.mean([one.objective for one in search.tried])), 4),
            "taught_by": forecast.episodes if forecast else 0,
            "seconds": round(time.monotonic() - began, 1),
        }
        run.finished_at = timezone.now()
        run.save(update_fields=["summary", "finished_at"])
        publish("mining:all", "mining.finished", {"run": run.pk, "proposed": len(proposed)})
    return run


def _check_task(task: str) -> None:
    if task not in TASKS:
        raise RolloutsError(f"A search is for one of these tasks: {', '.join(PROMPTS)}; or for any.", "unknown_task")


def _fence(ctx: JobContext | None) -> Any:
    return ctx.fence() if ctx else transaction.atomic()


def _key(genome: Genome) -> tuple[str, int, str]:
    return (genome.prompt, genome.seed, genome.cell)


def _evidence(tried: Tried) -> dict[str, Any]:
    """As `MiningCandidate.evidence`."""
    layout = {} if tried.facts is None else {"layout": {name: round(number, 4) for name, number in zip(FACTS, tried.facts, strict=True)}}
    return {**tried.evidence.to_dict(), **layout}


def forecast_of(*, policy_version: PolicyVersion, policy: Policy) -> Forecast | None:
    """What is known of where this version fails: what mining ships with, and what the replays of its own candidates have taught since. None for a
    version whose world model has no tracker."""
    forecast = forecast_for(policy)
    if forecast is None:
        return None
    played = MiningCandidate.objects.filter(run__policy_version=policy_version, real__isnull=False, evidence__layout__isnull=False).order_by("id")
    rows = [row for row in played.values_list("evidence", "real__failed") if row[0]["layout"].keys() == set(FACTS)]
    facts = np.array([[said["layout"][name] for name in FACTS] for said, _ in rows]).reshape(len(rows), len(FACTS))
    return forecast.taught(facts, [Evidence.from_dict(said) for said, _ in rows], np.array([failed for _, failed in rows], dtype=bool))


@transaction.atomic
def mining_candidate_accept(*, candidate: MiningCandidate, by: Any, reason: str = "") -> StartFrame:
    """Make a proposal a start frame: approved, in an active scenario of its factors and prompt (made if there is none).

    The probe reads it in a job. The audit log keeps the reason. Raises RolloutsError if it was decided before.
    """
    frame = _accept(candidate, by, reason)
    _probe_later([frame], candidate.run, by)
    return frame


def _probe_later(frames: Sequence[StartFrame], run: MiningRun, by: Any) -> None:
    if frames:
        params = {"start_frames": [frame.pk for frame in frames], "policy_version": run.policy_version_id}
        submit(kind="rollouts.probe", params=params, created_by=by)


def _accept(candidate: MiningCandidate, by: Any, reason: str) -> StartFrame:
    row = _undecided(candidate)
    scene = row.world_spec["factors"]
    scenario = (
        Scenario.objects.filter(origin=Scenario.Origin.MINED, versions__factors=scene, versions__prompt=row.prompt, state="active").order_by("pk").first()
    )
    if scenario is None or scenario.current.factors != scene or scenario.current.prompt != row.prompt:
        words = ", ".join(scene_factors.phrase(name, scene[name]) for name in scene_factors.CELL_FACTORS if name in scene)
        scenario = scenario_create(
            name=f"Mined: {words}; {row.prompt}"[:120],
            content={
                "prompt": row.prompt,
                "scene_text": scene_factors.describe(scene, row.prompt),
                "factors": scene,
                "tags": ["mined"],
                "severity": 5 if row.evidence.get("contact", 0) >= 0.5 else 3,
                "behaviours": "The policy was dreamed to fail here. Watch whether it touches the dog or misses its target.",
            },
            created_by=by,
            origin=Scenario.Origin.MINED,
        )
        scenario_set_state(scenario=scenario, state="active", by=by, reason="mined")
    frame = start_frame_create(
        scenario_version=scenario.current,
        frame=png_decode(blob_bytes(row.image_id)),
        source=StartFrame.Source.CAPTURED,
        seed=row.world_spec["seed"],
        world_spec=row.world_spec,
        policy_version=row.run.policy_version,
        created_by=by,
    )
    start_frames_review(ids=[frame.pk], state="approved", by=by, note=f"mined in run {row.run_id}")
    _decide(row, MiningCandidate.State.ACCEPTED, by, frame, reason)
    frame.refresh_from_db()
    return frame


@transaction.atomic
def mining_candidate_decline(*, candidate: MiningCandidate, by: Any, reason: str = "") -> None:
    """Turn a proposal down. Raises RolloutsError if it was decided before."""
    _decide(_undecided(candidate), MiningCandidate.State.DECLINED, by, None, reason)


def mining_candidates_decide(*, ids: Sequence[int], accept: bool, by: Any, reason: str = "") -> dict[str, int]:
    """Accept or decline many proposals at once: all of them or, if one goes wrong, none.

    Those that somebody decided meanwhile are left as they are; the audit log keeps the reason with each of the others.

    Returns {"decided": n, "before": n decided before}.

    Raises RolloutsError for none, for more than `MAX_DECISIONS`, or for one that does not exist.
    """
    wanted = sorted(set(ids))
    if not 1 <= len(wanted) <= MAX_DECISIONS:
        raise RolloutsError(f"Select 1 to {MAX_DECISIONS} proposals.", "count_out_of_range")
    with transaction.atomic():
        rows = list(MiningCandidate.objects.select_for_update(of=("self",)).filter(pk__in=wanted).order_by("-objective", "id"))
        if len(rows) != len(wanted):
            raise RolloutsError("One of these proposals does not exist.", "no_candidate")
        still_open = [row for row in rows if row.state not in DECIDED]
        if accept:
            _probe_later([_accept(row, by, reason) for row in still_open], rows[0].run, by)
        else:
            for row in still_open:
                mining_candidate_decline(candidate=row, by=by, reason=reason)
    return {"decided": len(still_open), "before": len(rows) - len(still_open)}


def _undecided(candidate: MiningCandidate) -> MiningCandidate:
    row = MiningCandidate.objects.select_for_update(of=("self",)).select_related("run__policy_version").get(pk=candidate.pk)
    if row.state in DECIDED:
        raise RolloutsError(f"This proposal was {row.get_state_display().lower()} already.", "decided")
    return row


def _decide(row: MiningCandidate, state: str, by: Any, frame: StartFrame | None, reason: str = "") -> None:
    before = row.state
    row.state, row.start_frame, row.reviewed_by, row.reviewed_at = state, frame, by, timezone.now()
    row.save(update_fields=["state", "start_frame", "reviewed_by", "reviewed_at"])
    audit.record(
        actor=by,
        action=f"mining.{state}",
        target=row,
        before={"state": before},
        after={"state": state, "start_frame": frame.pk if frame else None, "objective": row.objective},
        reason=reason,
    )


def mining_verify_start(*, run: MiningRun, by: User) -> Job:
    """Queue the replay of a run's worst candidates; `mining_verify` is what the job does.

    Raises RolloutsError while the search goes on: its worst are not known yet.
    """
    if run.finished_at is None:
        raise RolloutsError("This search has not finished: its worst finds are not known yet.", "run_unfinished")
    return submit_act(kind="rollouts.mine_verify", params={"run": run.pk}, by=by, target=run)


def mining_verify(*, run: MiningRun, limit: int = 50, n: int = 1, ctx: JobContext | None = None) -> dict[str, Any]:
    """Replay a run's worst candidates in physics under the run's policy: does a dreamed failure really happen?

    Returns {"episodes", "failures", "contacts"}. Raises RolloutsError if no closed loop is installed.
    """
    if not closed_loop.available():
        raise RolloutsError("Episodes in the world need the training app, which is not installed.", "no_closed_loop")
    rows = list(run.candidates.filter(real__isnull=True).order_by("-objective", "id")[:limit])
    policy = policy_load(run.policy_version)
    done = 0
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        if ctx:
            ctx.check_cancelled()
        outcomes = closed_loop.run(policy=policy, specs=[row.world_spec for row in part], n=n)
        with _fence(ctx) if ctx else nullcontext():
            for row, outcome in zip(part, outcomes, strict=True):
                row.real = outcome.to_dict()
                row.save(update_fields=["real"])
        done += len(part)
        if ctx:
            ctx.progress(done, len(rows), f"{done} of {len(rows)} episodes")
    figures = run_figures(run=run)
    return {name: figures[name] for name in ("episodes", "failures", "contacts")}
