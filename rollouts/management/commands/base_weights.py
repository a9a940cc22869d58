"""Register the weights that come with this release as a policy version."""

from typing import Any

from django.core.management.base import BaseCommand

from rollouts import services


class Command(BaseCommand):
    help = "Register the shipped weights as a policy version, and activate them if no trained version is active. Does nothing the second time."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            version = services.base_version_ensure()
        except services.RolloutsError as error:
            # Not an error of the start: everything but dreaming works without weights.
            self.stderr.write(str(error))
            return
        if options["verbosity"] > 1:
            self.stdout.write(f"The shipped weights are the policy version “{version.name}”.")
