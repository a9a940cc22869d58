"""`manage.py evaluation`: evaluate a registered version, as the page does; `manage.py evaluate` plays a directory of weights.

manage.py evaluation                       # the active version, the default suite
manage.py evaluation base-r1 --adversarial 200 --ordinary 200 --dreams 4
manage.py evaluation --list
"""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from core.jobs import JobProblem
from rollouts.models import PolicyVersion
from training.management.here import POLL_S, worker_here
from training.models import Evaluation
from training.selectors import evaluations_listed
from training.services import evaluation_start, evaluations_reconcile
from training.services.round_settings import SuiteSettings

SUITE = SuiteSettings()


class Command(BaseCommand):
    help = "Play a suite of episodes in the world with a registered version and say how it did."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("version", nargs="?", default="", help="name of the version; the active one if left out")
        for name in ("adversarial", "ordinary", "dreams", "seed"):
            parser.add_argument(f"--{name}", type=int, default=getattr(SUITE, name), help="(default: %(default)s)")
        parser.add_argument("--scenarios", default="", help="slugs whose scenes the adversarial episodes take in turn, separated by commas")
        parser.add_argument("--no-watch", action="store_true", help="queue it and return")
        parser.add_argument("--here", action="store_true", help="play from this process instead of a worker")
        parser.add_argument("--list", action="store_true", help="list the newest evaluations instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for row in evaluations_listed()[:30]:
                self.stdout.write(f"{row.pk:>5} {row.policy_version.name:<40} {row.state:<8} {line(row)}")
            return
        name = options["version"]
        version = PolicyVersion.objects.filter(name=name).first() if name else PolicyVersion.objects.filter(is_active=True).first()
        if version is None:
            raise CommandError(f"There is no version “{name}”." if name else "No version is active; name one.")
        settings = {key: options[key] for key in ("adversarial", "ordinary", "dreams", "seed")}
        settings["scenarios"] = [slug for slug in options["scenarios"].split(",") if slug]
        try:
            row = evaluation_start(version=version, settings=settings)
        except JobProblem as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"evaluation {row.pk} of {version.name}")
        if not options["no_watch"]:
            row = self.follow(row, here=options["here"])
            if row.state != Evaluation.State.DONE:
                raise CommandError(row.job.explanation if row.job else "It stopped.")
            self.stdout.write(line(row))

    def follow(self, row: Evaluation, *, here: bool) -> Evaluation:
        """A bar until it ends. Ctrl-C stops following; a worker plays on."""
        columns = (TextColumn("episodes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console()) as progress, worker_here(here and row.state != Evaluation.State.DONE):
            bar = progress.add_task("episodes", total=row.suite["adversarial"] + row.suite["ordinary"])
            while True:
                evaluations_reconcile()
                row = Evaluation.objects.select_related("job", "policy_version").get(pk=row.pk)
                progress.update(bar, completed=row.episodes.count())
                if row.state != Evaluation.State.RUNNING:
                    return row
                time.sleep(POLL_S)


def line(row: Evaluation) -> str:
    """Its figures with their intervals and numbers of episodes, in one line."""
    parts = []
    for kind, measure in (("adversarial", "contact"), ("adversarial", "clean"), ("ordinary", "success")):
        if found := (row.summary.get(kind) or {}).get(measure):
            parts.append(f"{kind} {measure} {found['value']:.1%} [{found['low']:.1%}, {found['high']:.1%}] n {found['n']}")
    return "; ".join(parts)
