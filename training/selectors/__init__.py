"""Everything that is read of training. Nothing in here writes."""

from training.selectors.evaluations import (
    best_of_n,
    comparable_evaluations,
    contact_heat,
    contacts,
    episode_pairs_shown,
    evaluations_listed,
    heat_pixels,
    predicted_against_measured,
    scenario_table,
)
from training.selectors.rounds import CHARTS, choices_preview, next_rollouts_job, post_training_words, round_chart, round_stages, rounds_listed
from training.selectors.versions import lineage_tree, version_facts, versions_over_time

__all__ = [
    "CHARTS",
    "best_of_n",
    "choices_preview",
    "comparable_evaluations",
    "contact_heat",
    "contacts",
    "episode_pairs_shown",
    "evaluations_listed",
    "heat_pixels",
    "lineage_tree",
    "next_rollouts_job",
    "post_training_words",
    "predicted_against_measured",
    "round_chart",
    "round_stages",
    "rounds_listed",
    "scenario_table",
    "version_facts",
    "versions_over_time",
]
