"""What happened, by topic. The row is what counts; Channels only says "changed, up to id N".

A topic is `prefix:rest`, for example `job:5f1c...` or `round:12`. An app says who may read its prefix with
`topic_access`; without that a topic is for researchers.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, transaction
from redis.exceptions import RedisError

from core.models import Event, User
from core.people import has_role
from core.roles import RESEARCHER

log = structlog.get_logger(__name__)

Access = Callable[[User, str], bool]
_access: dict[str, Access] = {}


def topic_access(prefix: str, check: Access) -> None:
    """Let `check(user, rest)` decide who may read the topics `prefix:rest`."""
    _access[prefix] = check


def topic_allowed(user: Any, topic: str) -> bool:
    prefix, _, rest = topic.partition(":")
    if not isinstance(user, User) or not user.is_active or not rest:
        return False
    check = _access.get(prefix)
    return check(user, rest) if check else has_role(user, RESEARCHER)


def group_name(topic: str) -> str:
    """Channels allows only short ASCII names."""
    return f"topic.{hashlib.sha256(topic.encode()).hexdigest()[:32]}"


def publish(topic: str, kind: str, data: dict[str, Any] | None = None) -> Event:
    """Add an event and ping the topic's pages once it is committed.

    Within a topic ids become visible in order: without the lock a slow transaction could commit a smaller id
    after a reader has gone past it, and the reader would never see it. The lock is held until the transaction
    ends, so publish late and in short transactions.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [topic])
        event = Event.objects.create(topic=topic, kind=kind, data=data or {})
        transaction.on_commit(lambda: ping(topic, event.pk))
    return event


def ping(topic: str, last: int) -> None:
    """Tell open pages. A lost ping is harmless: they also ask by themselves now and then."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group_name(topic), {"type": "topic.changed", "topic": topic, "last": last})
    except (RedisError, OSError) as error:
        log.warning("ping.lost", topic=topic, reason=str(error))


def events_after(*, topic: str, after: int, limit: int = 500) -> list[Event]:
    return list(Event.objects.filter(topic=topic, id__gt=after).order_by("id")[:limit])


def last_id(topic: str) -> int:
    """The newest event's id, or 0."""
    return Event.objects.filter(topic=topic).order_by("-id").values_list("id", flat=True).first() or 0
