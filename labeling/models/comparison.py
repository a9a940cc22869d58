"""Comparisons, and the leases by which annotators hold them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Comparison(models.Model):
    """Two rollouts of the same start frame and prompt.

    `rollout_a` is the one with the smaller id: nothing about the order says anything about quality, and sides are drawn
    per lease. `answered` and `leased` are kept by services/ under the row's lock; `free_slots` is what is left to lease
    (a gold pair has no limit, a repeat belongs to one annotator). The database holds that both rollouts have this
    start frame (composite foreign keys) and the same prompt (trigger), see migration 0002.
    """

    class Kind(models.TextChoices):
        NORMAL = "normal"
        GOLD = "gold"
        REPEAT = "repeat"

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        RETIRED = "retired"

    class Answer(models.TextChoices):
        A = "a", "A is better"
        B = "b", "B is better"
        TIE = "tie", "Tie"
        BOTH_BAD = "both_bad", "Both bad"

    id = models.BigAutoField(primary_key=True)
    rollout_a = models.ForeignKey("rollouts.Rollout", on_delete=models.PROTECT, related_name="+")
    rollout_b = models.ForeignKey("rollouts.Rollout", on_delete=models.PROTECT, related_name="+")
    start_frame = models.ForeignKey("rollouts.StartFrame", on_delete=models.PROTECT, related_name="comparisons")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.NORMAL)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    strategy = models.CharField(max_length=32, help_text="How the pair was chosen.")
    reason = models.CharField(max_length=500, blank=True, help_text="Why this pair, in words.")
    priority = models.FloatField(default=0.0, help_text="Higher is served first.")
    required_overlap = models.PositiveSmallIntegerField(default=1)
    answered = models.PositiveIntegerField(default=0)
    leased = models.PositiveIntegerField(default=0)
    free_slots = models.GeneratedField(
        expression=F("required_overlap") - F("answered") - F("leased"),
        output_field=models.IntegerField(),
        db_persist=True,
    )
    gold_answer = models.CharField(max_length=8, choices=Answer.choices, null=True, blank=True)
    gold_note = models.CharField(max_length=500, blank=True, help_text="Shown after a qualifying answer.")
    qualifying = models.BooleanField(default=False, help_text="A gold pair of the qualifying set.")
    repeat_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="repeats")
    only_for = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    flagged_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(rollout_a__lt=F("rollout_b")), name="labeling_comparison_a_before_b"),
            models.CheckConstraint(condition=Q(required_overlap__gte=1), name="labeling_comparison_overlap_positive"),
            models.CheckConstraint(
                condition=~Q(kind="normal") | Q(leased__lte=F("required_overlap")),
                name="labeling_comparison_not_overleased",
            ),
            models.CheckConstraint(
                condition=Q(kind="gold", gold_answer__isnull=False) | (~Q(kind="gold") & Q(gold_answer__isnull=True)),
                name="labeling_comparison_gold_has_answer",
            ),
            models.CheckConstraint(
                condition=Q(kind="repeat", repeat_of__isnull=False, only_for__isnull=False)
                | (~Q(kind="repeat") & Q(repeat_of__isnull=True, only_for__isnull=True)),
                name="labeling_comparison_repeat_is_of_one",
            ),
            models.CheckConstraint(condition=Q(qualifying=False) | Q(kind="gold"), name="labeling_comparison_qualifying_is_gold"),
            models.UniqueConstraint(fields=["rollout_a", "rollout_b"], condition=~Q(kind="repeat"), name="labeling_comparison_pair_once"),
            models.UniqueConstraint(fields=["repeat_of", "only_for"], condition=Q(kind="repeat"), name="labeling_comparison_repeat_once"),
        ]
        indexes = [
            # The queue: exactly the rows that can be leased, in the order in which they are served.
            models.Index(
                fields=["priority", "id"],
                condition=Q(state="open", kind="normal", free_slots__gt=0),
                name="labeling_queue",
            ),
            models.Index(fields=["id"], condition=Q(kind="gold"), name="labeling_gold"),
            models.Index(fields=["flagged_at"], condition=Q(flagged_at__isnull=False), name="labeling_flagged"),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"


class Lease(models.Model):
    """The right of one annotator to answer one comparison until it expires.

    `swapped`: rollout_b is drawn on the left. Drawn at random per lease, forced only for a repeat.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        ANSWERED = "answered"
        SKIPPED = "skipped"
        RETURNED = "returned"
        EXPIRED = "expired"
        UNDONE = "undone"

    # States in which the annotator has, or had, their turn: such a pair is not given to them again.
    TAKEN = (State.ACTIVE, State.ANSWERED, State.SKIPPED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="leases")
    comparison = models.ForeignKey(Comparison, on_delete=models.PROTECT, related_name="leases")
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    swapped = models.BooleanField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["annotator", "comparison"],
                condition=Q(state__in=["active", "answered", "skipped"]),
                name="labeling_lease_one_turn",
            ),
            # Target of the composite foreign key by which a choice proves that the lease was its own.
            models.UniqueConstraint(fields=["id", "annotator", "comparison"], name="labeling_lease_identity"),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="active"), name="labeling_lease_expiry"),
            models.Index(fields=["annotator", "created_at"], condition=Q(state="active"), name="labeling_lease_held"),
        ]

    def __str__(self) -> str:
        return f"lease {self.pk}"
