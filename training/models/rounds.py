"""Rounds: one pass of post-training, from a snapshot of choices to a promoted or rejected version."""

from __future__ import annotations

from django.conf import settings as site_settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

PERSON = site_settings.AUTH_USER_MODEL


class Round(models.Model):
    """One round. `stage` says where it is, `state` whether it still moves.

    settings  {"choices": filter, "weighting": "model"|"equal", "dpo": {...}, "value_head": {...}, "evaluation": {...},
               "gate": {...}, "auto_promote": bool}: everything that the result depends on, next to the snapshot and the parent.
    job       of the current stage; every stage is one job that can be started again.
    post_train  how it ended: {"stopped": "budget"|"patience"|"alarm", "steps": steps done, "best_step": whose weights were kept,
              0 for the parent's}, null until then.
    gate      the gate's report (`training.learn.gate.decide`), null until then.
    seconds   {stage: seconds} of finished stages.
    """

    class Stage(models.TextChoices):
        SNAPSHOT = "snapshot", "Snapshot"
        POST_TRAIN = "post_train", "DPO"
        VALUE_HEAD = "value_head", "Value head"
        EVALUATE = "evaluate", "Evaluation"
        GATE = "gate", "Gate"

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PROMOTED = "promoted", "Promoted"
        REJECTED = "rejected", "Rejected"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Trigger(models.TextChoices):
        PERSON = "person", "Started by a person"
        CHOICES = "choices", "Enough new choices"
        SCHEDULE = "schedule", "On schedule"

    STAGES = tuple(Stage)
    FINISHED = (State.PROMOTED, State.REJECTED, State.FAILED, State.CANCELLED)
    RESUMABLE = (State.FAILED, State.CANCELLED)

    name = models.CharField(max_length=80, unique=True, help_text="Also the name of the version that it makes.")
    parent = models.ForeignKey("rollouts.PolicyVersion", on_delete=models.PROTECT, related_name="rounds")
    child = models.OneToOneField("rollouts.PolicyVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="made_by_round")
    stage = models.CharField(max_length=16, choices=Stage, default=Stage.SNAPSHOT)
    state = models.CharField(max_length=16, choices=State, default=State.RUNNING)
    trigger = models.CharField(max_length=16, choices=Trigger, default=Trigger.PERSON)
    settings = models.JSONField(default=dict)
    note = models.TextField(blank=True, default="", max_length=2000)
    job = models.ForeignKey("core.Job", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    error = models.TextField(blank=True, default="")
    gate = models.JSONField(null=True, blank=True)
    seconds = models.JSONField(default=dict, blank=True)
    alarms = models.JSONField(default=list, blank=True)
    post_train = models.JSONField(null=True, blank=True, help_text="How post-training ended, and whose weights it kept.")
    value_head = models.JSONField(null=True, blank=True, help_text="Report of the value head's refresh.")
    override_by = models.ForeignKey(PERSON, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    override_reason = models.TextField(blank=True, default="")
    created_by = models.ForeignKey(PERSON, on_delete=models.PROTECT, null=True, blank=True, related_name="rounds")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "-id"], name="round_by_state"), models.Index(fields=["parent", "-id"], name="round_by_parent")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["running", "promoted", "rejected", "failed", "cancelled"]), name="round_state_known"),
            models.CheckConstraint(condition=Q(stage__in=["snapshot", "post_train", "value_head", "evaluate", "gate"]), name="round_stage_known"),
            models.CheckConstraint(
                condition=Q(state="running", finished_at__isnull=True) | (~Q(state="running") & Q(finished_at__isnull=False)),
                name="round_finished_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["promoted", "rejected"]) | Q(stage="gate", child__isnull=False, gate__isnull=False),
                name="round_decision_has_gate_and_child",
            ),
            models.CheckConstraint(condition=Q(override_by__isnull=True) | ~Q(override_reason=""), name="round_override_has_reason"),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(error=""), name="round_failure_says_why"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("training:round", args=[self.pk])

    @property
    def topic(self) -> str:
        return f"round:{self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.state in self.FINISHED

    @property
    def can_cancel(self) -> bool:
        return self.state == self.State.RUNNING

    @property
    def can_resume(self) -> bool:
        return self.state in self.RESUMABLE

    @property
    def can_override(self) -> bool:
        """The gate said no, or said yes to a round that was not to promote by itself."""
        return self.state == self.State.REJECTED and self.override_by_id is None


class RoundSnapshot(models.Model):
    """What a round learns from, fixed. Immutable: a trigger refuses UPDATE and DELETE.

    sha256    over the files below: the same choices, weights and clips give the same hash.
    clips, preferences, replay: the files of a `training.learn.preferences` directory.
    choices   ids in order; counts {"choices", "pairs", "ties", "segments", "annotators", "skipped": {reason: n}}.
    """

    round = models.OneToOneField(Round, on_delete=models.PROTECT, primary_key=True, related_name="snapshot")
    sha256 = models.CharField(max_length=64, db_index=True)
    clips = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    preferences = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    replay = models.ForeignKey("core.Blob", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    choices = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    counts = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="round_snapshot_has_hash")]

    def __str__(self) -> str:
        return f"snapshot {self.sha256[:12]} of {self.round}"


class RoundMetric(models.Model):
    """One point of a round's curves. A resumed stage writes the same points again, so the latest wins."""

    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="metrics")
    stage = models.CharField(max_length=16, choices=Round.Stage)
    kind = models.CharField(max_length=16, help_text="train or held_out.")
    step = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["stage", "step"]
        constraints = [models.UniqueConstraint(fields=["round", "stage", "kind", "step"], name="round_metric_once_a_step")]

    def __str__(self) -> str:
        return f"{self.round} {self.stage} step {self.step}"


class RoundSchedule(models.Model):
    """When rounds start by themselves: every so many new choices, every so many hours, or whichever comes first."""

    name = models.CharField(max_length=80, unique=True)
    every_choices = models.PositiveIntegerField(null=True, blank=True)
    every_hours = models.PositiveIntegerField(null=True, blank=True)
    min_choices = models.PositiveIntegerField(default=50, help_text="A scheduled round with fewer new choices is not started.")
    settings = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    last_round = models.ForeignKey(Round, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(PERSON, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(every_choices__isnull=False) | Q(every_hours__isnull=False), name="round_schedule_has_a_trigger"),
            models.CheckConstraint(condition=Q(every_choices__isnull=True) | Q(every_choices__gte=1), name="round_schedule_choices_positive"),
            models.CheckConstraint(condition=Q(every_hours__isnull=True) | Q(every_hours__gte=1), name="round_schedule_hours_positive"),
        ]

    def __str__(self) -> str:
        return self.name
