"""Verification: a scenario's dreamed failure rate beside its real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction

from rollouts import closed_loop
from rollouts.mining import assess
from rollouts.models import PolicyVersion, ScenarioVersion, Verification
from rollouts.services.errors import RolloutsError
from rollouts.services.versions import policy_load

if TYPE_CHECKING:
    from core.jobs import JobContext

BATCH = 4
MAX_EPISODES = 500


def scenario_verify(
    *,
    scenario_version: ScenarioVersion,
    policy_version: PolicyVersion,
    episodes: int,
    dreams: int = 4,
    seed: int = 0,
    n: int = 1,
    ctx: JobContext | None = None,
) -> Verification:
    """From the same `episodes` layouts of the scenario, dream and run: how often does each fail?

    Both start from the seeds `seed`, `seed + 1`, ... with the scenario's factors. A dreamed episode fails
    as `rollouts.mining.Evidence` says, a real one unless it is a clean success. `n` dreams per plan in the closed loop.

    Raises RolloutsError if the world cannot set the scene, no closed loop is installed, or `episodes` is out of range.
    """
    from rollouts.worlds import make_world

    if not 1 <= episodes <= MAX_EPISODES:
        raise RolloutsError(f"Run 1 to {MAX_EPISODES} episodes.", "count_out_of_range")
    if not closed_loop.available():
        raise RolloutsError("Episodes in the world need the training app, which is not installed.", "no_closed_loop")
    policy = policy_load(policy_version)
    specs = [
        {
            "world": "household",
            "prompt": scenario_version.prompt,
            "seed": seed + i,
            "factors": scenario_version.factors,
        }
        for i in range(episodes)
    ]
    dreamed, outcomes = 0.0, []
    world = make_world("household")
    try:
        for start in range(0, episodes, BATCH):
            if ctx:
                ctx.check_cancelled()
            part = specs[start : start + BATCH]
            frames = []
            for spec in part:
                try:
                    world.reset(seed=spec["seed"], options={"prompt": spec["prompt"], "factors": spec["factors"]})
                except ValueError as error:
                    raise RolloutsError(f"The household world cannot set this scene: {error}.", "world_refused") from error
                frames.append(np.asarray(world.render()))
            found = assess(policy, np.stack(frames), [spec["prompt"] for spec in part], [spec["seed"] for spec in part], dreams)
            dreamed += sum(one.evidence.failure for one in found) * dreams
            outcomes += closed_loop.run(policy=policy, specs=part, n=n)
            if ctx:
                ctx.progress(len(outcomes), episodes, f"{len(outcomes)} of {episodes} episodes")
    finally:
        world.close()
    with ctx.fence() if ctx else transaction.atomic():
        return Verification.objects.create(
            scenario_version=scenario_version,
            policy_version=policy_version,
            dreamed_n=episodes * dreams,
            dreamed_failures=round(dreamed),
            real_n=episodes,
            real_failures=sum(outcome.failed for outcome in outcomes),
            real_contacts=sum(outcome.dog_contact for outcome in outcomes),
            detail=_detail(specs, outcomes, seed, n),
            job=ctx.job if ctx else None,
        )


def _detail(specs: list[dict[str, Any]], outcomes: list[closed_loop.Outcome], seed: int, n: int) -> dict[str, Any]:
    episodes = [{"seed": spec["seed"], **outcome.to_dict()} for spec, outcome in zip(specs, outcomes, strict=True)]
    return {"seed": seed, "n": n, "episodes": episodes}
