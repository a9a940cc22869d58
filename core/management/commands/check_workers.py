"""`manage.py check_workers`: do the workers work?"""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.jobs import submit
from core.models import Job

_KINDS = {"cpu": "core.check", "gpu": "core.check_gpu"}


class Command(BaseCommand):
    help = "Send each queue a job that only waits, and see it through."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queue", action="append", choices=sorted(_KINDS), help="only this queue (may be repeated)")
        parser.add_argument("--steps", type=int, default=5, help="steps of a job (default: %(default)s)")
        parser.add_argument("--step-seconds", type=float, default=0.2, help="seconds per step (default: %(default)s)")
        parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the end; 0 does not wait (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        params = {"steps": options["steps"], "step_s": options["step_seconds"]}
        jobs = [submit(kind=_KINDS[queue], params=params, priority=100) for queue in options["queue"] or _KINDS]
        for job in jobs:
            self.stdout.write(f"{job.queue}: {job.pk}")
        deadline = time.monotonic() + options["timeout"]
        waiting = jobs if options["timeout"] else []
        while waiting:
            time.sleep(0.2)
            for job in waiting:
                job.refresh_from_db()
            if time.monotonic() > deadline:
                raise CommandError("; ".join(f"{job.queue}: {job.explanation}" for job in waiting))
            waiting = [job for job in waiting if not job.is_finished]
        if bad := [job for job in jobs if options["timeout"] and job.state != Job.State.SUCCEEDED]:
            raise CommandError("; ".join(f"{job.queue}: {job.explanation}" for job in bad))
        if options["timeout"]:
            self.stdout.write("The workers work.")
