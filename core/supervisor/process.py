"""One child of the supervisor: started, watched, started again when it dies, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.servers import as_user, die_with_parent

_RESTARTS = 8  # within...
_WITHIN_S = 180.0  # ...this many seconds; more often means that it cannot run here
_LOG_LINE_LIMIT = 1024 * 1024


class GaveUp(Exception):
    """A child died too often; the message says which, with its last words."""


@dataclass
class Child:
    """A process with a name, in a process group of its own (a Ctrl-C reaches only the supervisor, which stops it in order)."""

    name: str
    argv: list[str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 20.0
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    restart_delay_s: float = 0.5
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    last_words: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, say: Callable[[str, str], None]) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.argv, cwd=self.cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True, preexec_fn=die_with_parent(self.stop_signal), limit=_LOG_LINE_LIMIT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}, **as_user(self.user),
        )  # fmt: skip
        self._tasks.append(asyncio.create_task(self._stream(self.process, say)))

    async def _stream(self, process: asyncio.subprocess.Process, say: Callable[[str, str], None]) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                continue  # a line longer than the limit; what is left of it comes next
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self.last_words = [*self.last_words[-4:], text]
            say(self.name, text)

    async def wait_ready(self, timeout_s: float = 90.0) -> None:
        """Raises GaveUp if it ends or does not answer in time."""
        deadline = time.monotonic() + timeout_s
        while self.ready is not None and not await asyncio.to_thread(self.ready):
            assert self.process is not None
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise GaveUp(f"{self.name} did not start: {' / '.join(self.last_words[-3:]) or 'it said nothing'}")
            await asyncio.sleep(0.1)

    async def keep(self, say: Callable[[str, str], None]) -> None:
        """Start it again when it dies.

        Raises:
            GaveUp: it died more than 8 times within 3 minutes.
        """
        deaths: list[float] = []
        while True:
            assert self.process is not None
            code = await self.process.wait()
            if self.stopping:
                return
            now = time.monotonic()
            deaths = [death for death in deaths if now - death < _WITHIN_S] + [now]
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            if len(deaths) > _RESTARTS:
                raise GaveUp(f"{self.name} died {len(deaths)} times in {_WITHIN_S:.0f} s ({how}): {' / '.join(self.last_words[-3:])}")
            say("up", f"{self.name} died ({how}); it is started again")
            self._kill_group()  # what it started goes with it
            await asyncio.sleep(min(10.0, self.restart_delay_s * 2 ** (len(deaths) - 1)))
            if self.stopping:
                return
            await self.start(say)

    async def stop(self) -> None:
        """Ask it to stop; end it and everything it started when its time is over."""
        self.stopping = True
        if self.process is None:
            return
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(self.stop_signal)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), self.grace_s)
        self._kill_group()
        await self.process.wait()
        for task in self._tasks:
            with suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(task, 2.0)

    def _kill_group(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)


async def run_to_end(argv: list[str], *, name: str, cwd: Path, say: Callable[[str, str], None]) -> None:
    """Run a step that has to succeed, with its output shown; cancelling ends it.

    Raises:
        GaveUp: it failed.
    """
    child = Child(name, [sys.executable, *argv], cwd, grace_s=5.0)
    await child.start(say)
    assert child.process is not None
    try:
        code = await child.process.wait()
        await asyncio.gather(*child._tasks)
    finally:
        await child.stop()
    if code:
        raise GaveUp(f"{name} failed: {' / '.join(child.last_words[-3:]) or f'exit code {code}'}")
