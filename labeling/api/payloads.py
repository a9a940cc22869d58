"""What the player is given. Before the answer nothing in here tells the rollouts apart but their pixels (and paths, where the project wants that)."""

from __future__ import annotations

from django.urls import reverse

from labeling.models import Choice, Lease

SPRITE_COLUMNS = 5


def media_url(sha256: str) -> str:
    return reverse("core:media", args=[sha256])


def assignment(lease: Lease) -> dict:
    """One leased comparison. Gold pairs and repeats look like any other; ids and versions of rollouts stay hidden."""
    comparison = lease.comparison
    left, right = comparison.rollout_a, comparison.rollout_b
    if lease.swapped:
        left, right = right, left
    return {
        "lease": str(lease.pk),
        "comparison": comparison.pk,
        "expires_at": lease.expires_at.isoformat(),
        "prompt": left.prompt,
        "frame_count": min(left.frame_count, right.frame_count),
        "fps": left.fps,
        "width": left.width,
        "height": left.height,
        "start_frame_url": media_url(comparison.start_frame.image_id),
        "left": _shown(left),
        "right": _shown(right),
        "kind": "normal",
    }


def _shown(rollout) -> dict:
    """What is to be seen of one side. Paths and limits only where the project lets them be drawn before the answer: else they were not even read."""
    side = {"sprite_url": media_url(rollout.sprite_id), "columns": SPRITE_COLUMNS}
    if "path_pixels" not in rollout.get_deferred_fields():
        side |= {"path_pixels": rollout.path_pixels, "verdict": rollout.verdict}
    return side


def reveal(choice: Choice) -> dict:
    """What the answer uncovers: whose rollout stood where, its path and its verdict."""
    left, right = choice.comparison.rollout_a, choice.comparison.rollout_b
    if choice.lease.swapped:
        left, right = right, left
    return {"left": _side(left), "right": _side(right)}


def _side(rollout) -> dict:
    return {
        "rollout": rollout.pk,
        "path_pixels": rollout.path_pixels,
        "verdict": rollout.verdict,
        "value": rollout.value,
        "version": rollout.policy_version.name,
    }
