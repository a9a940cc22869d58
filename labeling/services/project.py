"""The settings of labeling."""

from __future__ import annotations

from django.db import transaction

from core import audit
from labeling.models import Project


def project_save(*, project: Project, criteria: list[dict], by) -> Project:
    """Keep changed settings (`project` is unsaved but checked), with what changed in the audit log."""
    with transaction.atomic():
        before = Project.current()
        project.criteria = criteria
        fields = [field.name for field in Project._meta.fields if field.name not in ("id", "updated_at", "supply_seen")]
        changed = [name for name in fields if getattr(before, name) != getattr(project, name)]
        project.save()
        if changed:
            audit.record(
                actor=by,
                action="labeling.settings",
                target="Labeling settings",
                before={name: getattr(before, name) for name in changed},
                after={name: getattr(project, name) for name in changed},
            )
    return project
