"""`manage.py demo`: content to look at on a fresh installation. Idempotent."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.jobs import JobProblem


class Command(BaseCommand):
    help = "Load the demo scenarios, start frames, comparisons and simulated annotators. What is there already is left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        from labeling import demo as labeling_demo
        from rollouts import demo as rollouts_demo

        try:
            for name, load in (("rollouts", rollouts_demo.load), ("labeling", labeling_demo.load)):
                made = load()
                counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in made.items()) if isinstance(made, dict) else "done"
                self.stdout.write(f"{name}: {counts}")
        except JobProblem as error:
            raise CommandError(str(error)) from error
