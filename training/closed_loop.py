"""The closed loop for the studio, which is below this app and gets it handed down (`rollouts.closed_loop`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rollouts.closed_loop import Outcome


def run(*, policy: Any, specs: Sequence[dict[str, Any]], n: int = 1, progress: Callable[[int, int], None] | None = None) -> list[Outcome]:
    """Play the policy from each spec {"prompt", "seed", "factors"}; `n` dreams per plan."""
    from training.learn.evaluate import EpisodeSpec, evaluate

    episodes = [EpisodeSpec(prompt=spec["prompt"], seed=spec["seed"], factors=spec.get("factors") or {}) for spec in specs]
    results = evaluate(policy, episodes, n=n, progress=progress)
    return [
        Outcome(
            success=bool(result.success),
            dog_contact=bool(result.dog_contact),
            steps=int(result.steps),
            contact_xy=first_point(result.contact_xy),
        )
        for result in results
    ]


def first_point(points: Any) -> tuple[float, float] | None:
    """Where the dog was touched first: `contact_xy` is one point, a list of points, or nothing."""
    if points is None or len(points) == 0:
        return None
    point = points[0] if hasattr(points[0], "__len__") else points
    return float(point[0]), float(point[1])
