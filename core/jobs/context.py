"""What a handler gets: progress, cancellation and the fence around its writes."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from core.events import publish
from core.jobs.problems import JobCancelled, JobLeaseLost
from core.models import Job

_PROGRESS_EVERY_S = 0.5
_LOOK_EVERY_S = 0.5


class JobContext:
    """One attempt of a job. `job` is as it was when the attempt began."""

    def __init__(self, job: Job) -> None:
        if job.lease_token is None:
            raise ValueError(f"{job} is not running")
        self.job = job
        self._token: uuid.UUID = job.lease_token
        self._told_at = self._looked_at = float("-inf")

    @contextmanager
    def fence(self) -> Iterator[None]:
        """A transaction in which this attempt surely owns the job: every write of a job goes in here.

        The job's row stays locked until the end, so a worker that comes back late waits, and then finds
        another lease token.

        Raises:
            JobLeaseLost: another attempt owns the job.
        """
        with transaction.atomic():
            mine = Job.objects.select_for_update().filter(pk=self.job.pk, lease_token=self._token, state=Job.State.RUNNING)
            if mine.values_list("pk", flat=True).first() is None:
                raise JobLeaseLost(str(self.job))
            yield

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Show that `done` of `total` is done. May be called as often as one likes; also looks for a cancel.

        Raises:
            JobCancelled, JobLeaseLost: as `check_cancelled`.
        """
        self.check_cancelled()
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_EVERY_S and done < total:
            return
        self._told_at = now
        fraction = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
        with self.fence():
            Job.objects.filter(pk=self.job.pk).update(progress=fraction, progress_text=text[:300])
            publish(self.job.topic, "progress", {"done": done, "total": total, "progress": fraction, "text": text[:300]})

    def check_cancelled(self) -> None:
        """Call between steps that take less than a few seconds each; asks the database at most twice a second.

        Raises:
            JobCancelled: someone asked the job to stop.
            JobLeaseLost: another attempt owns the job.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = now
        row = Job.objects.filter(pk=self.job.pk, lease_token=self._token).values_list("cancel_requested_at", flat=True)
        if not row:
            raise JobLeaseLost(str(self.job))
        if row[0] is not None:
            raise JobCancelled(str(self.job))

    def event(self, kind: str, data: dict[str, Any] | None = None) -> None:
        """Publish on the job's topic.

        Raises:
            JobLeaseLost: another attempt owns the job.
        """
        with self.fence():
            publish(self.job.topic, kind, data)
