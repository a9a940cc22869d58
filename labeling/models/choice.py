"""What annotators answered. History only grows: an undo is a new row."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from .comparison import Comparison, Lease


class Undo(models.Model):
    """A choice was taken back: by its annotator, or by an admin who gives them another try at the qualifying set. The choice stays; it points here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"undo {self.pk}"


class Choice(models.Model):
    """One answer. `id` is the UUID that the annotator's browser made for it (the Idempotency-Key).

    `answer` speaks of rollout_a and rollout_b; `side` of what the annotator saw. A trigger (migration 0002) refuses every
    change but the one from "not undone" to "undone", and every deletion.
    """

    class Answer(models.TextChoices):
        A = "a", "A is better"
        B = "b", "B is better"
        TIE = "tie", "Tie"
        BOTH_BAD = "both_bad", "Both bad"
        CANT_TELL = "cant_tell", "Can't tell"

    class Side(models.TextChoices):
        LEFT = "left"
        RIGHT = "right"
        NEITHER = "neither"

    id = models.UUIDField(primary_key=True, editable=False)
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="choices")
    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="choices")
    lease = models.ForeignKey(Lease, on_delete=models.PROTECT, related_name="choices")
    answer = models.CharField(max_length=9, choices=Answer.choices)
    side = models.CharField(max_length=7, choices=Side.choices)
    strength = models.PositiveSmallIntegerField(null=True, blank=True)
    criteria = models.JSONField(default=dict, blank=True, help_text='{key: "a"|"b"|"both"|"neither"}')
    success_a = models.BooleanField(null=True, blank=True)
    success_b = models.BooleanField(null=True, blank=True)
    segments = models.JSONField(default=list, blank=True, help_text='[{"side": "a"|"b", "from": i, "to": j}], frames in which that side is worse')
    rationale = models.TextField(blank=True)
    response_ms = models.PositiveIntegerField(default=0)
    replays = models.PositiveIntegerField(default=0)
    visible_ms = models.PositiveIntegerField(default=0)
    client_meta = models.JSONField(default=dict, blank=True)
    request_hash = models.CharField(max_length=64)
    is_simulated = models.BooleanField(default=False)
    late = models.BooleanField(default=False, help_text="Accepted after its lease had run out.")
    created_at = models.DateTimeField()
    undone_by = models.OneToOneField(Undo, on_delete=models.PROTECT, null=True, blank=True, related_name="choice")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["annotator", "comparison"],
                condition=Q(undone_by__isnull=True),
                name="labeling_choice_one_live",
            ),
            models.UniqueConstraint(fields=["lease"], condition=Q(undone_by__isnull=True), name="labeling_choice_one_per_lease"),
            models.CheckConstraint(
                condition=Q(strength__isnull=True) | Q(strength__gte=1, strength__lte=3),
                name="labeling_choice_strength_1_to_3",
            ),
            models.CheckConstraint(
                condition=Q(answer__in=["a", "b"], side__in=["left", "right"]) | Q(answer__in=["tie", "both_bad", "cant_tell"], side="neither"),
                name="labeling_choice_side_fits_answer",
            ),
        ]
        indexes = [
            models.Index(fields=["created_at", "id"], name="labeling_choice_order"),
            models.Index(fields=["annotator", "-created_at"], name="labeling_choice_by_annotator"),
        ]

    def __str__(self) -> str:
        return f"choice {self.pk}"


class Skip(models.Model):
    """The annotator passed on a pair; with `flag`, they also say that something is wrong with it."""

    lease = models.OneToOneField(Lease, on_delete=models.PROTECT, primary_key=True, related_name="skip")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="skips")
    reason = models.CharField(max_length=500, blank=True)
    flag = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["annotator", "-created_at"], name="labeling_skip_by_annotator")]

    def __str__(self) -> str:
        return f"skip of {self.comparison_id}"
