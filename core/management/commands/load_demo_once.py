"""`manage.py load_demo_once`: what `up` does on an empty database."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Load the demo content if nobody has used this database yet."

    def handle(self, *args: Any, **options: Any) -> None:
        if get_user_model().objects.exists():
            return
        if "demo" in get_commands():
            self.stdout.write("The database is empty: loading the demo content.")
            call_command("demo")
