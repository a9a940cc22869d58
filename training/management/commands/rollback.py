"""`manage.py rollback NAME`: make a version that was promoted before the active one again."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.jobs import JobProblem
from rollouts.models import PolicyVersion
from training.services import version_rollback


class Command(BaseCommand):
    help = "Make a promoted policy version active again. Without a name, list the versions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="name of the version")
        parser.add_argument("--reason", default="", help="kept in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if not name:
            for version in PolicyVersion.objects.order_by("created_at"):
                self.stdout.write(f"{'*' if version.is_active else ' '} {version.name:<40} {version.state:<10} {version.created_at:%Y-%m-%d %H:%M}")
            return
        found = PolicyVersion.objects.filter(name=name).first()
        if found is None:
            raise CommandError(f"There is no version “{name}”. Without a name this command lists them.")
        try:
            version_rollback(version=found, by=None, reason=options["reason"] or "manage.py rollback")
        except JobProblem as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"“{found.name}” is active.")
