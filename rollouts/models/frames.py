"""Start frames: the images that dreams fork from."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse


class StartFrame(models.Model):
    """One image of a scene, waiting for or past an admin's review.

    image      PNG, re-encoded by us whatever its source.
    sampler    {"like": seed, "closeness": 0..1} of a variation of another seed's frame; {"rollout": id, "frame": i} of a continued
               frame: a moment of that rollout; else empty.
    scene_text the description it was generated from (may differ from the version's while texts are compared).
    world_spec {"world": "household", "prompt": str, "seed": int, "factors": {...}}: enough to start the very same
               episode in physics again; only on captured frames.
    phash      64-bit perceptual hash, stored as a signed bigint (`rollouts.phash`).
    probe      {"reading": {...}, "expected": {...}, "disagreements": [sentence, ...], "agrees": bool}; empty until read.
    """

    class Source(models.TextChoices):
        GENERATED = "generated", "Generated"
        CAPTURED = "captured", "Captured"
        UPLOADED = "uploaded", "Uploaded"
        CONTINUED = "continued", "Continued from a rollout"

    class State(models.TextChoices):
        PROPOSED = "proposed", "To review"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        FLAGGED = "flagged", "Flagged"

    scenario_version = models.ForeignKey("rollouts.ScenarioVersion", on_delete=models.PROTECT, related_name="start_frames")
    source = models.CharField(max_length=16, choices=Source)
    image = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    seed = models.BigIntegerField(null=True, blank=True)
    sampler = models.JSONField(default=dict, blank=True)
    scene_text = models.TextField(max_length=1000, blank=True, default="")
    policy_version = models.ForeignKey("rollouts.PolicyVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="start_frames")
    world_spec = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.PROPOSED)
    reason = models.CharField(max_length=300, blank=True, default="")
    phash = models.BigIntegerField()
    probe = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    reviewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["scenario_version", "state", "-id"], name="start_frame_by_version"),
            models.Index(fields=["state", "-id"], name="start_frame_by_state"),
            models.Index(fields=["source", "-id"], name="start_frame_by_source"),
        ]
        constraints = [
            # The same pixels twice under one version are one frame, not two.
            models.UniqueConstraint(fields=["scenario_version", "image"], name="start_frame_image_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["proposed", "approved", "rejected", "flagged"]),
                name="start_frame_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(source__in=["generated", "captured", "uploaded", "continued"]),
                name="start_frame_source_known",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["proposed", "approved"]) | ~models.Q(reason=""),
                name="start_frame_refusal_has_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(state="proposed") | models.Q(reviewed_at__isnull=False),
                name="start_frame_review_has_time",
            ),
            models.CheckConstraint(
                condition=models.Q(world_spec__isnull=True) | models.Q(source="captured"),
                name="start_frame_spec_only_captured",
            ),
            models.CheckConstraint(condition=models.Q(width__gte=16, height__gte=16), name="start_frame_size_at_least_16"),
        ]

    def __str__(self) -> str:
        return f"start frame {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("rollouts:start_frame", args=[self.pk])
