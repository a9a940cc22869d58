"""Everything that is read of labeling. Nothing in here writes."""

from .rounds import ChoiceFilter, ChoiceRow, choices_for_round, live_choices

__all__ = ["ChoiceFilter", "ChoiceRow", "choices_for_round", "live_choices"]
