"""Run a claimed job in a process of its own and be killed in it, as by `kill -9`."""

import multiprocessing
import os
import signal
from contextlib import contextmanager

# Each process is forked from one that has loaded what stages need and done nothing: loading it takes longer than a tiny stage.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.training.killed_stage_parts"])


def run(*arguments: object) -> int | None:
    """`_main` in a process; how that ended, as `Process.exitcode`."""
    process = _processes.Process(target=_main, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def _main(database: str, job_id: str, token: str, point: str, number: int) -> None:
    """point: "progress" or "write": the process dies at the `number`-th time that the job tells its progress, or right after it has committed its
    `number`-th write."""
    from django.db import connection

    connection.settings_dict["NAME"] = database
    from core.jobs import JobContext
    from core.jobs.execution import execute
    from core.models import Job

    left = number

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
