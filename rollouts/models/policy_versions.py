"""Policy versions: immutable sets of safetensors with their lineage."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class PolicyVersion(models.Model):
    """World model + IDM + heads under one name.

    Immutable apart from `state`, `is_active` and `metrics`: a trigger refuses any other UPDATE, and DELETE.

    components {"config": sha256, "world_model": sha256, ...}: the blobs that hold the files of the directory.
    lineage    {"data_snapshot": hash, "code_revision": str, "settings": {...}, "seeds": [...]}.
    metrics    what evaluations and rounds measured; grows over the version's life.
    """

    class State(models.TextChoices):
        CANDIDATE = "candidate", "Candidate"
        PROMOTED = "promoted", "Promoted"
        REJECTED = "rejected", "Rejected"
        RETIRED = "retired", "Retired"

    name = models.CharField(max_length=80, unique=True)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children")
    state = models.CharField(max_length=16, choices=State, default=State.CANDIDATE, db_index=True)
    is_active = models.BooleanField(default=False)
    components = models.JSONField()
    lineage = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["is_active"], condition=models.Q(is_active=True), name="policy_version_one_active"),
            models.CheckConstraint(
                condition=models.Q(state__in=["candidate", "promoted", "rejected", "retired"]),
                name="policy_version_state_known",
            ),
            models.CheckConstraint(
                condition=models.Q(is_active=False) | models.Q(state="promoted"),
                name="policy_version_active_is_promoted",
            ),
        ]

    def __str__(self) -> str:
        return self.name
