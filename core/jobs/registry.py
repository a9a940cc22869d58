"""Which kinds of jobs there are. An app registers its own on import of its `jobs.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.models import Job

Handler = Callable[..., dict[str, Any] | None]


@dataclass(frozen=True)
class JobKind:
    name: str
    handler: Handler
    queue: str
    max_attempts: int
    title: str
    every_s: int | None


_kinds: dict[str, JobKind] = {}


def job(name: str, *, queue: str = Job.Queue.CPU, max_attempts: int = 3, title: str = "", every_s: int | None = None) -> Callable[[Handler], Handler]:
    """Register `handler(ctx, **params)` under a name `<app>.<verb>`.

    A handler may be started more than once (its worker can die at any moment): it looks at what is there already
    and writes inside `ctx.fence()`. What it returns must be JSON-able and is kept as the job's result.

    Args:
        queue: `cpu` or `gpu`.
        max_attempts: how often it is started before it counts as failed.
        title: what people read; the name if left out.
        every_s: beat submits it this often, in seconds, unless one is waiting or running.
    """
    if queue not in Job.Queue.values:
        raise ValueError(f"{queue=} is not a queue; expected one of {Job.Queue.values}")

    def register(handler: Handler) -> Handler:
        known = _kinds.get(name)
        if known is not None and known.handler.__qualname__ != handler.__qualname__:
            raise ValueError(f"job kind {name!r} is registered twice")
        _kinds[name] = JobKind(name, handler, queue, max_attempts, title or name, every_s)
        return handler

    return register


def kind_get(name: str) -> JobKind:
    try:
        return _kinds[name]
    except KeyError:
        raise ValueError(f"unknown job kind {name!r}; known: {', '.join(sorted(_kinds))}") from None


def kinds() -> list[JobKind]:
    return sorted(_kinds.values(), key=lambda kind: kind.name)
