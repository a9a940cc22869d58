"""Reads, ready for pages: filtered, joined and counted in a fixed number of queries."""

from rollouts.selectors.frames import (
    frame_card,
    frame_counts,
    near_duplicates,
    start_frames_filtered,
)
from rollouts.selectors.rollouts import (
    policy_versions_usable,
    rejection_counts,
    rollout_card,
    rollouts_filtered,
)
from rollouts.selectors.scenarios import saved_views, scenario_tags, scenarios_filtered, with_current

__all__ = [
    "frame_card",
    "frame_counts",
    "near_duplicates",
    "policy_versions_usable",
    "rejection_counts",
    "rollout_card",
    "rollouts_filtered",
    "saved_views",
    "scenario_tags",
    "scenarios_filtered",
    "start_frames_filtered",
    "with_current",
]
