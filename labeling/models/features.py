"""Numbers that describe a rollout, for choosing pairs."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class RolloutFeatures(models.Model):
    """Feature vector of one rollout (pairs/features.py), computed once and kept."""

    rollout = models.OneToOneField("rollouts.Rollout", on_delete=models.PROTECT, primary_key=True, related_name="+")
    recipe = models.PositiveSmallIntegerField(help_text="Version of the feature recipe; others are recomputed.")
    vector = ArrayField(models.FloatField())

    def __str__(self) -> str:
        return f"features of {self.rollout_id}"
