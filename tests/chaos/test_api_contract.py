"""Schemathesis against the running server, as each role: no 5xx, and no answer that the schema does not name."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from core.roles import ROLES
from tests.chaos.stack import Stack, tree_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("role", ROLES)
def test_the_api_keeps_its_contract(stack, role, tmp_path):
    workers = [process for queue in ("cpu", "gpu") for process in tree_of(stack.find("-Q", queue))]
    for process in workers:  # among what is tried are searches and trainings of any length
        process.suspend()
    try:
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "schemathesis"), "run", f"{stack.url}/api/v1/schema/",
                "--header", f"Authorization: Token {stack.token(role)}",
                "--checks", "not_a_server_error,status_code_conformance,content_type_conformance",
                "--phases", "examples,fuzzing", "--max-examples", "6", "--seed", "1", "--no-shrink", "--request-timeout", "60",
                "--warnings", "off", "--no-color", "--suppress-health-check", "all", "--report", "ndjson", "--report-dir", str(tmp_path),
            ],
            cwd=tmp_path, env=stack.environment, capture_output=True, text=True,
        )  # fmt: skip
        for job in unfinished(stack):
            with suppress(HTTPError):  # one that has just ended
                stack.cancel(job)
    finally:
        for process in workers:
            process.resume()
    # The workers are wanted by the tests that follow.
    wait_for(lambda: not unfinished(stack), timeout_s=120, why="cancelled jobs end")
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]


def unfinished(stack: Stack) -> list[str]:
    return [job for (job,) in stack.query("SELECT id FROM core_job WHERE state IN ('queued', 'running')")]
