"""A worker inside a command, for `--here`: on a machine where none runs, or to keep a terminal's work in the terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections

from core.jobs.runner import kill_idle, run_one
from core.models import Job

POLL_S = 0.5


@contextmanager
def worker_here(wanted: bool = True) -> Iterator[None]:
    """Do a worker's part for the GPU queue in a thread, whose jobs run in children of this process; nothing unless `wanted`."""
    if not wanted:
        yield
        return
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            close_old_connections()
            if run_one(Job.Queue.GPU) is None:
                stop.wait(POLL_S)

    threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        kill_idle()
