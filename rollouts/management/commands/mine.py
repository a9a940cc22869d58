"""Search for start frames where a policy fails."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rollouts import services
from rollouts.models import PolicyVersion
from rollouts.services.mining import TASKS


class Command(BaseCommand):
    help = "Mine the household world for start frames where the policy is likely to fail; the worst wait for an admin's approval."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--version-name", default="", metavar="NAME", help="Policy version; the active one if left out.")
        parser.add_argument("--budget", type=int, default=96, help="Start frames to try (96).")
        parser.add_argument("--dreams", type=int, default=4, help="Dreams of each (4).")
        parser.add_argument("--seed", type=int, default=0, help="The same seed gives the same search (0).")
        parser.add_argument("--task", choices=[task for task in TASKS if task], default="", help="What the robot is asked for; any if left out.")
        parser.add_argument("--strategy", choices=("map_elites", "uniform"), default="map_elites", help="uniform is the baseline.")
        parser.add_argument("--verify", type=int, default=0, metavar="N", help="Replay the N worst in physics afterwards.")

    def handle(self, **options: Any) -> None:
        version = version_named(options["version_name"])
        try:
            run = services.mining_run(
                policy_version=version,
                budget=options["budget"],
                dreams=options["dreams"],
                seed=options["seed"],
                task=options["task"],
                strategy=options["strategy"],
                trigger="command",
                say=self.stdout.write,
            )
            summary = run.summary
            self.stdout.write(
                f"Run {run.pk} under {version.name}: {summary['evaluated']} tried in {summary['seconds']} s, "
                f"{summary['cells']} of {summary['cells_total']} cells, {summary['proposed']} proposed, worst {summary['best']}."
            )
            if options["verify"]:
                real = services.mining_verify(run=run, limit=options["verify"])
                self.stdout.write(f"In the world: {real['failures']} of {real['episodes']} failed, {real['contacts']} touched the dog.")
        except services.RolloutsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Decide at {run.get_absolute_url()}")


def version_named(name: str) -> PolicyVersion:
    """The version of that name, or the active one; registers the shipped weights if there is none at all.

    Raises CommandError with the names that exist.
    """
    if not name:
        try:
            return PolicyVersion.objects.filter(is_active=True).first() or services.base_version_ensure()
        except services.RolloutsError as error:
            raise CommandError(str(error)) from error
    version = PolicyVersion.objects.filter(name=name).first()
    if version is None:
        known = ", ".join(PolicyVersion.objects.values_list("name", flat=True)) or "none"
        raise CommandError(f"There is no policy version “{name}”. Known: {known}.")
    return version
