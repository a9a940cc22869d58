"""manage.py make_pairs: comparisons from the rollouts that are there, by a chosen strategy."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from labeling import services
from labeling.models import Project
from rollouts.models import PolicyVersion, Scenario


class Command(BaseCommand):
    help = "Choose pairs of rollouts and put them into the queue. A job does this by itself when the queue runs low."

    def add_arguments(self, parser) -> None:
        parser.add_argument("--count", type=int, help="how many (default: as many as fill the queue)")
        parser.add_argument("--strategy", choices=Project.Strategy.values, help="default: the one of the settings")
        parser.add_argument("--scenario", action="append", default=[], help="slug; may be given more than once")
        parser.add_argument("--version-name", action="append", default=[], metavar="NAME", help="policy version; may be given more than once")
        parser.add_argument("--overlap", type=int, help="how many annotators answer each (default: the one of the settings)")
        parser.add_argument("--seed", type=int)

    def handle(self, *args, **options) -> None:
        scenarios = list(Scenario.objects.filter(slug__in=options["scenario"]))
        versions = list(PolicyVersion.objects.filter(name__in=options["version_name"]))
        for given, found in ((options["scenario"], [row.slug for row in scenarios]), (options["version_name"], [row.name for row in versions])):
            if missing := sorted(set(given) - set(found)):
                raise CommandError(f"There is no {missing[0]!r}.")
        result = services.comparisons_make_ahead(
            count=options["count"], strategy=options["strategy"], scenarios=[row.pk for row in scenarios],
            policy_versions=[row.pk for row in versions], required_overlap=options["overlap"], seed=options["seed"],
        )  # fmt: skip
        left = " No pair is left." if result["exhausted"] else ""
        self.stdout.write(f"{result['made']} comparisons made by {result['strategy']}.{left}")
