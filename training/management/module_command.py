"""A command that hands its arguments to the `main()` of a module without Django."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from django.core.management.base import BaseCommand


class ModuleCommand(BaseCommand):
    """`manage.py <name> ...` is `python -m <module> ...`: one set of options, one help text, no second truth."""

    module: str
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        self._main(argv[0] + " " + argv[1], argv[2:])

    def handle(self, *args: Any, **options: Any) -> None:
        self._main(self.module, [str(arg) for arg in args])

    def _main(self, name: str, arguments: list[str]) -> None:
        before, sys.argv = sys.argv, [name, *arguments]
        try:
            importlib.import_module(self.module).main()
        finally:
            sys.argv = before
