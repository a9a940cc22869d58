"""People, jobs, events, media and the audit log: what every other app stands on."""

import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from core.roles import ADMIN, ROLES


class User(AbstractUser):
    """A person, or a simulated annotator. Roles are groups; see `core.people`."""

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    def roles(self) -> frozenset[str]:
        """The roles that this person holds; read once per request."""
        if not self.is_active:
            return frozenset()
        held = self.__dict__.get("_roles")
        if held is None:
            held = frozenset(self.groups.filter(name__in=ROLES).values_list("name", flat=True))
            if self.is_superuser or ADMIN in held:
                held = frozenset(ROLES)
            self.__dict__["_roles"] = held
        return held


class SignInLink(models.Model):
    """A link that signs one person in once. Only the hash of its secret is kept."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_in_links")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)


class ApiToken(models.Model):
    """A secret with which a program acts for a person. Only its hash is kept; it is shown once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]


class Job(models.Model):
    """Work that runs outside a request. This row is the truth; the broker only wakes workers.

    queued -> running -> succeeded | failed | cancelled; a lost worker brings running back to queued.
    While it runs, `lease_token` names the one attempt that may write (see `core.jobs.context`).
    """

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Queue(models.TextChoices):
        CPU = "cpu", "CPU"
        GPU = "gpu", "GPU"

    FINISHED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=20, choices=Queue.choices)
    params = models.JSONField(default=dict)
    state = models.CharField(max_length=20, choices=State.choices, default=State.QUEUED)
    priority = models.SmallIntegerField(default=0, help_text="Higher runs first within a queue.")
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    lease_token = models.UUIDField(null=True)
    worker = models.CharField(max_length=200, blank=True, help_text="Host and process that runs or ran it.")
    heartbeat_at = models.DateTimeField(null=True)
    run_after = models.DateTimeField(null=True, help_text="A retry waits until then.")
    woken_at = models.DateTimeField(null=True, help_text="When the broker was last told about it.")
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    progress = models.FloatField(default=0.0)
    progress_text = models.CharField(max_length=300, blank=True)
    result = models.JSONField(null=True)
    error = models.TextField(blank=True, help_text="One sentence for the person who asked for it.")
    traceback = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="jobs")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    idempotency_key = models.CharField(max_length=200, null=True, unique=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=Q(progress__gte=0, progress__lte=1), name="job_progress_is_a_fraction"),
            models.CheckConstraint(condition=Q(attempt__lte=F("max_attempts")), name="job_attempts_are_capped"),
            models.CheckConstraint(
                condition=Q(state="running", lease_token__isnull=False, heartbeat_at__isnull=False) | (~Q(state="running") & Q(lease_token__isnull=True)),
                name="job_lease_means_running",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False)
                | Q(state__in=["queued", "running"], finished_at__isnull=True),
                name="job_finished_has_a_time",
            ),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(error=""), name="job_failure_says_why"),
            models.CheckConstraint(condition=Q(queue__in=["cpu", "gpu"]), name="job_queue_is_known"),
        ]
        indexes = [
            models.Index(fields=["queue", "-priority", "created_at"], condition=Q(state="queued"), name="job_next"),
            models.Index(fields=["heartbeat_at"], condition=Q(state="running"), name="job_heartbeat"),
            models.Index(fields=["-created_at"], name="job_newest"),
            models.Index(fields=["kind", "-created_at"], name="job_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def get_absolute_url(self) -> str:
        return reverse("core:job", args=[self.pk])

    @property
    def topic(self) -> str:
        return f"job:{self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.state in self.FINISHED

    @property
    def can_cancel(self) -> bool:
        return not self.is_finished and self.cancel_requested_at is None

    @property
    def can_retry(self) -> bool:
        return self.state in (self.State.FAILED, self.State.CANCELLED)

    @property
    def explanation(self) -> str:
        """What its state means and what can be done, for its page."""
        if self.state == self.State.QUEUED:
            if self.attempt:
                return f"Waiting for a worker after attempt {self.attempt} of {self.max_attempts}. {self.error}".strip()
            return f"Waiting for a worker of the {self.get_queue_display()} queue."
        if self.state == self.State.RUNNING:
            if self.cancel_requested_at:
                return "Asked to stop; it ends at its next safe point."
            return f"Running on {self.worker} (attempt {self.attempt} of {self.max_attempts})."
        if self.state == self.State.CANCELLED:
            return f"Cancelled{f' by {self.cancel_requested_by}' if self.cancel_requested_by else ''}. What was finished before is kept. You can run it again."
        if self.state == self.State.FAILED:
            return f"{self.error} You can run it again."
        return "Done."


class Event(models.Model):
    """Something happened to a topic. Pages that reconnect read what they missed by id."""

    topic = models.CharField(max_length=200)
    kind = models.CharField(max_length=100)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["topic", "id"], name="event_topic"), models.Index(fields=["created_at"], name="event_age")]


class Blob(models.Model):
    """Bytes named by their sha256: media and checkpoints. Never changed, so it may be cached for ever."""

    class Audience(models.TextChoices):
        PEOPLE = "people", "Anyone with a role"
        RESEARCHERS = "researchers", "Researchers and admins"

    sha256 = models.CharField(primary_key=True, max_length=64)
    size = models.PositiveBigIntegerField()
    content_type = models.CharField(max_length=100)
    audience = models.CharField(max_length=20, choices=Audience.choices, default=Audience.PEOPLE)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="blob_is_named_by_sha256"),
            models.CheckConstraint(condition=Q(audience__in=["people", "researchers"]), name="blob_audience_is_known"),
        ]

    @property
    def url(self) -> str:
        return reverse("core:media", args=[self.sha256])


class AuditEntry(models.Model):
    """Who did what to what, and what it was before. The database refuses to change or delete a row."""

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    actor_name = models.CharField(max_length=200, help_text="As it was then.")
    action = models.CharField(max_length=100)
    target_type = models.CharField(max_length=100, blank=True)
    target_id = models.CharField(max_length=100, blank=True)
    target = models.CharField(max_length=300)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["target_type", "target_id"], name="audit_target"), models.Index(fields=["action"], name="audit_action")]


class WorkerBeat(models.Model):
    """When a worker process was last alive, for `/readyz` and the jobs page."""

    name = models.CharField(primary_key=True, max_length=200)
    queues = models.JSONField(default=list)
    seen_at = models.DateTimeField()
