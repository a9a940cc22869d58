"""`manage.py up` as a process: it refuses in one sentence, and leaves nothing behind however it ends."""

import os
import signal
import socket
import stat
import subprocess
import time

import pytest

from core.management.commands.up import Command
from core.supervisor.up import Up
from tests.chaos.stack import MANAGE, ROOT, Stack, clean_environment, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def refused(home, *arguments: str, **settings: str) -> str:
    """The one sentence with which `up` refuses; it must be one line, without a traceback, and the exit code not zero."""
    done = subprocess.run(
        [*MANAGE, "up", "--no-demo", *arguments], cwd=ROOT, env=clean_environment(home, **settings), capture_output=True, text=True, timeout=240
    )
    assert done.returncode != 0, done.stdout
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line and " | " not in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def refused_here(monkeypatch, settings, capsys):
    """As `refused`, from the command line on down, but in this process: starting one costs seconds, and `refused` shows that one ends so too."""

    def refuse(home, *arguments: str) -> str:
        async def not_refused(self) -> int:
            raise AssertionError("it was not refused")

        monkeypatch.setattr(Up, "_run", not_refused)
        monkeypatch.setenv("DREAMFORK_URL", "http://127.0.0.1")  # `up` sets it where nobody has
        for name in ("DATABASE_URL", "REDIS_URL"):
            monkeypatch.delenv(name, raising=False)
        settings.HOME = home
        with pytest.raises(SystemExit) as end:
            Command().run_from_argv(["manage.py", "up", "--no-demo", *arguments])
        assert end.value.code not in (0, None)
        said = capsys.readouterr()
        lines = (said.out + said.err).splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return refuse


def test_it_can_be_stopped_while_it_starts(new_home):
    stack = Stack(new_home())
    wait_for(lambda: any("postgres" in process.name() for process in stack.family()), timeout_s=60, why="PostgreSQL starts")
    assert stack.stop(signal.SIGTERM) == 0
    assert stack.family() == []


def test_a_second_one_says_that_one_runs(stack, refused_here):
    sentence = f"CommandError: Dreamfork already runs on {stack.home} at {stack.url} (process {stack.process.pid})."
    assert refused_here(stack.home, "--port", str(free_port())) == sentence


def test_it_says_that_the_port_is_taken(tmp_path, refused_here):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = f"CommandError: Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another with --port."
        assert refused_here(tmp_path, "--port", str(port)) == sentence


def test_it_refuses_a_directory_of_another_version(tmp_path, refused_here):
    (tmp_path / "LAYOUT").write_text("99\n")
    assert "was made by another version of Dreamfork (layout 99, this one reads 1)" in refused_here(tmp_path, "--port", str(free_port()))


def test_it_refuses_the_database_of_another_postgres(tmp_path):
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    assert "holds a PostgreSQL 15 database; this version reads 18" in refused(tmp_path, "--port", str(free_port()))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"DREAMFORK_DEBUG": "maybe"}, "dreamfork: DREAMFORK_DEBUG='maybe' is not a yes or no; expected true or false."),
        (
            {"DATABASE_URL": "mysql://root:secret@db/dreams"},
            "dreamfork: DATABASE_URL is not an address that can be used; expected postgres://... or postgresql://....",
        ),
        (
            {"DATABASE_URL": "postgresql://a:secret@127.0.0.1:1/x"},
            'CommandError: The database of DATABASE_URL cannot be used: connection to server at "127.0.0.1", port 1 failed: Connection refused. '
            "Start it, or put the address right.",
        ),
        (
            {"REDIS_URL": "redis://127.0.0.1:1/0"},
            "CommandError: REDIS_URL cannot be reached: Error 111 connecting to 127.0.0.1:1. Connection refused. Start it, or put the address right.",
        ),
        ({"DREAMFORK_API_WRITE_RATE": "lots"}, "dreamfork: DREAMFORK_API_WRITE_RATE='lots' is not a rate; expected for example 1200/min."),
        (
            {"DREAMFORK_TIME_ZONE": "Mars/Olympus"},
            "dreamfork: DREAMFORK_TIME_ZONE='Mars/Olympus' is not a time zone; expected a name like Europe/Berlin.",
        ),
        ({"DREAMFORK_DEBUGG": "1"}, "dreamfork: DREAMFORK_DEBUGG is not a setting of Dreamfork; did you mean DREAMFORK_DEBUG?"),
    ],
)
def test_it_refuses_bad_settings(tmp_path, settings, sentence):
    port = str(free_port())
    assert refused(tmp_path, "--port", port, **settings) == sentence


def test_it_refuses_a_data_directory_that_is_a_file(tmp_path):
    (tmp_path / "var").write_text("")
    sentence = f"dreamfork: The data directory {tmp_path / 'var'} cannot be used: it is not a directory. Set DREAMFORK_HOME to another one."
    assert refused(tmp_path / "var", "--port", str(free_port())) == sentence


def test_it_refuses_a_bad_port(tmp_path, refused_here):
    assert refused_here(tmp_path, "--port", "99999") == "CommandError: --port 99999 is not a port; expected 1 to 65535."


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_it_says_that_the_disk_is_full(tmp_path, refused_here):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount a disk")
    try:
        assert refused_here(tmp_path, "--port", str(free_port())).startswith("CommandError: Only 3")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_it_leaves_nothing_behind(stack):
    """Killed, started again on the same directory, ended by Ctrl-C. The last one here, since whoever comes after it has to start it once more."""
    assert len(stack.family()) >= 6
    stack.process.kill()
    stack.process.wait()
    wait_for(lambda: not stack.family(), timeout_s=30, why=f"children die with a killed supervisor: {stack.family()}")

    stack.start().wait_up()
    assert stack.status("/readyz") == 200
    assert stat.S_IMODE((stack.home / "secret_key").stat().st_mode) == 0o600
    began = time.monotonic()
    assert stack.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 30
    assert stack.family() == []
    assert "nothing is left running" in stack.lines[-1]
