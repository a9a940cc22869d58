"""manage.py import_choices FILE_OR_DIRECTORY: the way back from an export."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError

from labeling import exports


class Command(BaseCommand):
    help = "Read an export (.jsonl, .parquet or its directory) back in. All or nothing; choices that are here already are left alone."

    def add_arguments(self, parser) -> None:
        parser.add_argument("path", type=Path)

    def handle(self, *args, **options) -> None:
        if not options["path"].exists():
            raise CommandError(f"{options['path']} does not exist.")
        try:
            counts = exports.choices_import(exports.rows_read(options["path"]))
        except exports.ImportProblem as error:
            raise CommandError(str(error)) from error
        except IntegrityError as error:
            raise CommandError(f"The rows contradict what is here: {str(error).splitlines()[0]}") from error
        self.stdout.write(
            f"{counts['imported']} choices imported, {counts['already_here']} were here; {counts['comparisons']} comparisons and "
            f"{counts['annotators']} annotators made."
        )
