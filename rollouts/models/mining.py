"""Adversarial mining: searches, their proposals, and what the real world said about them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse


class MiningRun(models.Model):
    """One quality-diversity search over scenario factors and seeds under one policy version.

    options {"budget": int, "dreams": int, "batch": int, "seed": int, "task": "|go|bring", "strategy": "map_elites|uniform"}.
    summary  {"evaluated": int, "cells": int, "cells_total": int, "best": float, "seconds": float, "taught_by": played episodes that the forecast knew}.
    """

    policy_version = models.ForeignKey("rollouts.PolicyVersion", on_delete=models.PROTECT, related_name="mining_runs")
    options = models.JSONField(default=dict)
    summary = models.JSONField(default=dict, blank=True)
    job = models.ForeignKey("core.Job", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    trigger = models.CharField(max_length=20, default="page")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"mining run {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("rollouts:mining_run", args=[self.pk])


class MiningCandidate(models.Model):
    """One tried start frame of a search; the likeliest to fail, and those whose dreams disagree, are proposed to an admin.

    cell      the factors that diversity is kept over, as one string ("dog=lying|dog_place=on_path|...").
    objective how likely an episode from here fails, 0..1, by `rollouts.mining.Forecast`; of older rows, and of versions without a tracker, how likely the
              best dream does.
    evidence  of `dreams` dreamed episodes, as `rollouts.mining.Evidence`: {"contact": rate, "rejected": rate, "failure": rate, "best": the largest chance
              of one, "dreams": n}, and "layout": what the policy sees of the room, by name (`rollouts.mining.forecast.FACTS`). Older rows have no layout; still
              older ones are about first plans and have "success" (mean) and "spread" (standard deviation).
    world_spec as on StartFrame, so that the candidate can be replayed in physics.
    why       it was proposed; empty for the others.
    real      outcome of the replay in physics: {"success": bool, "dog_contact": bool, ...}; null until verified.
    """

    class State(models.TextChoices):
        EVALUATED = "evaluated", "Evaluated"
        PROPOSED = "proposed", "Proposed"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"

    class Why(models.TextChoices):
        FAILS = "fails", "likely to fail"
        UNSURE = "unsure", "dreams disagree"

    run = models.ForeignKey(MiningRun, on_delete=models.PROTECT, related_name="candidates")
    cell = models.CharField(max_length=200)
    prompt = models.CharField(max_length=300)
    world_spec = models.JSONField()
    objective = models.FloatField()
    evidence = models.JSONField(default=dict)
    image = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    strip = models.ForeignKey("core.Blob", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=State, default=State.EVALUATED)
    why = models.CharField(max_length=16, choices=Why, blank=True, default="")
    real = models.JSONField(null=True, blank=True)
    start_frame = models.OneToOneField("rollouts.StartFrame", null=True, blank=True, on_delete=models.PROTECT, related_name="mined_from")
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reviewed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-objective", "id"]
        indexes = [
            models.Index(fields=["run", "-objective"], name="candidate_by_objective"),
            models.Index(fields=["state", "-objective"], name="candidate_by_state"),
            models.Index(fields=["cell"], name="candidate_by_cell"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(objective__gte=0, objective__lte=1), name="candidate_objective_0_to_1"),
            models.CheckConstraint(
                condition=models.Q(state="accepted", start_frame__isnull=False) | (~models.Q(state="accepted") & models.Q(start_frame__isnull=True)),
                name="candidate_accepted_has_frame",
            ),
        ]

    def __str__(self) -> str:
        return f"mining candidate {self.pk}"


class Verification(models.Model):
    """A scenario's dreamed failure rate beside its real one: closed-loop episodes in the world with its factors."""

    scenario_version = models.ForeignKey("rollouts.ScenarioVersion", on_delete=models.PROTECT, related_name="verifications")
    policy_version = models.ForeignKey("rollouts.PolicyVersion", on_delete=models.PROTECT, related_name="+")
    dreamed_n = models.PositiveIntegerField()
    dreamed_failures = models.PositiveIntegerField()
    real_n = models.PositiveIntegerField()
    real_failures = models.PositiveIntegerField()
    real_contacts = models.PositiveIntegerField(default=0)
    detail = models.JSONField(default=dict, blank=True)
    job = models.ForeignKey("core.Job", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(dreamed_failures__lte=models.F("dreamed_n"))
                & models.Q(real_failures__lte=models.F("real_n"))
                & models.Q(real_contacts__lte=models.F("real_n")),
                name="verification_counts_fit",
            ),
        ]

    def __str__(self) -> str:
        return f"verification {self.pk}"
