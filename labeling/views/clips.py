"""Clips of rollouts as the props of the viewer island."""

from __future__ import annotations

from labeling.api.payloads import media_url
from labeling.models import Comparison
from rollouts.models import Rollout


def clip(rollout: Rollout, label: str) -> dict:
    """One rollout without its path and verdict, which would lead whoever judges it."""
    return {
        "id": label, "label": label, "sprite_url": media_url(rollout.sprite_id), "columns": 5, "frame_count": rollout.frame_count,
        "fps": rollout.fps, "width": rollout.width, "height": rollout.height,
    }  # fmt: skip


def pair_viewer(comparison: Comparison, *, autoplay: bool = True) -> dict:
    """Both rollouts of a comparison, as A and B."""
    return {"rollouts": [clip(comparison.rollout_a, "A"), clip(comparison.rollout_b, "B")], "overlay": False, "autoplay": autoplay}
