"""The append-only log of what people with power did. Call `record` in the same transaction as the act."""

from typing import Any

from django.db.models import Model

from core.models import AuditEntry, User


def record(
    *,
    actor: User | None,
    action: str,
    target: Model | str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Write an entry. `actor` None is the system itself.

    Args:
        action: `<entity>.<verb>`, for example `scenario.retire`.
        before, after: JSON-able; only what changed.
    """
    kind, identity = ("", "") if isinstance(target, str) else (target._meta.label, str(target.pk))
    return AuditEntry.objects.create(
        actor=actor, actor_name=str(actor) if actor else "system", action=action, target_type=kind, target_id=identity,
        target=str(target)[:300], before=before, after=after, reason=reason,
    )  # fmt: skip
