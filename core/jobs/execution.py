"""Run one attempt of a claimed job in this process and write how it ended."""

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection

from core.jobs.context import JobContext
from core.jobs.problems import JobCancelled, JobLeaseLost, JobProblem, JobRetry
from core.jobs.registry import kind_get
from core.jobs.services import job_finish, job_requeue
from core.models import Job

log = structlog.get_logger(__name__)

# Trouble that passes: worth another attempt. Anything else would fail again in the same way.
_PASSING = (JobRetry, OperationalError, InterfaceError, ConnectionError, TimeoutError)
_RETRY_DELAY_S = 10.0
_AGAIN_S = 1.0


def execute(job: Job) -> str:
    """Run the handler of a job that this process has claimed; returns how it ended.

    One of `succeeded`, `failed`, `cancelled`, `requeued`, or `lost` (another attempt owns it; nothing was written).
    """
    assert job.lease_token is not None
    lease: dict[str, Any] = {"job_id": job.pk, "token": job.lease_token}
    structlog.contextvars.bind_contextvars(job_id=str(job.pk), job_kind=job.kind)
    try:
        try:
            result = kind_get(job.kind).handler(JobContext(job), **job.params)
            json.dumps(result)  # what cannot be kept is the handler's mistake, and must end the job
        except JobCancelled:
            return _end("cancelled", lambda: job_finish(**lease, state=Job.State.CANCELLED))
        except JobLeaseLost:
            log.warning("job.lease_lost")
            return "lost"
        except _PASSING as error:
            log.warning("job.retry", reason=str(error))
            text = str(error) if isinstance(error, JobRetry) else f"{type(error).__name__}: {error}."
            return _end("requeued", lambda: job_requeue(**lease, error=text, delay_s=_RETRY_DELAY_S * job.attempt, traceback=traceback.format_exc()))
        except (JobProblem, ValidationError) as error:
            text = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            return _end("failed", lambda: job_finish(**lease, state=Job.State.FAILED, error=text or "It gave no reason."))
        except Exception as error:
            log.exception("job.failed")
            text = f"Something in Dreamfork broke ({type(error).__name__}: {error})."
            return _end("failed", lambda: job_finish(**lease, state=Job.State.FAILED, error=text, traceback=traceback.format_exc()))
        return _end("succeeded", lambda: job_finish(**lease, state=Job.State.SUCCEEDED, result=result))
    finally:
        structlog.contextvars.unbind_contextvars("job_id", "job_kind")


def _end(state: str, write: Callable[[], bool]) -> str:
    """Write how it ended. A database that is being restarted is waited for, as long as a lease can last without a heartbeat: hours
    of training must not be lost to it."""
    deadline = time.monotonic() + settings.JOB_STALE_SECONDS
    while True:
        try:
            written = write()
            break
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            log.warning("job.end_delayed", state=state, reason=str(error))
            connection.close()
            time.sleep(_AGAIN_S)
    if not written:
        log.warning("job.lease_lost")
        return "lost"
    log.info("job.ended", state=state)
    return state
