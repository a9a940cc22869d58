"""How good the answers are. Pure arrays: no database in here."""

from .agreement import krippendorff_alpha
from .annotator_model import AnnotatorFit, Observation, fit_annotators
from .bradley_terry import Standing, leaderboard

__all__ = ["AnnotatorFit", "Observation", "Standing", "fit_annotators", "krippendorff_alpha", "leaderboard"]
