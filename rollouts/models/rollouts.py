"""Rollouts: sampled futures of a start frame."""

from __future__ import annotations

from django.db import models
from django.urls import reverse

from rollouts.images import COLUMNS


class Rollout(models.Model):
    """One dream, whole: its pixels, latents, inferred actions, verdict and value. Immutable (trigger).

    sprite      PNG sheet of all frames, five columns: frame i at column i % 5, row i // 5.
    latents     safetensors with the key "latents", float16 [T, C, h, w], without the start frame.
    frame_count T + 1: the start frame is frame 0.
    actions     [T][A], path [T+1][2] metres on the floor, path_pixels [T+1][2] in 0..1 of the frame.
    verdict     {"accepted": bool, "checks": [{"name", "value", "limit", "margin", "ok"}]}.
    touches_dog whether the probe sees the robot touch the dog in the dream; null where nobody looked.
    value       preference score (any real number); success is a probability, 0..1.
    sampler     settings of the sampler; sampler_hash is the sha256 of its canonical JSON.
    """

    COLUMNS = COLUMNS

    start_frame = models.ForeignKey("rollouts.StartFrame", on_delete=models.PROTECT, related_name="rollouts")
    policy_version = models.ForeignKey("rollouts.PolicyVersion", on_delete=models.PROTECT, related_name="rollouts")
    prompt = models.CharField(max_length=300)
    seed = models.BigIntegerField()
    sampler = models.JSONField(default=dict, blank=True)
    sampler_hash = models.CharField(max_length=64)
    sprite = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    latents = models.ForeignKey("core.Blob", on_delete=models.PROTECT, related_name="+")
    frame_count = models.PositiveSmallIntegerField()
    fps = models.FloatField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()
    actions = models.JSONField()
    path = models.JSONField()
    path_pixels = models.JSONField()
    verdict = models.JSONField()
    accepted = models.BooleanField()
    value = models.FloatField()
    success = models.FloatField()
    touches_dog = models.BooleanField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["start_frame", "policy_version", "accepted"], name="rollout_by_frame"),
            models.Index(fields=["policy_version", "-id"], name="rollout_by_version"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["start_frame", "policy_version", "prompt", "seed", "sampler_hash"],
                name="rollout_sampled_once",
            ),
            # The target of composite foreign keys: a comparison proves that both its rollouts share a start frame.
            models.UniqueConstraint(fields=["id", "start_frame"], name="rollout_id_start_frame"),
            models.CheckConstraint(condition=models.Q(frame_count__gte=2), name="rollout_has_a_future"),
            models.CheckConstraint(condition=models.Q(success__gte=0, success__lte=1), name="rollout_success_0_to_1"),
        ]

    def __str__(self) -> str:
        return f"rollout {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("rollouts:rollout", args=[self.pk])

    @property
    def failed_checks(self) -> list[dict]:
        """The checks of the verdict that this dream failed: why it was rejected."""
        return [check for check in self.verdict.get("checks", []) if not check.get("ok")]
