"""Which pairs are worth asking about. Pure arrays: no database in here."""

from .features import RECIPE, rollout_vector
from .preference import LinearPreference, fit
from .strategies import STRATEGIES, Pool, choose

__all__ = ["RECIPE", "STRATEGIES", "LinearPreference", "Pool", "choose", "fit", "rollout_vector"]
