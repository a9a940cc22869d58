"""A whole site in a directory of its own: PostgreSQL, Valkey, uvicorn, people and pairs. For tests and benchmarks in a browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psycopg2

from core import servers

ROOT = Path(__file__).resolve().parents[2]


class Site:
    """Started by entering it, ended by leaving it. `stop_web` and `start_web` stand for a server that is restarted."""

    def __init__(self, home: Path, *, pairs: int, people: dict[str, list[str]]) -> None:
        """`people`: names by role; a name that stands twice may sign in twice."""
        self.home = home
        self.pairs = pairs
        self.people = people
        self._links: dict[str, list[str]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DREAMFORK_") and name not in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
        }
        self.environment = {
            **kept,
            "DREAMFORK_HOME": str(home),
            "DREAMFORK_URL": self.url,
            "DREAMFORK_HOSTS": "127.0.0.1,lab.test",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "OMP_NUM_THREADS": "1",
        }
        self._servers: list[tuple[subprocess.Popen[bytes], servers.ServerCommand]] = []
        self._web: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Site:
        try:
            servers.home_prepare(self.home)
            for command in (servers.postgres_command(self.home, durable=False), servers.valkey_command(self.home)):
                self._servers.append((servers.start(command, log=self.home / f"{command.name}.log"), command))
            servers.database_ensure(self.home)
            self.run("manage.py", "migrate", "--verbosity", "0")
            self.run("-m", "tests.e2e.content", str(self.pairs))
            self.start_web()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop_web()
        for process, command in reversed(self._servers):
            servers.stop(process, command)
        self._servers.clear()

    def start_web(self) -> None:
        log = (self.home / "web.log").open("ab")
        self._web = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(self.port),
                "--no-access-log", "--lifespan", "off", "--ws", "websockets-sansio",
            ],
            cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 180  # a machine that is busy with training takes its time
        while time.monotonic() < deadline:
            if self._web.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError("the web server did not start:\n" + (self.home / "web.log").read_text(errors="replace")[-3000:])

    def stop_web(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it as a crash would."""
        if self._web is None:
            return
        self._web.send_signal(number)
        self._web.wait(20)
        self._web = None

    def run(self, *arguments: str) -> str:
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}"
        return done.stdout

    def sign_in_link(self, name: str) -> str:
        """A link that signs this person in once. One command makes those of a whole role: starting it takes longer than all the rest."""
        if name not in self._links:
            role, names = next((role, names) for role, names in self.people.items() if name in names)
            for line in self.run("manage.py", "sign_in_link", *names, "--role", role, "--base", self.url).splitlines():
                if found := re.fullmatch(r"(\S+): (https?://\S+)", line.strip()):
                    self._links.setdefault(found[1], []).append(found[2])
        return self._links[name].pop()

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(servers.postgres_url(self.home))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, values)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()
