"""Episodes of an evaluation, played: from the suite's description to rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from core.media import blob_store
from rollouts.images import png_bytes, sprite_sheet
from training.learn.evaluate import EpisodeResult, EpisodeSpec, evaluate
from training.learn.suites import LoopOptions, SuiteEpisode
from training.models import Episode, Evaluation


def play(policy: Any, episodes: list[SuiteEpisode], *, evaluation: Evaluation, tick: Callable[[], None], keep: int = 0) -> list[Episode]:
    """Play a batch in the household world and return unsaved rows, in order.

    Args:
        evaluation: its suite says how many dreams there are for each plan, and how the policy acts.
        tick: called now and then; it may raise.
        keep: of so many episodes the first dream and what really happened are kept as pictures.
    """
    specs = [EpisodeSpec(prompt=episode.prompt, seed=episode.seed, factors=episode.factors) for episode in episodes]
    suite = evaluation.suite
    loop = LoopOptions(**suite.get("loop", {}))  # suites of before 2026-12 do not say
    results = evaluate(policy, specs, n=suite["dreams"], options=loop, progress=lambda done, total: tick(), keep_frames=keep)
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
            predicted=probability(result.predicted),
            contact_xy=points(result.contact_xy),
            trajectory=points(result.trajectory),
            **pictures(policy, result),
        )
        for episode, result in zip(episodes, results, strict=True)
    ]


def pictures(policy: Any, result: EpisodeResult) -> dict[str, Any]:
    """Sprite sheets of the first dream and of what happened, both from the same start frame and equally long."""
    if result.seen is None or result.dreamed is None:
        return {}
    dreamed = policy.decode(torch.from_numpy(result.dreamed).to(policy.device))
    whole = np.concatenate([result.seen[:1], dreamed])
    # An episode that ended early stands still in its last frame.
    seen = np.concatenate([result.seen, np.repeat(result.seen[-1:], max(0, len(whole) - len(result.seen)), 0)])[: len(whole)]
    sheets = {name: blob_store(png_bytes(sprite_sheet(frames)), "image/png") for name, frames in (("dreamed", whole), ("real", seen))}
    return {**sheets, "frame_count": len(whole), "frame_size": whole.shape[1]}


def points(values: Any) -> list[list[float]]:
    """[[x, y], ...] rounded to a millimetre; one point is a list of one."""
    array = np.asarray([] if values is None else values, dtype=np.float64)
    if array.size == 0:
        return []
    return np.round(array.reshape(-1, array.shape[-1])[:, :2], 3).tolist()


def probability(value: Any) -> float | None:
    return None if value is None else min(1.0, max(0.0, float(value)))
