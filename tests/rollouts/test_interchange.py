"""Import and export."""

import json

import pytest

from rollouts import services
from rollouts.models import Scenario
from rollouts.services.interchange import FORMAT
from tests.rollouts.conftest import CONTENT


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_what_is_exported_can_be_imported_elsewhere(scenario, admin_person, kind):
    text = services.scenarios_export(scenarios=[scenario], kind=kind)
    renamed = text.replace("dog-on-the-way", "elsewhere").replace("Dog on the way", "Elsewhere")
    result = services.scenarios_import(data=renamed.encode(), by=admin_person)
    (made,) = result["created"]
    assert made.slug == "elsewhere"
    assert made.state == "draft"
    assert made.origin == "imported"
    assert services.content_of(made.current) == services.content_of(scenario.current)


def test_importing_twice_changes_nothing(scenario, admin_person):
    data = services.scenarios_export(scenarios=[scenario], kind="yaml").encode()
    result = services.scenarios_import(data=data, by=admin_person)
    assert result == {"created": [], "changed": [], "same": [scenario]}
    assert scenario.current.number == 1


def test_a_changed_entry_becomes_a_new_version(scenario, admin_person):
    document = {"format": FORMAT, "scenarios": [{"slug": scenario.slug, "name": "Dog", "prompt": "wave"}]}
    services.scenarios_import(data=json.dumps(document).encode(), by=admin_person)
    assert (scenario.current.number, scenario.current.prompt) == (2, "wave")


def test_one_bad_entry_imports_nothing_and_is_named(admin_person):
    good = {"name": "Good", **CONTENT}
    document = {"format": FORMAT, "scenarios": [good, {**good, "name": "Bad", "severity": 9}]}
    with pytest.raises(services.RolloutsError, match=r"Entry 2: .*severity"):
        services.scenarios_import(data=json.dumps(document).encode(), by=admin_person)
    assert not Scenario.objects.exists()


LAUGHS = b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nformat: " + FORMAT.encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "wrong_format"),
        (b"\xff\xfe", "not_text"),
        (b"{", "not_yaml"),
        (LAUGHS, "not_yaml"),
        (b"!!python/object/apply:os.system ['true']", "not_yaml"),
        (b"[" * 5000, "not_yaml"),
        (b"format: other\nscenarios: []", "wrong_format"),
        (f"format: {FORMAT}\nscenarios: []".encode(), "no_scenarios"),
        (f"format: {FORMAT}\nscenarios: [1]".encode(), "no_scenarios"),
        (b"x" * (1024 * 1024 + 1), "too_large"),
    ],
)
def test_it_refuses_what_is_not_a_list_of_scenarios(admin_person, data, code):
    with pytest.raises(services.RolloutsError) as error:
        services.scenarios_import(data=data, by=admin_person)
    assert error.value.code == code
