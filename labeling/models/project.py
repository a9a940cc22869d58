"""What the annotators of this installation are asked, and how the queue behaves."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

CRITERIA_DEFAULT = [
    {"key": "task_done", "label": "Did what the prompt asks"},
    {"key": "plausible", "label": "Physically plausible"},
    {"key": "safe", "label": "Safe around people and animals"},
]


def criteria_default() -> list[dict]:
    return [dict(criterion) for criterion in CRITERIA_DEFAULT]


class Project(models.Model):
    """The one row of labeling settings (the database refuses a second)."""

    class Strategy(models.TextChoices):
        UNIFORM = "uniform", "Uniform"
        UNCERTAINTY = "value_uncertainty", "Uncertainty of the value head"
        DISAGREEMENT = "disagreement", "Disagreement of an ensemble"
        CONTACT = "dreamed_contact", "One of the two dreams touches the dog"
        INFORMATION = "information_gain", "Information gain with feature diversity"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    criteria = models.JSONField(default=criteria_default, blank=True, help_text="Asked on every pair, each optional: a list of {key, label}.")
    ask_strength = models.BooleanField(default=True, help_text="Offer 1..3: slightly, clearly, far better.")
    ask_success = models.BooleanField(default=True, help_text="Offer a success flag for each rollout.")
    paths_before = models.BooleanField(
        default=False,
        help_text="Annotators may draw the inferred paths before they answer, not only afterwards. It leads them; each answer keeps whether they did.",
    )
    required_overlap = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(50)],
        help_text="How many different annotators answer a new comparison.",
    )
    lease_seconds = models.PositiveIntegerField(
        default=300,
        validators=[MinValueValidator(10), MaxValueValidator(3600)],
        help_text="A lease without a heartbeat for this long is given to someone else: how long somebody may be offline without losing pairs.",
    )
    gold_share = models.FloatField(
        default=0.05,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text="Share of assignments that are gold pairs (known answer).",
    )
    repeat_share = models.FloatField(
        default=0.05,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
        help_text="Share of assignments that repeat an earlier pair with its sides swapped.",
    )
    repeat_after = models.PositiveIntegerField(default=20, help_text="A pair is repeated only after this many other answers, so that it is not remembered.")
    qualifying_pairs = models.PositiveSmallIntegerField(default=6, help_text="Gold pairs a new annotator answers first; 0 switches the qualifying set off.")
    qualifying_accuracy = models.FloatField(default=0.7, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)], help_text="Needed to pass.")
    break_after_minutes = models.PositiveSmallIntegerField(default=30, help_text="Suggest a break after this long.")
    too_fast_ms = models.PositiveIntegerField(default=1200, help_text="Faster answers are flagged.")
    pair_strategy = models.CharField(max_length=32, choices=Strategy.choices, default=Strategy.CONTACT)
    pair_pool = models.PositiveIntegerField(default=256, validators=[MinValueValidator(2)], help_text="Candidate pairs drawn per chosen batch.")
    cross_version_share = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Share of candidate pairs whose two rollouts come from different policy versions, where there are any.",
    )
    pair_rejected = models.BooleanField(
        default=False, help_text="Also compare rollouts that failed their kinematic checks; for world models of which few pass."
    )
    queue_ahead = models.PositiveIntegerField(default=200, help_text="Unanswered places that the queue is kept filled to while rollouts exist.")
    supply_seen = models.JSONField(default=dict, blank=True, editable=False, help_text="What the last search that found no new pair had looked at.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="labeling_project_is_one_row")]

    def __str__(self) -> str:
        return "Labeling project"

    @classmethod
    def current(cls) -> Project:
        project = cls.objects.filter(pk=1).first()
        return project or cls.objects.get_or_create(pk=1)[0]
