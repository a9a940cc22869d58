#!/usr/bin/env python
"""Dreamfork's command line: `manage.py up` runs the whole product, `manage.py help` lists the rest."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.env import OperatorProblem

    try:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
    except OperatorProblem as problem:
        sys.exit(f"dreamfork: {problem}")


if __name__ == "__main__":
    main()
