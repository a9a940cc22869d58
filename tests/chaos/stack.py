"""A whole running product in a directory of its own, for tests that break it."""

import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from core import servers

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, "manage.py"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """The shell's environment without what the test run itself has set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DREAMFORK_") and name not in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
    }
    return {**kept, "DREAMFORK_HOME": str(home), "OMP_NUM_THREADS": "1", **more}


def wait_for(what: Callable[[], Any], *, timeout_s: float, why: str) -> Any:
    """The first true answer of `what`; fails the test with `why` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {why}")


def tree_of(process: psutil.Process | None) -> list[psutil.Process]:
    """A process and all that it has started."""
    assert process is not None, "it does not run"
    return [process, *process.children(recursive=True)]


class Stack:
    """`manage.py up` as a process, with its log, its children and its database."""

    def __init__(self, home: Path, *, port: int | None = None, arguments: tuple[str, ...] = ("--no-demo",), **settings: str) -> None:
        self.home = home
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = clean_environment(home, **settings)
        self.database = settings.get("DATABASE_URL") or servers.postgres_url(home)
        self._arguments = arguments
        self.start()

    def start(self) -> "Stack":
        """Run it, or run it again once it has ended: on the same directory and port, with a new log."""
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*MANAGE, "up", "--port", str(self.port), *self._arguments], cwd=ROOT, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=[self.process, self.lines], daemon=True)
        self._reader.start()
        return self

    @staticmethod
    def _read(process: "subprocess.Popen[str]", lines: list[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())

    def wait_line(self, pattern: str, *, timeout_s: float = 240.0, count: int = 1) -> str:
        def found() -> str | None:
            matches = [line for line in self.lines if re.search(pattern, line)]
            if len(matches) >= count:
                return matches[count - 1]
            assert self.process.poll() is None, "up ended:\n" + "\n".join(self.lines[-30:])
            return None

        return str(wait_for(found, timeout_s=timeout_s, why=f"{pattern!r} in the log:\n" + "\n".join(self.lines[-30:])))

    def wait_up(self) -> "Stack":
        self.wait_line("Ctrl-C stops everything")
        for queues in ("cpu", "gpu", "system"):
            self.wait_line(rf"worker\.ready.*{queues}")
        return self

    def stop(self, number: signal.Signals = signal.SIGINT, *, timeout_s: float = 60.0) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    # -- what runs ----------------------------------------------------------------------------------------------------

    def family(self) -> list[psutil.Process]:
        """Everything that `up` started, also what has changed its parent."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.pid == self.process.pid or process.status() == psutil.STATUS_ZOMBIE:
                return False
            text = " ".join(process.cmdline())
            return str(self.home) in text or process.environ().get("DREAMFORK_HOME") == str(self.home)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def find(self, *words: str) -> psutil.Process | None:
        """The direct child of `up` whose command line (or name) has all of `words`."""
        for process in psutil.Process(self.process.pid).children():
            try:
                if set(words) <= {process.name(), *process.cmdline()}:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    # -- what it says -------------------------------------------------------------------------------------------------

    def status(self, path: str = "/healthz") -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                rows = list(cursor.fetchall())
            connection.commit()
            return rows
        finally:
            connection.close()

    def manage(self, *arguments: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*MANAGE, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s)

    def submit(self, *, steps: int, step_s: float = 0.2) -> str:
        """Queue a check of the CPU workers as a row that nobody was woken for: the sweep finds it. Its id.

        (Starting `manage.py check_workers` for each would cost seconds; one test does.)
        """
        job_id = str(uuid.uuid4())
        self.query(
            "INSERT INTO core_job"
            " (id, kind, queue, params, state, priority, attempt, max_attempts, worker, progress, progress_text, error, traceback, created_at)"
            " VALUES (%s, 'core.check', 'cpu', %s, 'queued', 100, 0, 3, '', 0, '', '', '', now()) RETURNING id",
            job_id, json.dumps({"steps": steps, "step_s": step_s}),
        )  # fmt: skip
        return job_id

    def token(self, role: str = "admin") -> str:
        """An API token of a new person with a role."""
        secret = secrets.token_urlsafe()
        self.query(
            "WITH made AS (INSERT INTO core_user (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined)"
            " VALUES (%s, '!', false, '', '', '', false, true, now()) RETURNING id),"
            " member AS (INSERT INTO core_user_groups (user_id, group_id) SELECT made.id, auth_group.id FROM made, auth_group WHERE name = %s)"
            " INSERT INTO core_apitoken (user_id, name, token_hash, created_at) SELECT id, 'test', %s, now() FROM made RETURNING id",
            f"{role}-{secret[:8]}", role, hashlib.sha256(secret.encode()).hexdigest(),
        )  # fmt: skip
        return secret

    def cancel(self, job_id: str) -> None:
        request = urllib.request.Request(f"{self.url}/api/v1/jobs/{job_id}/cancel/", method="POST", headers={"Authorization": f"Token {self.token()}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def job(self, job_id: str) -> dict[str, Any]:
        names = ("state", "attempt", "error", "worker", "progress")
        rows = self.query(f"SELECT {', '.join(names)} FROM core_job WHERE id = %s", job_id)
        return dict(zip(names, rows[0], strict=True))

    def events(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        return [(kind, data) for kind, data in self.query("SELECT kind, data FROM core_event WHERE topic = %s ORDER BY id", f"job:{job_id}")]

    def wait_job(self, job_id: str, *states: str, timeout_s: float = 60.0) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in states else None

        return dict(wait_for(there, timeout_s=timeout_s, why=f"job in {states}; it is {self.job(job_id)}"))

    def wait_steps(self, job_id: str, count: int, *, timeout_s: float = 60.0) -> None:
        wait_for(lambda: len([1 for kind, _ in self.events(job_id) if kind == "step"]) >= count, timeout_s=timeout_s, why=f"{count} steps")
