"""Jobs: work outside a request, on any number of hosts, that survives what happens to its worker.

    @job("rollouts.sample", queue="gpu")
    def sample(ctx: JobContext, *, start_frame: int, n: int) -> dict:
        ...

    submit(kind="rollouts.sample", params={"start_frame": 7, "n": 8}, created_by=request.user)

See `docs/jobs.md` for what happens when something breaks.
"""

from core.jobs.context import JobContext
from core.jobs.problems import JobCancelled, JobLeaseLost, JobProblem, JobRetry
from core.jobs.registry import job, kinds
from core.jobs.services import job_cancel, job_retry, submit

__all__ = ["JobCancelled", "JobContext", "JobLeaseLost", "JobProblem", "JobRetry", "job", "job_cancel", "job_retry", "kinds", "submit"]
