"""Log lines say which request or which job they belong to."""

import io
import json
import logging

import pytest
import structlog
from django.http import HttpResponse

from config.logs import logging_settings
from core.jobs import job, submit
from core.jobs.registry import _kinds
from core.middleware import measure, request_id


@pytest.fixture
def lines():
    """`lines()`: what has been logged so far, as the `json` format writes it."""
    written = io.StringIO()
    made = logging_settings(level="INFO", format="json")["formatters"]["structured"]
    handler = logging.StreamHandler(written)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=made["foreign_pre_chain"], processors=made["processors"]))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(before)


def _say(*_: object) -> None:
    structlog.get_logger("ours").info("a line of ours")
    logging.getLogger("somelibrary").warning("a line of a library")


def test_every_line_of_a_request_has_the_id_that_its_answer_has(rf, lines):
    def view(request):
        _say()
        return HttpResponse()

    answer = request_id(measure(view))(rf.get("/somewhere/", headers={"X-Request-ID": "abcdef-123456"}))
    assert answer["X-Request-ID"] == "abcdef-123456"
    assert [(line["event"], line["request_id"]) for line in lines()] == [
        ("a line of ours", "abcdef-123456"),
        ("a line of a library", "abcdef-123456"),
        ("request", "abcdef-123456"),
    ]
    assert lines()[-1]["path"] == "/somewhere/"


@pytest.mark.django_db
def test_every_line_of_a_job_has_its_id_and_the_next_line_has_not(lines, run_job):
    job("t.talks")(_say)
    try:
        done = run_job(submit(kind="t.talks"))
    finally:
        _kinds.pop("t.talks")
    assert done.state == "succeeded"
    _say()
    said = [line for line in lines() if line["event"].startswith("a line of")]
    assert [line.get("job_id") for line in said] == [str(done.pk), str(done.pk), None, None]
    assert {line.get("job_kind") for line in said[:2]} == {"t.talks"}
