"""Keep the queue filled: ask for new comparisons before the last one is leased."""

from __future__ import annotations

import time

from django.db.models import Max

from labeling.models import Comparison, Project
from rollouts.models import Rollout

JOB_KIND = "labeling.pairs_ahead"
# Looking at the queue's level on every call would cost more than it tells.
LOOK_SHARE = 0.05
ASK_EVERY_S = 20


def places_open(*, at_most: int) -> int:
    """Comparisons of the queue with a free place, counted no further than `at_most`."""
    return Comparison.objects.filter(state=Comparison.State.OPEN, kind=Comparison.Kind.NORMAL, free_slots__gt=0).values("pk")[:at_most].count()


def supply_state(*, project: Project) -> dict:
    """What a search for pairs would look at; when it equals `project.supply_seen`, the search would find nothing again."""
    return {"last_rollout": Rollout.objects.aggregate(last=Max("id"))["last"], "overlap": project.required_overlap, "rejected": project.pair_rejected}


def ask_ahead(*, project: Project, rng, empty: bool = False) -> None:
    """Submit the job that makes comparisons when the queue runs low and rollouts are there to pair."""
    from core.jobs import submit

    if not empty and rng.random() > LOOK_SHARE:
        return
    if places_open(at_most=project.queue_ahead) >= max(1, project.queue_ahead // 2):
        return
    state = supply_state(project=project)
    if state["last_rollout"] is None or state == project.supply_seen:
        return
    submit(kind=JOB_KIND, params={}, idempotency_key=f"{JOB_KIND}:{int(time.time() // ASK_EVERY_S)}")
