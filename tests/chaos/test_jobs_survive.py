"""What happens to a job when a real process under it is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import psycopg2
import pytest

from tests.chaos.stack import ROOT, tree_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _steps(events, attempt):
    return [data["step"] for kind, data in events if kind == "step" and data["attempt"] == attempt]


def test_it_runs_a_job(stack):
    done = stack.manage("check_workers")
    assert done.returncode == 0, done.stderr
    assert "The workers work." in done.stdout
    stack.wait_line(r"job\.attempt_over .*job_id=[0-9a-f-]{36} .*state=succeeded", timeout_s=20)


def test_a_killed_worker_loses_no_job(stack):
    job = stack.submit(steps=20)
    stack.wait_steps(job, 3)
    worker = stack.find("-Q", "cpu")
    tree = tree_of(worker)
    assert len(tree) >= 2, "the handler runs in a child of the worker"
    worker.kill()
    wait_for(lambda: not any(process.is_running() and process.status() != "zombie" for process in tree), timeout_s=10, why="its child dies with it")
    stack.wait_job(job, "succeeded", timeout_s=150)  # a new worker takes its time on a busy machine
    events = stack.events(job)
    kinds = [kind for kind, _ in events]
    assert kinds.count("succeeded") == 1
    assert kinds.count("requeued") == 1
    assert stack.job(job)["attempt"] == 2
    assert _steps(events, 2) == list(range(1, 21))
    late = events[kinds.index("requeued") :]
    assert _steps(late, 1) == [], "the first attempt wrote after it had lost its lease"


def test_a_killed_child_costs_an_attempt_and_says_so(stack):
    job = stack.submit(steps=30)
    for attempt in (1, 2, 3):
        wait_for(lambda attempt=attempt: _steps(stack.events(job), attempt), timeout_s=60, why=f"attempt {attempt} writes")
        # One of them has the job; the others wait for one (where the worker takes several at once), and are not missed.
        for child in stack.find("-Q", "cpu").children():
            with suppress(psutil.NoSuchProcess):
                child.kill()
    failed = stack.wait_job(job, "failed")
    assert "killed (out of memory, perhaps)" in failed["error"]
    assert "attempt 3 of 3" in failed["error"]


def test_a_worker_that_comes_back_late_cannot_write(stack):
    """Its whole machine stood still (suspended, swapping) while another worker took over."""
    job = stack.submit(steps=25)
    stack.wait_steps(job, 2)
    stopped = tree_of(stack.find("-Q", "cpu"))
    for process in stopped:
        process.suspend()
    other = subprocess.Popen(
        [sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "--pool", "threads", "-c", "1", "-Q", "cpu", "-n", "other@%h"],
        cwd=ROOT, env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: len(_steps(stack.events(job), 2)) >= 3, timeout_s=120, why="the other worker takes over")
        before = len(_steps(stack.events(job), 1))
        for process in stopped:
            process.resume()
        stack.wait_job(job, "succeeded")
        time.sleep(3)  # time in which a late write would have come
        events = stack.events(job)
        assert len(_steps(events, 1)) == before
        assert [kind for kind, _ in events].count("succeeded") == 1
        assert _steps(events, 2) == list(range(1, 26))
    finally:
        other.terminate()
        other.wait(30)
    stack.wait_job(stack.submit(steps=1), "succeeded")  # the late worker still works


def test_a_stopped_worker_gives_its_job_back(stack):
    job = stack.submit(steps=40)
    stack.wait_steps(job, 2)
    stack.find("-Q", "cpu").terminate()
    stack.wait_job(job, "succeeded", timeout_s=150)  # a new worker takes its time on a busy machine
    assert stack.job(job)["attempt"] == 1, "being stopped is not the job's fault"


def test_cancel_is_prompt(stack):
    job = stack.submit(steps=600)
    stack.wait_steps(job, 2)
    stack.cancel(job)
    stack.wait_job(job, "cancelled", timeout_s=30)
    # By the database's clock: how fast this test looks is not what is measured.
    took = stack.query("SELECT extract(epoch FROM finished_at - cancel_requested_at) FROM core_job WHERE id = %s", job)[0][0]
    assert took < 3


def test_a_handler_that_does_not_look_is_ended(stack):
    job = stack.submit(steps=1, step_s=300)
    stack.wait_job(job, "running", timeout_s=60)
    stack.cancel(job)
    stack.wait_job(job, "cancelled", timeout_s=60)


def test_valkey_may_go_and_come_back(stack):
    """Killed with everything it holds, while a job runs and another waits."""
    running = stack.submit(steps=15)
    stack.wait_steps(running, 1)
    waiting = stack.submit(steps=2)
    os.kill(stack.find("valkey-server").pid, signal.SIGKILL)
    assert stack.status("/healthz") == 200
    stack.wait_job(running, "succeeded")
    assert stack.job(running)["attempt"] == 1, "a running job needs no broker"
    wait_for(lambda: stack.status("/readyz") == 200, timeout_s=60, why="ready again")
    # The wake-up of the second job was lost with the broker; the sweep sends it again.
    stack.wait_job(waiting, "succeeded", timeout_s=90)


def test_the_web_server_may_be_killed(stack):
    job = stack.submit(steps=15)
    stack.wait_steps(job, 1)
    stack.find("config.asgi:application").kill()
    wait_for(lambda: stack.status() == 200, timeout_s=60, why="the web server is back")
    stack.wait_job(job, "succeeded")
    assert stack.job(job)["attempt"] == 1


def test_postgres_may_be_killed(stack):
    job = stack.submit(steps=20)
    stack.wait_steps(job, 2)
    os.kill(int((stack.home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def ended() -> dict | None:
        try:
            row = stack.job(job)
        except psycopg2.OperationalError:
            return None
        return row if row["state"] in ("succeeded", "failed") else None

    row = wait_for(ended, timeout_s=170, why="the job ends after the database is back")
    assert (row["state"], row["attempt"]) == ("succeeded", 2), (row, stack.events(job))
    assert [kind for kind, _ in stack.events(job)].count("succeeded") == 1
    wait_for(lambda: stack.status("/readyz") == 200, timeout_s=30, why="ready again")
