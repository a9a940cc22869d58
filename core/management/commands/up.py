"""`manage.py up`: run the whole product on this machine."""

import os
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.env import OperatorProblem
from core.supervisor.up import Options, Up


class Command(BaseCommand):
    help = "Run the whole product on this machine: database, broker, web server, workers and beat. Ctrl-C stops it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=urlsplit(settings.SITE_URL).port or 8000, help="port to listen on (default: %(default)s)")
        parser.add_argument("--no-demo", action="store_true", help="do not load the demo content into an empty database")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["port"] < 65536:
            raise CommandError(f"--port {options['port']} is not a port; expected 1 to 65535.")
        chosen = Options(
            home=settings.HOME, base_dir=settings.BASE_DIR, host=options["host"], port=options["port"], demo=not options["no_demo"],
            own_database="DATABASE_URL" not in os.environ and "DATABASE_URL_FILE" not in os.environ,
            own_broker="REDIS_URL" not in os.environ and "REDIS_URL_FILE" not in os.environ,
        )  # fmt: skip
        # The children must agree with us about where the site and its data are.
        os.environ.setdefault("DREAMFORK_URL", chosen.url)
        os.environ.setdefault("DREAMFORK_HOME", str(settings.HOME))
        try:
            code = Up(chosen).run()
        except OperatorProblem as problem:
            raise CommandError(str(problem)) from problem
        if code:
            raise SystemExit(code)
