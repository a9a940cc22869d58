"""Make comparisons ahead, so that the queue is never empty while there are rollouts to pair."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from django.db.models import F

from core.media import blob_bytes
from labeling.models import Comparison, Project, RolloutFeatures
from labeling.pairs import RECIPE, LinearPreference, Pool, choose, fit, rollout_vector
from labeling.selectors import ChoiceFilter, choices_for_round
from rollouts.models import Rollout, StartFrame

from .comparisons import NewPair, comparisons_create
from .supply import places_open, supply_state

# New comparisons are drawn from the newest rollouts: those of the current policy versions.
NEWEST_ROLLOUTS = 5000
# Choices that the preference model is fitted on.
NEWEST_CHOICES = 2000
# Of a pool, one pair in ten is taken (B-Pref), at least this many.
TAKE_SHARE, TAKE_AT_LEAST = 0.1, 8
NEEDS_FEATURES = ("disagreement", "information_gain")


def comparisons_make_ahead(
    *,
    count: int | None = None,
    strategy: str | None = None,
    scenarios: Sequence[int] = (),
    policy_versions: Sequence[int] = (),
    required_overlap: int | None = None,
    include_rejected: bool | None = None,
    seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    fence: Callable | None = None,
) -> dict:
    """Choose and write comparisons until the queue holds enough places (or `count` were made).

    1. Take the newest accepted rollouts (also rejected ones by `include_rejected`, else as the settings say) of approved start frames,
       grouped by start frame and prompt.
    2. Draw a pool of pairs that do not exist yet; let the strategy choose the best tenth.
    3. Repeat until there are enough or no pair is left.

    Returns {"made", "wanted", "strategy", "exhausted"}. `fence` is a context manager for writes (a job's).
    """
    project = Project.current()
    strategy = strategy or project.pair_strategy
    wanted = project.queue_ahead - places_open(at_most=project.queue_ahead) if count is None else count
    state = supply_state(project=project)
    rng = np.random.default_rng(seed)
    rejected_too = project.pair_rejected if include_rejected is None else include_rejected
    rollouts, groups = _candidates(scenarios, policy_versions, rejected_too)
    made, exhausted = 0, False
    preference = features = None
    while made < wanted and not exhausted:
        pool_pairs = _draw(rollouts, groups, project, rng)
        if not pool_pairs:
            exhausted = True
            break
        if strategy in NEEDS_FEATURES and features is None:
            features = Standardised(rollouts)
            preference = _fit(features, rng)
        take = min(wanted - made, max(TAKE_AT_LEAST, round(TAKE_SHARE * project.pair_pool)))
        pool = _pool(pool_pairs, rollouts, features if strategy in NEEDS_FEATURES else None)
        chosen = choose(strategy, pool, take, preference, rng)
        pairs = [
            NewPair(
                rollouts=pool_pairs[item.pair],
                start_frame=rollouts[pool_pairs[item.pair][0]]["start_frame"],
                strategy=strategy,
                priority=item.priority,
                reason=item.reason,
            )
            for item in chosen
        ]
        if fence is None:
            created = comparisons_create(pairs=pairs, required_overlap=required_overlap)
        else:
            with fence():
                created = comparisons_create(pairs=pairs, required_overlap=required_overlap)
        made += len(created)
        if preference is not None and features is not None:
            preference = _with_waiting(preference, features, [pair.rollouts for pair in pairs])
        if progress is not None:
            progress(made, max(wanted, 1))
    if exhausted and not scenarios and not policy_versions:
        Project.objects.filter(pk=project.pk).update(supply_seen=state)
    return {"made": made, "wanted": max(wanted, 0), "strategy": strategy, "exhausted": exhausted}


def _candidates(scenarios, policy_versions, include_rejected: bool) -> tuple[dict[int, Any], list[list[int]]]:
    found = Rollout.objects.filter(start_frame__state=StartFrame.State.APPROVED)
    if not include_rejected:
        found = found.filter(accepted=True)
    if scenarios:
        found = found.filter(start_frame__scenario_version__scenario__in=scenarios)
    if policy_versions:
        found = found.filter(policy_version__in=policy_versions)
    wanted = ("id", "start_frame", "prompt", "policy_version", "value", "success", "touches_dog", "path")
    rows = found.order_by("-id").values(*wanted, latents_sha=F("latents_id"))[:NEWEST_ROLLOUTS]
    rollouts = {row["id"]: row for row in rows}
    groups: dict[tuple, list[int]] = defaultdict(list)
    for row in rollouts.values():
        groups[row["start_frame"], row["prompt"]].append(row["id"])
    return rollouts, [sorted(group) for group in groups.values() if len(group) > 1]


def _draw(rollouts, groups, project: Project, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Up to `pair_pool` random pairs that are not comparisons yet."""
    size = project.pair_pool
    draw = random.Random(int(rng.integers(2**63)))
    candidates: set[tuple[int, int]] = set()
    for group in draw.sample(groups, min(len(groups), size)):
        candidates.update(_pairs_of(group, rollouts, project, draw, at_most=max(8, 4 * size // max(len(groups), 1))))
    known = set(
        Comparison.objects.filter(rollout_a__in={low for low, _ in candidates}).exclude(kind=Comparison.Kind.REPEAT).values_list("rollout_a_id", "rollout_b_id")
    )
    free = sorted(candidates - known)
    if not free:
        # The random draw may have missed the last few: look at all of them before saying that none is left.
        every = {pair for group in groups for pair in combinations(group, 2)}
        known = set(
            Comparison.objects.filter(rollout_a__in={low for low, _ in every}).exclude(kind=Comparison.Kind.REPEAT).values_list("rollout_a_id", "rollout_b_id")
        )
        free = sorted(every - known)
    return draw.sample(free, min(size, len(free)))


def _pairs_of(group: list[int], rollouts, project: Project, draw: random.Random, at_most: int) -> list[tuple[int, int]]:
    pairs = list(combinations(group, 2))
    across = [pair for pair in pairs if rollouts[pair[0]]["policy_version"] != rollouts[pair[1]]["policy_version"]]
    within = [pair for pair in pairs if rollouts[pair[0]]["policy_version"] == rollouts[pair[1]]["policy_version"]]
    if not across or not within:
        return draw.sample(pairs, min(at_most, len(pairs)))
    crossing = round(at_most * project.cross_version_share)
    return draw.sample(across, min(crossing, len(across))) + draw.sample(within, min(at_most - crossing, len(within)))


def _pool(pairs: list[tuple[int, int]], rollouts, features: Standardised | None) -> Pool:
    ids = sorted({rollout for pair in pairs for rollout in pair})
    place = {rollout: index for index, rollout in enumerate(ids)}
    return Pool(
        pairs=np.asarray([(place[a], place[b]) for a, b in pairs]),
        values=np.asarray([rollouts[rollout]["value"] for rollout in ids]),
        touches=np.asarray([rollouts[rollout]["touches_dog"] for rollout in ids], dtype=float),
        features=None if features is None else np.stack([features[rollout] for rollout in ids]),
    )


class Standardised:
    """Feature vectors by rollout id, each column scaled to mean 0 and deviation 1 over the candidates."""

    def __init__(self, rollouts: dict[int, dict]) -> None:
        vectors = features_ensure(rollouts)
        matrix = np.stack(list(vectors.values()))
        self.mean, scale = matrix.mean(axis=0), matrix.std(axis=0)
        # 1/sqrt(D) keeps |x_a - x_b| near one whatever the number of features, so that the prior means the same.
        self.scale = np.where(scale > 1e-9, scale, np.inf) * np.sqrt(matrix.shape[1])
        self.vectors = {rollout: (vector - self.mean) / self.scale for rollout, vector in vectors.items()}

    def __getitem__(self, rollout: int) -> np.ndarray:
        return self.vectors[rollout]

    def __contains__(self, rollout: int) -> bool:
        return rollout in self.vectors


def features_ensure(rollouts: dict[int, dict]) -> dict[int, np.ndarray]:
    """Feature vectors of rollouts (rows with id, latents_sha, path, value, success); computed ones are kept."""
    from safetensors.numpy import load

    known = RolloutFeatures.objects.filter(rollout__in=rollouts, recipe=RECIPE).values_list("rollout_id", "vector")
    vectors = {rollout: np.asarray(vector) for rollout, vector in known}
    new = []
    for rollout, row in rollouts.items():
        if rollout in vectors:
            continue
        latents = load(blob_bytes(row["latents_sha"]))["latents"]
        vectors[rollout] = rollout_vector(latents, np.asarray(row["path"]), row["value"], row["success"])
        new.append(RolloutFeatures(rollout_id=rollout, recipe=RECIPE, vector=vectors[rollout].tolist()))
    RolloutFeatures.objects.bulk_create(new, batch_size=500, update_conflicts=True, unique_fields=["rollout"], update_fields=["recipe", "vector"])
    return vectors


def _fit(features: Standardised, rng: np.random.Generator) -> LinearPreference:
    """The preference model on the newest choices whose rollouts are among the candidates; waiting pairs count as half known."""
    answers = {"a": 1.0, "b": 0.0, "tie": 0.5}
    rows = [row for row in choices_for_round(ChoiceFilter(answers=tuple(answers)))[-NEWEST_CHOICES:] if row.rollout_a in features and row.rollout_b in features]
    width = len(next(iter(features.vectors.values())))
    differences = np.asarray([features[row.rollout_a] - features[row.rollout_b] for row in rows]).reshape(len(rows), width)
    preference = fit(differences, np.asarray([answers[row.answer] for row in rows]), np.asarray([row.weight for row in rows]), rng=rng)
    waiting = Comparison.objects.filter(
        state=Comparison.State.OPEN, kind=Comparison.Kind.NORMAL, answered=0, rollout_a__in=features.vectors, rollout_b__in=features.vectors
    )
    return _with_waiting(preference, features, waiting.values_list("rollout_a_id", "rollout_b_id")[:NEWEST_CHOICES])


def _with_waiting(preference: LinearPreference, features: Standardised, pairs) -> LinearPreference:
    v = np.asarray([features[a] - features[b] for a, b in pairs]).reshape(len(pairs), len(preference.w))
    p = 0.5 * (1 + np.tanh(0.5 * (v @ preference.w)))
    hessian = preference.hessian + (v * (p * (1 - p))[:, None]).T @ v
    return LinearPreference(preference.w, hessian, preference.ensemble)
