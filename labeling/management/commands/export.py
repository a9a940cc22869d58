"""manage.py export DIRECTORY: choices as JSONL and parquet, with provenance and a data card."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.http import QueryDict
from tqdm import tqdm

from labeling import exports
from labeling.exports.files import FORMATS, ExportExists
from labeling.forms import ChoiceFilterForm

REPEATED = ("scenario", "version", "answer", "kind")


class Command(BaseCommand):
    help = "Write choices into a directory: choices.jsonl, choices-00000.parquet, README.md (data card). Interrupted, it goes on by --resume."

    def add_arguments(self, parser) -> None:
        parser.add_argument("directory", type=Path)
        parser.add_argument("--format", action="append", choices=FORMATS, help="Default: both.")
        parser.add_argument("--scenario", action="append", help="Slug; may be given more than once, like the next three.")
        parser.add_argument("--version-name", action="append", dest="version_", metavar="NAME", help="Policy version: both rollouts come from these.")
        parser.add_argument("--answer", action="append", choices=["a", "b", "tie", "both_bad", "cant_tell"])
        parser.add_argument("--kind", action="append", choices=["normal", "gold", "repeat"])
        parser.add_argument("--source", choices=["people", "simulated"])
        parser.add_argument("--since", help="ISO 8601")
        parser.add_argument("--until", help="ISO 8601")
        parser.add_argument("--qualified-only", action="store_true")
        parser.add_argument("--include-excluded", action="store_true")
        parser.add_argument("--names", action="store_true", help="User names instead of pseudonyms.")
        parser.add_argument("--media", action="store_true", help="Also the videos that the rows name.")
        parser.add_argument("--resume", action="store_true", help="Go on with an interrupted export in this directory.")

    def handle(self, *args, **options) -> None:
        query = QueryDict(mutable=True)
        for name in REPEATED:
            query.setlist(name, options["version_" if name == "version" else name] or [])
        for name in ("source", "since", "until"):
            query[name] = options[name] or ""
        for name in ("qualified_only", "include_excluded"):
            if options[name]:
                query[name] = "on"
        form = ChoiceFilterForm(query)
        if not form.is_valid():
            field, errors = next(iter(form.errors.items()))
            raise CommandError(f"--{field.replace('_', '-')}: {errors[0]}")
        with tqdm(unit="choice", disable=options["verbosity"] == 0 or not self.stderr.isatty()) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                result = exports.export_to_directory(
                    options["directory"], form.to_filter(), formats=tuple(options["format"] or FORMATS), names=options["names"],
                    media=options["media"], resume=options["resume"], progress=progress,
                )  # fmt: skip
            except (ExportExists, OSError) as error:
                raise CommandError(str(error)) from error
        self.stdout.write(f"{result['rows']} choices before {result['until']} in {options['directory']}: {', '.join(result['files'])}")
