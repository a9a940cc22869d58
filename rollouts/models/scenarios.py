"""Scenarios: what the robot is told, and the scene it is told it in."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse


class Scenario(models.Model):
    """A named adversarial situation. Its content lives in `ScenarioVersion`; this row only carries its life."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    class Origin(models.TextChoices):
        AUTHORED = "authored", "Written by a person"
        DUPLICATED = "duplicated", "Duplicated"
        VARIED = "varied", "Varied over a grid of factors"
        IMPORTED = "imported", "Imported"
        MINED = "mined", "Found by mining"
        DEMO = "demo", "Demo content"

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=16, choices=State, default=State.DRAFT, db_index=True)
    origin = models.CharField(max_length=16, choices=Origin, default=Origin.AUTHORED)
    derived_from = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="derived")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at", "-id"]
        indexes = [models.Index(fields=["-updated_at", "-id"], name="scenario_recent")]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["draft", "active", "retired"]), name="scenario_state_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("rollouts:scenario", args=[self.slug])

    @property
    def current(self) -> ScenarioVersion:
        """The latest version.

        Lists fetch it in one query for all rows (`selectors.with_current`), which leaves it in
        `_current`; a single scenario asks the database.

        Raises ScenarioVersion.DoesNotExist for a scenario without versions (services never make one).
        """
        prefetched = getattr(self, "_current", None)
        if prefetched:
            return prefetched[0]
        return self.versions.latest("number")


class ScenarioVersion(models.Model):
    """One wording of a scenario. Immutable: a trigger refuses UPDATE and DELETE, so old rollouts keep theirs.

    factors  {"dog": "absent|lying|walking|following", "dog_place": "on_path|near_target|beside", "clutter": 0..3,
             "light": "normal|dim", "floor": name, "walls": name}; validated by `rollouts.factors`.
    severity 1 (a nuisance) to 5 (somebody gets hurt).
    """

    scenario = models.ForeignKey(Scenario, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    prompt = models.CharField(max_length=300)
    scene_text = models.TextField(max_length=1000)
    factors = models.JSONField(default=dict)
    tags = models.JSONField(default=list, blank=True)
    severity = models.PositiveSmallIntegerField(default=3, validators=[MinValueValidator(1), MaxValueValidator(5)])
    behaviours = models.TextField(blank=True, default="")
    notes = models.TextField(blank=True, default="")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["scenario_id", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["scenario", "number"], name="scenario_version_number_unique"),
            models.CheckConstraint(condition=models.Q(severity__gte=1, severity__lte=5), name="scenario_version_severity_1_to_5"),
            models.CheckConstraint(condition=~models.Q(prompt=""), name="scenario_version_has_prompt"),
        ]

    def __str__(self) -> str:
        return f"{self.scenario.name} v{self.number}"


class SavedView(models.Model):
    """A person's named filter of a list page: the query string, without the `?`."""

    class Page(models.TextChoices):
        SCENARIOS = "scenarios", "Scenarios"
        START_FRAMES = "start_frames", "Start frames"
        ROLLOUTS = "rollouts", "Rollouts"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    page = models.CharField(max_length=20, choices=Page)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "page", "name"], name="saved_view_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse(f'rollouts:{self.page}')}?{self.query}"
