"""Worlds with real physics, in which policies are judged, behind the Gymnasium API. See `base.py`."""

from .base import World, make_world, register_world
from .household.factors import HouseholdFactors

__all__ = ["HouseholdFactors", "World", "make_world", "register_world"]
