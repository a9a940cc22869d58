"""`manage.py sign_in_link NAME`: a link that signs a person in once."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from core.models import User
from core.people import ROLES, person_ensure, sign_in_link_create

_DEMO_NAMES = {"annotator": "Ann Otator", "researcher": "Rhea Searcher", "admin": "Adam Min"}


class Command(BaseCommand):
    help = "Print a link that signs a person in once. With --role the person is made if need be."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="+", metavar="NAME", help="user names")
        parser.add_argument("--role", action="append", choices=ROLES, default=[], help="give this role (may be repeated)")
        parser.add_argument("--demo", action="store_true", help="NAMES are roles; link the demo person of each")
        parser.add_argument("--base", default=settings.SITE_URL, help="address of the site (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in options["names"]:
            if options["demo"]:
                user = person_ensure(username=name, roles=(name,), name=_DEMO_NAMES.get(name, ""))
            elif options["role"]:
                user = person_ensure(username=name, roles=tuple(options["role"]))
            else:
                found = User.objects.filter(username=name, is_active=True).first()
                if found is None:
                    raise CommandError(f"There is no active person named {name!r}; add --role to make one.")
                user = found
            self.stdout.write(f"{user.username}: {options['base']}{sign_in_link_create(user=user)}")
