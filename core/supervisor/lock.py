"""One supervisor per data directory, and free ports, checked before anything is started."""

import fcntl
import os
import socket
from pathlib import Path
from typing import TextIO

from config.env import OperatorProblem


def hold(home: Path) -> TextIO:
    """Lock the data directory for as long as the returned file is open (the kernel frees it however we end).

    Raises:
        OperatorProblem: another `up` runs on it.
    """
    file = (home / "run" / "up.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        pid, _, url = file.read().strip().partition(" ")
        raise OperatorProblem(f"Dreamfork already runs on {home}{f' at {url}' if url else ''} (process {pid or 'unknown'}).") from None
    os.set_inheritable(file.fileno(), False)
    return file


def note(file: TextIO, url: str) -> None:
    """Say who holds the lock, for the message of the next one."""
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()} {url}\n")
    file.flush()


def check_port(host: str, port: int) -> None:
    """
    Raises:
        OperatorProblem: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise OperatorProblem(f"Cannot listen on {host} port {port}: {error.strerror or error}. Choose another with --port.") from error
