"""Episodes of an evaluation, played: from the suite's description to rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training.learn.evaluate import EpisodeSpec, evaluate
from training.learn.suites import SuiteEpisode
from training.models import Episode, Evaluation


def play(policy: Any, episodes: list[SuiteEpisode], *, dreams: int, evaluation: Evaluation, tick: Callable[[], None]) -> list[Episode]:
    """Play a batch in the household world and return unsaved rows, in order. `tick` is called now and then; it may raise."""
    specs = [EpisodeSpec(prompt=episode.prompt, seed=episode.seed, factors=episode.factors) for episode in episodes]
    results = evaluate(policy, specs, n=dreams, progress=lambda done, total: tick())
    return [
        Episode(
            evaluation=evaluation,
            index=episode.index,
            kind=episode.kind,
            scenario=episode.scenario,
            prompt=episode.prompt,
            seed=episode.seed,
            factors=episode.factors,
            success=bool(result.success),
            dog_contact=bool(result.dog_contact),
            steps=int(result.steps),
            predicted=probability(getattr(result, "predicted_success", None)),
            contact_xy=points(result.contact_xy),
            trajectory=points(result.trajectory),
        )
        for episode, result in zip(episodes, results, strict=True)
    ]


def points(values: Any) -> list[list[float]]:
    """[[x, y], ...] rounded to a millimetre; one point is a list of one."""
    array = np.asarray([] if values is None else values, dtype=np.float64)
    if array.size == 0:
        return []
    return np.round(array.reshape(-1, array.shape[-1])[:, :2], 3).tolist()


def probability(value: Any) -> float | None:
    return None if value is None else min(1.0, max(0.0, float(value)))
