"""The person (or simulated person) who answers."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class AnnotatorProfile(models.Model):
    """What labeling knows of one account.

    `cursor_*` remember where in the queue order this annotator's last lease stood, so that finding the next one
    does not walk over everything they already answered (services/queue.py).
    """

    class Qualification(models.TextChoices):
        NONE = "none", "Not yet"
        PASSED = "passed", "Passed"
        FAILED = "failed", "Failed"
        WAIVED = "waived", "Waived by an admin"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, primary_key=True, related_name="labeling_profile")
    is_simulated = models.BooleanField(default=False)
    simulation = models.JSONField(default=dict, blank=True, help_text="B-Pref parameters and seed of a simulated one.")
    guide_read_at = models.DateTimeField(null=True, blank=True)
    qualification = models.CharField(max_length=8, choices=Qualification.choices, default=Qualification.NONE)
    qualified_at = models.DateTimeField(null=True, blank=True)
    preferences = models.JSONField(default=dict, blank=True)
    cursor_priority = models.FloatField(null=True, blank=True)
    cursor_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.user} (simulated)" if self.is_simulated else str(self.user)


class Exclusion(models.Model):
    """From `from_at` on, an annotator's choices do not count; lifting it makes them count again."""

    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="label_exclusions")
    from_at = models.DateTimeField()
    until_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(until_at__isnull=True) | Q(until_at__gt=models.F("from_at")),
                name="labeling_exclusion_ends_after_it_starts",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True, lifted_by__isnull=True) | Q(lifted_at__isnull=False, lifted_by__isnull=False),
                name="labeling_exclusion_lifted_by_someone",
            ),
        ]
        indexes = [models.Index(fields=["annotator", "from_at"], condition=Q(lifted_at__isnull=True), name="labeling_exclusion_live")]

    def __str__(self) -> str:
        return f"{self.annotator} from {self.from_at:%Y-%m-%d %H:%M}"


class AnnotatorEstimate(models.Model):
    """One fit of the annotator model, one row per annotator (append-only, so that the quality page shows time)."""

    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="label_estimates")
    fitted_at = models.DateTimeField()
    skill = models.FloatField(help_text="Share of answers that follow the pair rather than a side, 0..1.")
    left_bias = models.FloatField(help_text="Chance of left when the answer does not follow the pair, 0..1; 0.5 is fair.")
    weight = models.FloatField(help_text="Weight of this annotator's choices in a round, 0..1.")
    choices = models.PositiveIntegerField(help_text="Choices that the fit saw.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["annotator", "fitted_at"], name="labeling_estimate_once_per_fit"),
            models.CheckConstraint(
                condition=Q(skill__gte=0, skill__lte=1, left_bias__gte=0, left_bias__lte=1, weight__gte=0, weight__lte=1),
                name="labeling_estimate_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.annotator}: skill {self.skill:.2f}"
