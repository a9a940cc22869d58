"""Hooks of a Celery worker process: it says that it is alive, and gives its jobs back when it is asked to stop."""

import threading
from typing import Any

import structlog
from celery.signals import worker_process_shutdown, worker_ready, worker_shutdown, worker_shutting_down
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from core.jobs import runner
from core.jobs.services import jobs_wake_waiting

log = structlog.get_logger(__name__)
_BEAT_EVERY_S = 10.0


def _beat(queues: list[str]) -> None:
    from core.models import WorkerBeat

    name = runner.worker_name()
    try:
        jobs_wake_waiting(queues=queues)
    except DatabaseError as error:
        log.warning("worker.wake_failed", reason=str(error))  # the sweep does it later
    while True:
        try:
            WorkerBeat.objects.update_or_create(name=name, defaults={"queues": queues, "seen_at": timezone.now()})
        except DatabaseError as error:
            log.warning("worker.beat_failed", reason=str(error))
        finally:
            close_old_connections()
        if runner.stopping.wait(_BEAT_EVERY_S):
            break
    try:
        WorkerBeat.objects.filter(name=name).delete()
    except DatabaseError:
        pass  # an old row only says that a worker was here
    finally:
        close_old_connections()


@worker_ready.connect
def _on_ready(sender: Any, **_: Any) -> None:
    queues = sorted(sender.app.amqp.queues.consume_from)
    log.info("worker.ready", queues=queues)
    threading.Thread(target=_beat, args=[queues], daemon=True, name="worker-beat").start()


@worker_shutting_down.connect
def _on_stopping(**_: Any) -> None:
    runner.stopping.set()


@worker_shutdown.connect
@worker_process_shutdown.connect
def _on_stopped(**_: Any) -> None:
    runner.stopping.set()
    runner.kill_idle()
