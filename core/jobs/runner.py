"""The worker's side of a job: claim it, hand it to a child process, keep its lease alive, end it if it must end.

A child that has done its job waits for the next one, so that only the first pays for importing torch.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from core.jobs.services import job_claim, job_finish, job_heartbeat, job_requeue
from core.models import Job

log = structlog.get_logger(__name__)

stopping = threading.Event()  # set when the worker is asked to stop

_JOBS_PER_CHILD = 100  # a leak in a handler does not live for ever
_idle: list["Child"] = []
_idle_lock = threading.Lock()


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class Child:
    """A process that runs handlers, one at a time."""

    def __init__(self) -> None:
        self._replies, theirs = os.pipe()
        self._buffer = b""
        self.jobs = 0
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "core.job_child", str(theirs)],
                stdin=subprocess.PIPE, pass_fds=[theirs], cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(theirs)

    @classmethod
    def take(cls) -> "Child":
        with _idle_lock:
            while _idle:
                child = _idle.pop()
                if child.process.poll() is None:
                    return child
                child.kill()
        return cls()

    def give_back(self) -> None:
        if self.jobs >= _JOBS_PER_CHILD or stopping.is_set():
            self.kill()
            return
        with _idle_lock:
            _idle.append(self)

    def send(self, job: Job) -> None:
        self.jobs += 1
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it died just now: reply() says so
            self.process.stdin.write(json.dumps({"job": str(job.pk), "token": str(job.lease_token)}).encode() + b"\n")
            self.process.stdin.flush()

    def reply(self, timeout_s: float) -> str | None:
        """How the job ended, or None if it has not yet.

        Raises:
            ChildProcessError: the process has ended without an answer; the message says how.
        """
        if select.select([self._replies], [], [], timeout_s)[0]:
            chunk = os.read(self._replies, 65536)
            if not chunk:
                raise ChildProcessError(_how_it_ended(self.process.wait()))
            self._buffer += chunk
        line, newline, rest = self._buffer.partition(b"\n")
        if not newline:
            return None
        self._buffer = rest
        return str(json.loads(line)["state"])

    def kill(self) -> None:
        """End it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()
        with suppress(OSError):
            os.close(self._replies)


def kill_idle() -> None:
    with _idle_lock:
        while _idle:
            _idle.pop().kill()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "Its process was killed (out of memory, perhaps)."
    if code < 0:
        return f"Its process crashed ({signal.Signals(-code).name})."
    return f"Its process ended by itself (exit code {code})."


def run_one(queue: str) -> str | None:
    """Claim the most urgent waiting job of `queue` and see it through; returns how it ended, None if none waited."""
    if stopping.is_set():
        return None
    job = job_claim(queue=queue, worker=worker_name())
    if job is None:
        return None
    structlog.contextvars.bind_contextvars(job_id=str(job.pk), job_kind=job.kind)
    child = Child.take()
    try:
        child.send(job)
        state = _see_through(job, child)
        log.info("job.attempt_over", state=state)
        return state
    except BaseException:
        child.kill()
        raise
    finally:
        structlog.contextvars.unbind_contextvars("job_id", "job_kind")


def _see_through(job: Job, child: Child) -> str:
    """Wait for the child and beat for it. Whatever else happens ends the child, so that it cannot write late.

    1. an answer: the child has written the end of the job itself;
    2. the child died: queue the job again;
    3. the worker is stopping: queue the job again without counting the attempt;
    4. the lease is lost, or the database has been away for so long that it must be: leave the row alone;
    5. cancelled, and the handler has not noticed in JOB_CANCEL_GRACE_SECONDS: end it.
    """
    assert job.lease_token is not None
    lease: dict[str, Any] = {"job_id": job.pk, "token": job.lease_token}
    beat_at = held_at = time.monotonic()
    while True:
        try:
            state = child.reply(timeout_s=0.5)
        except ChildProcessError as ended:
            child.kill()
            job_requeue(**lease, error=str(ended))
            return "died"
        if state is not None:
            child.give_back()
            return state
        if stopping.is_set():
            child.kill()
            job_requeue(**lease, error="Its worker was stopped.", count=False)
            return "stopped"
        now = time.monotonic()
        if now - beat_at < settings.JOB_HEARTBEAT_SECONDS:
            continue
        beat_at = now
        try:
            held = job_heartbeat(**lease)
            cancel_at = Job.objects.filter(pk=job.pk).values_list("cancel_requested_at", flat=True).first()
        except DatabaseError as error:
            log.warning("job.heartbeat_failed", reason=str(error))
            close_old_connections()
            if now - held_at > settings.JOB_STALE_SECONDS:
                child.kill()
                return "lost"
            continue
        if not held:
            # Either another attempt owns the job, or the child has just written its end and its answer is on the way.
            if (state := _last_words(child)) is not None:
                child.give_back()
                return state
            child.kill()
            return "lost"
        held_at = now
        if cancel_at is not None and (timezone.now() - cancel_at).total_seconds() > settings.JOB_CANCEL_GRACE_SECONDS:
            child.kill()
            job_finish(**lease, state=Job.State.CANCELLED)
            return "cancelled"


def _last_words(child: Child) -> str | None:
    try:
        return child.reply(timeout_s=2.0)
    except ChildProcessError:
        return None
