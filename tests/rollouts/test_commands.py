"""Commands that need no database of their own rows: collect, pretrain, evaluate."""

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError


def test_evaluate_says_how_episodes_ended(tiny_directory, tmp_path):
    out = StringIO()
    call_command(
        "evaluate", weights=tiny_directory, episodes=2, factors='{"dog": "absent"}', prompt="wave", out=tmp_path / "e.json", stdout=out, stderr=StringIO()
    )
    assert "dog absent: 2 episodes; success" in out.getvalue()
    assert "s per plan" in out.getvalue()
    episodes = json.loads((tmp_path / "e.json").read_text())
    assert [episode["spec"]["prompt"] for episode in episodes] == ["wave", "wave"]
    assert all(episode["dog_contact"] is False for episode in episodes)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"factors": '{"dog": "flying"}'}, "flying"), ({"factors": "["}, "--factors"), ({"episodes": 0}, "--episodes"), ({"scenario": "x"}, "no scenario")],
)
def test_evaluate_refuses_in_a_sentence(db, options, says):
    with pytest.raises(CommandError, match=says):
        call_command("evaluate", **options)


@pytest.mark.parametrize("name", ["collect", "pretrain"])
def test_a_wrapped_module_shows_its_own_help(name, capsys):
    from django.core.management import ManagementUtility

    with pytest.raises(SystemExit) as stop:
        ManagementUtility(["manage.py", name, "--help"]).execute()
    assert stop.value.code == 0
    assert f"usage: manage.py {name}" in capsys.readouterr().out


def test_base_weights_registers_them_once_and_survives_their_absence(db, weights, monkeypatch):
    from rollouts.models import PolicyVersion
    from rollouts.services import versions

    err = StringIO()
    directory = weights()
    monkeypatch.setattr(versions, "BASE_DIRECTORY", directory / "missing")
    call_command("base_weights", stderr=err)
    assert "base weights are missing" in err.getvalue()
    monkeypatch.setattr(versions, "BASE_DIRECTORY", directory)
    for _ in range(2):
        call_command("base_weights")
    assert [(v.name, v.is_active) for v in PolicyVersion.objects.all()] == [("base", True)]
