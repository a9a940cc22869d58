"""Run a claimed job and be killed in it, as by `kill -9`: killed_stage.py DATABASE JOB LEASE_TOKEN POINT NUMBER

POINT is "progress" or "write": the process dies at the NUMBER-th time that the job tells its progress, or right after it has
committed its NUMBER-th write.
"""

import os
import signal
import sys
from contextlib import contextmanager

import django


def main(database: str, job_id: str, token: str, point: str, number: str) -> None:
    django.setup()
    from django.db import connection

    connection.settings_dict["NAME"] = database
    from core.jobs import JobContext
    from core.jobs.execution import execute
    from core.models import Job

    left = int(number)

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    progress, fence = JobContext.progress, JobContext.fence

    def progress_then_die(self, *arguments, **named):
        progress(self, *arguments, **named)
        reached()

    @contextmanager
    def fence_then_die(self):
        with fence(self):
            yield
        reached()

    if point == "progress":
        JobContext.progress = progress_then_die
    else:
        JobContext.fence = fence_then_die
    print("ended without being killed:", execute(Job.objects.get(pk=job_id, lease_token=token)))


if __name__ == "__main__":
    main(*sys.argv[1:])
