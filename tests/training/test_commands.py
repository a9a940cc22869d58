"""What a researcher types."""

import json

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEntry, Job
from rollouts.models import PolicyVersion
from training.management.commands.evaluation import Command
from training.models import Evaluation, Round


@pytest.fixture
def active(parent):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted", is_active=True)
    parent.refresh_from_db()
    return parent


def test_round_starts_from_the_active_version(make_choices, active, capsys):
    make_choices(10)
    call_command("round", "--steps", "7", "--episodes", "5", "--choices", "people", "--note", "a try")
    row = Round.objects.get()
    assert row.parent == active
    assert (row.settings["dpo"]["steps"], row.settings["suite"]["adversarial"], row.note) == (7, 5, "a try")
    assert row.settings["choices"] == {"simulated": False}
    assert f"round {row.pk}" in capsys.readouterr().out


def test_round_takes_settings_from_a_file_and_options_win(make_choices, active, tmp_path):
    make_choices(10)
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"dpo": {"steps": 3, "beta": 20}, "auto_promote": True}))
    call_command("round", "--with", str(file), "--steps", "9", "--no-promote")
    settings = Round.objects.get().settings
    assert (settings["dpo"]["steps"], settings["dpo"]["beta"], settings["auto_promote"]) == (9, 20, False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--parent", "nobody"], "There is no version"),
        (["--scenarios", "nowhere"], "There is no scenario nowhere"),
        (["--with", "not json"], "neither JSON nor a file"),
        (["--with", "[1]"], "neither JSON nor a file"),
        (["--with", '{"dpo": {"beta": -1}}'], "beta must be positive"),
        (["--follow", "99"], "There is no round 99"),
        (["--override", "99"], "There is no round 99"),
        (["--cancel", "1", "--resume", "1"], "One thing at a time"),
        ([], "choices match"),
    ],
)
def test_round_says_what_is_wrong_in_a_sentence(active, arguments, says):
    with pytest.raises(CommandError, match=says):
        call_command("round", *arguments)


def test_round_without_any_version(db):
    with pytest.raises(CommandError, match="No version is active"):
        call_command("round")


def test_following_a_finished_round_reports_it(make_choices, active, researcher, capsys):
    from training.services import round_cancel, round_start

    make_choices(10)
    row = round_start(parent=active)
    round_cancel(row=row, by=researcher)
    with pytest.raises(SystemExit):
        call_command("round", "--follow", str(row.pk))
    assert "cancelled after" in capsys.readouterr().out


def test_a_round_is_cancelled_resumed_and_overridden_from_a_terminal(make_choices, active, capsys):
    from training.services import round_start

    make_choices(10)
    row = round_start(parent=active)
    call_command("round", "--cancel", str(row.pk), "--reason", "the wrong parent")
    row.refresh_from_db()
    assert row.state == "cancelled"
    assert AuditEntry.objects.get(action="round.cancel").reason == "the wrong parent"
    call_command("round", "--resume", str(row.pk))
    row.refresh_from_db()
    assert row.state == "running"
    assert f"round {row.pk}: base-r1 is running" in capsys.readouterr().out
    with pytest.raises(CommandError, match="sentence why"):
        call_command("round", "--override", str(row.pk))
    child = PolicyVersion.objects.create(name="child", parent=active, components={}, state="rejected")
    Round.objects.filter(pk=row.pk).update(state="rejected", stage="gate", gate={"reasons": []}, child=child, finished_at=row.created_at)
    call_command("round", "--override", str(row.pk), "--reason", "Missed by one episode of two hundred.")
    child.refresh_from_db()
    assert child.is_active


def test_an_evaluation_is_queued_followed_and_listed(active, capsys):
    call_command("evaluation", "--adversarial", "2", "--ordinary", "1", "--no-watch")
    row = Evaluation.objects.get()
    assert (row.policy_version, row.suite["adversarial"], row.job.kind) == (active, 2, "training.evaluate")
    Job.objects.filter(pk=row.job_id).update(state="failed", error="The disk is full.", finished_at=row.created_at)
    stopped = Command().follow(row, here=False)
    assert (stopped.state, stopped.job.error) == ("failed", "The disk is full.")
    call_command("evaluation", "--list")
    assert f"{row.pk} base" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"), [(["nobody"], "There is no version"), (["--dreams", "99"], "dreams must be"), (["--scenarios", "x"], "no scenario")]
)
def test_an_evaluation_says_what_is_wrong(active, arguments, says):
    with pytest.raises(CommandError, match=says):
        call_command("evaluation", *arguments)


def test_rollback_lists_and_activates(active, capsys):
    other = PolicyVersion.objects.create(name="other", components={}, state="promoted")
    call_command("rollback")
    assert "* base" in capsys.readouterr().out
    call_command("rollback", "other", "--reason", "a test")
    other.refresh_from_db()
    assert other.is_active
    with pytest.raises(CommandError, match="no version"):
        call_command("rollback", "nobody")
