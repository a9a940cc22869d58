"""Evaluations: closed-loop episodes of a policy version in a world."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse


class Evaluation(models.Model):
    """One version played through one suite of episodes.

    suite       {"adversarial": n, "ordinary": n, "seed": s, "dreams": N, "scenarios": [slug, ...]}: it fixes every episode.
    suite_hash  sha256 of its canonical JSON. A version plays a suite once: two rounds with one parent share its evaluation.
    summary     rates with Wilson intervals per kind, written when all episodes are played.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    policy_version = models.ForeignKey("rollouts.PolicyVersion", on_delete=models.PROTECT, related_name="evaluations")
    suite = models.JSONField()
    suite_hash = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State, default=State.RUNNING)
    summary = models.JSONField(default=dict, blank=True)
    job = models.ForeignKey("core.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["policy_version", "suite_hash"], name="evaluation_once_a_suite"),
            models.CheckConstraint(condition=Q(state__in=["running", "done", "failed"]), name="evaluation_state_known"),
            models.CheckConstraint(condition=~Q(state="done") | Q(finished_at__isnull=False), name="evaluation_done_has_a_time"),
        ]

    def __str__(self) -> str:
        return f"evaluation {self.pk} of {self.policy_version}"

    def get_absolute_url(self) -> str:
        return reverse("training:evaluation", args=[self.pk])

    @property
    def topic(self) -> str:
        return f"evaluation:{self.pk}"


class Episode(models.Model):
    """One episode of an evaluation. Its index, seed and factors are those of the suite.

    predicted   success probability that the value head gave the dream that was executed first; null if unknown.
    contact_xy  [[x, y], ...] metres on the floor where the dog was touched.
    trajectory  [[x, y], ...] of the robot.
    real, dreamed: sprite sheets of what happened and of the first dream, `frame_count` frames of `frame_size` pixels each;
                only kept for some episodes.
    """

    class Kind(models.TextChoices):
        ADVERSARIAL = "adversarial", "Adversarial"
        ORDINARY = "ordinary", "Ordinary"

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="episodes")
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind)
    scenario = models.CharField(max_length=120)
    prompt = models.CharField(max_length=300)
    seed = models.BigIntegerField()
    factors = models.JSONField(default=dict)
    success = models.BooleanField()
    dog_contact = models.BooleanField()
    steps = models.PositiveIntegerField()
    predicted = models.FloatField(null=True)
    contact_xy = models.JSONField(default=list)
    trajectory = models.JSONField(default=list)
    frame_count = models.PositiveSmallIntegerField(default=0)
    frame_size = models.PositiveSmallIntegerField(default=0)
    real = models.ForeignKey("core.Blob", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    dreamed = models.ForeignKey("core.Blob", on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["evaluation_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "index"], name="episode_once"),
            models.CheckConstraint(condition=Q(kind__in=["adversarial", "ordinary"]), name="episode_kind_known"),
            models.CheckConstraint(condition=Q(predicted__isnull=True) | Q(predicted__gte=0, predicted__lte=1), name="episode_prediction_is_a_probability"),
        ]

    def __str__(self) -> str:
        return f"episode {self.index} of evaluation {self.evaluation_id}"

    @property
    def clean_success(self) -> bool:
        return self.success and not self.dog_contact
