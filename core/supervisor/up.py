"""The whole product on one machine: servers, migrations, demo, web, workers and beat, until Ctrl-C."""

import asyncio
import os
import shutil
import signal
import sys
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from config.env import OperatorProblem
from core import servers
from core.supervisor import checks, lock
from core.supervisor.process import Child, GaveUp, run_to_end

_LEAST_FREE_MB = 500
_COLOURS = [36, 33, 35, 32, 34, 96, 93]


@dataclass(frozen=True)
class Options:
    home: Path
    base_dir: Path
    host: str
    port: int
    demo: bool
    own_database: bool
    own_broker: bool
    quiet: bool = False

    @property
    def url(self) -> str:
        # A browser cannot go to "all addresses".
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, f"[{self.host}]" if ":" in self.host else self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


class Up:
    """
    1. refuse early: data directory, disk, port, another `up`, servers that are not there;
    2. servers, migrations, demo content if the database is empty;
    3. web server, workers, beat; print the address and three sign-in links;
    4. on Ctrl-C or SIGTERM stop them in the reverse order.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.children: list[Child] = []
        self._colour: dict[str, int] = {}
        self._tty = sys.stdout.isatty()

    def say(self, name: str, text: str) -> None:
        colour = self._colour.setdefault(name, _COLOURS[len(self._colour) % len(_COLOURS)])
        prefix = f"\x1b[{colour}m{name:>8} |\x1b[0m" if self._tty else f"{name:>8} |"
        with suppress(BrokenPipeError):
            print(prefix, text, flush=True)  # noqa: T201

    def run(self) -> int:
        options = self.options
        servers.home_prepare(options.home)
        free = shutil.disk_usage(options.home).free // 2**20
        if free < _LEAST_FREE_MB:
            raise OperatorProblem(f"Only {free} MB are free on the disk of {options.home}; at least {_LEAST_FREE_MB} MB are needed.")
        with lock.hold(options.home) as held:
            lock.check_port(options.host, options.port)
            if not options.own_database:
                checks.check_database()
            if not options.own_broker:
                checks.check_broker()
            lock.note(held, options.url)
            try:
                return asyncio.run(self._run())
            except GaveUp as problem:
                raise OperatorProblem(str(problem)) from problem

    async def _run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        stopped = asyncio.create_task(stop.wait())
        work = asyncio.create_task(self._bring_up())
        try:
            await asyncio.wait({stopped, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                keepers = work.result()
                await asyncio.wait({stopped, *keepers}, return_when=asyncio.FIRST_COMPLETED)
                for keeper in keepers:
                    if keeper.done():
                        keeper.result()  # raises GaveUp
        finally:
            self.say("up", "stopping")
            work.cancel()
            with suppress(asyncio.CancelledError, GaveUp, OperatorProblem):
                await work
            await self._stop()
            stopped.cancel()
        self.say("up", "stopped; nothing is left running")
        return 0

    async def _start(self, child: Child) -> None:
        self.children.append(child)
        await child.start(self.say)
        await child.wait_ready()

    async def _start_server(self, command: servers.ServerCommand) -> None:
        # A server of an `up` that was killed needs a moment to notice.
        for _ in range(100):
            if not await asyncio.to_thread(command.ready):
                break
            await asyncio.sleep(0.2)
        else:
            raise GaveUp(f"{command.name} of an earlier run is still there; end it and try again")
        await self._start(Child(command.name, command.argv, command.cwd, stop_signal=command.stop_signal, user=command.user, ready=command.ready))

    async def _bring_up(self) -> list[asyncio.Task[None]]:
        options = self.options
        if options.own_database:
            await self._start_server(await asyncio.to_thread(servers.postgres_command, options.home))
            await asyncio.to_thread(servers.database_ensure, options.home)
        if options.own_broker:
            await self._start_server(servers.valkey_command(options.home))
        await asyncio.to_thread(checks.check_history)
        await self._manage("migrate", "migrate", "--verbosity", "0")
        await self._manage("weights", "base_weights")
        if options.demo:
            try:
                await self._manage("demo", "load_demo_once")
            except GaveUp:  # its last words are on the screen
                self.say("up", "The demo content is not loaded; everything else goes on. Try again with: manage.py demo")
        celery = [sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "--without-gossip", "--without-mingle", "--loglevel", "INFO", "--pool"]
        cores = os.cpu_count() or 1
        quiet = {"PYTHONWARNINGS": "ignore:You're running the worker with superuser"} if os.geteuid() == 0 else {}
        for name, argv in {
            "web": [
                sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", options.host, "--port", str(options.port),
                "--no-access-log", "--no-server-header", "--lifespan", "off", "--timeout-graceful-shutdown", "5", "--ws", "websockets-sansio",
            ],
            # One job at a time for the GPU; the CPU queue takes what the machine has, less what serves the pages.
            "gpu": [*celery, "threads", "-c", "1", "-Q", "gpu", "-n", "gpu@%h"],
            "cpu": [*celery, "threads", "-c", str(max(1, cores - 1)), "-Q", "cpu", "-n", "cpu@%h"],
            "beat": [*celery, "solo", "-Q", "system", "-n", "beat@%h", "-B", "-s", str(options.home / "run" / "beat-schedule")],
        }.items():  # fmt: skip
            await self._start(Child(name, argv, options.base_dir, environment=quiet, ready=self._web_ready if name == "web" else None))
        await self._print_links()
        return [asyncio.create_task(child.keep(self.say)) for child in self.children]

    async def _manage(self, name: str, *argv: str) -> None:
        await run_to_end(["manage.py", *argv], name=name, cwd=self.options.base_dir, say=self.say)

    def _web_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.options.url}/healthz", timeout=2) as answer:  # noqa: S310  (our own address)
                return bool(answer.status == 200)
        except OSError:
            return False

    async def _print_links(self) -> None:
        self.say("up", f"Dreamfork is at {self.options.url}")
        if self.options.host not in ("127.0.0.1", "localhost", "::1") and "DREAMFORK_HOSTS" not in os.environ:
            self.say("up", f"It listens on {self.options.host}: name the hosts that people will type in DREAMFORK_HOSTS, for example DREAMFORK_HOSTS=robot.lan")
        if self.options.demo:
            await self._manage("sign in", "sign_in_link", "annotator", "researcher", "admin", "--demo", "--base", self.options.url)
        else:
            self.say("up", "Make a person and a link: manage.py sign_in_link NAME --role admin")
        self.say("up", "Ctrl-C stops everything")

    async def _stop(self) -> None:
        """Web, workers and beat at once; then the servers they need, one after the other."""
        needed = {"postgres", "valkey"}
        await asyncio.gather(*(child.stop() for child in self.children if child.name not in needed))
        for child in reversed(self.children):
            if child.name in needed:
                await child.stop()
