from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _ensure_roles(sender: AppConfig, using: str, **_: Any) -> None:
    """The three groups exist after every migrate (and after a test flushed the tables)."""
    from django.contrib.auth.models import Group

    from core.roles import ROLES

    for name in ROLES:
        Group.objects.using(using).get_or_create(name=name)


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from django.utils.module_loading import autodiscover_modules

        import config.celery  # noqa: F401  (shared tasks find their broker, in every process)
        from core import metrics  # noqa: F401  (registers the collectors)
        from core.jobs import check, worker  # noqa: F401  (registers kinds; connects the worker's signals)

        post_migrate.connect(_ensure_roles, sender=self)
        # Each app names its job kinds in `jobs.py`; core knows none of them.
        autodiscover_modules("jobs")
