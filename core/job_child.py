"""The process that runs handlers: `python -m core.job_child REPLY_FD`, started by `core.jobs.runner`.

It reads `{"job": id, "token": token}` lines from its standard input and answers each with a line on REPLY_FD.
A process of its own because CUDA does not survive a fork, because a handler may crash it, and because it can be
killed. Its standard input ends when the worker dies, however it dies: then it goes too.
"""

import json
import os
import queue
import signal
import sys
import threading


def _read_requests(requests: "queue.Queue[dict[str, str]]") -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    # The worker is gone. Our own children (data loaders, torchrun) are in our process group and go as well.
    os.killpg(0, signal.SIGKILL)


def main(reply_fd: int) -> None:
    requests: queue.Queue[dict[str, str]] = queue.Queue()
    threading.Thread(target=_read_requests, args=[requests], daemon=True).start()
    os.nice(5)  # pages come first on a machine that does both
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

    import django

    django.setup()

    from django.db import close_old_connections

    from core.jobs.execution import execute
    from core.models import Job

    with os.fdopen(reply_fd, "w") as replies:
        while True:
            request = requests.get()
            close_old_connections()
            job = Job.objects.filter(pk=request["job"], lease_token=request["token"], state=Job.State.RUNNING).first()
            state = "lost" if job is None else execute(job)
            close_old_connections()
            print(json.dumps({"job": request["job"], "state": state}), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
