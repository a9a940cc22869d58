"""Commands that need no database of their own rows: collect, pretrain, evaluate."""

from io import StringIO

import pytest
from django.core.management import call_command


@pytest.mark.parametrize("name", ["collect", "pretrain", "evaluate"])
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
