"""Scenarios: versions, states, grids."""

import pytest
from django.db import IntegrityError, transaction

from core.models import AuditEntry
from rollouts import services
from rollouts.models import Scenario, ScenarioVersion
from tests.rollouts.conftest import CONTENT


def test_it_creates_a_draft_with_version_one_and_an_audit_entry(scenario, admin_person):
    assert (scenario.state, scenario.slug, scenario.current.number) == ("draft", "dog-on-the-way", 1)
    entry = AuditEntry.objects.get(action="scenario.create")
    assert entry.actor == admin_person
    assert entry.after["factors"] == CONTENT["factors"]


def test_an_edit_makes_a_new_version_and_keeps_the_old(scenario, admin_person):
    old = scenario.current
    services.scenario_edit(scenario=scenario, content={"prompt": "go to the green can"}, by=admin_person)
    assert scenario.current.number == 2
    assert scenario.current.prompt == "go to the green can"
    assert scenario.current.factors == old.factors
    old.refresh_from_db()
    assert old.prompt == CONTENT["prompt"]
    entry = AuditEntry.objects.get(action="scenario.edit")
    assert entry.before["prompt"] == CONTENT["prompt"]
    assert entry.after["prompt"] == "go to the green can"
    assert "factors" not in entry.before


def test_an_edit_that_changes_nothing_makes_no_version(scenario, admin_person):
    services.scenario_edit(scenario=scenario, content=CONTENT, by=admin_person)
    assert scenario.current.number == 1
    assert not AuditEntry.objects.filter(action="scenario.edit").exists()


def test_an_edit_over_somebody_elses_is_refused(scenario, admin_person):
    services.scenario_edit(scenario=scenario, content={"prompt": "wave"}, by=admin_person, base_number=1)
    with pytest.raises(services.RolloutsError) as error:
        services.scenario_edit(scenario=scenario, content={"prompt": "hands up"}, by=admin_person, base_number=1)
    assert error.value.code == "edited_meanwhile"
    assert scenario.current.prompt == "wave"


def test_the_database_refuses_to_change_or_delete_a_version(scenario):
    for act in (
        lambda: ScenarioVersion.objects.update(prompt="x"),
        lambda: ScenarioVersion.objects.all()._raw_delete("default"),
        lambda: Scenario.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()
    assert scenario.current.prompt == CONTENT["prompt"]


def test_two_scenarios_of_one_name_get_two_slugs(admin_person):
    slugs = [services.scenario_create(name="Same", content=CONTENT, created_by=admin_person).slug for _ in range(3)]
    assert slugs == ["same", "same-2", "same-3"]


def test_a_slug_never_hides_a_page(admin_person):
    assert services.scenario_create(name="New", content=CONTENT, created_by=admin_person).slug == "new-2"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"prompt": " "}, "no_prompt"),
        ({"prompt": "x" * 301}, "too_long"),
        ({"prompt": 7}, "wrong_type"),
        ({"prompt": "a\x00b"}, "wrong_type"),
        ({"factors": {"dog": "flying"}}, "bad_factor"),
        ({"factors": {"cat": "lying"}}, "bad_factor"),
        ({"factors": {"clutter": 9}}, "bad_factor"),
        ({"factors": ["dog"]}, "wrong_type"),
        ({"severity": 6}, "bad_severity"),
        ({"severity": True}, "bad_severity"),
        ({"tags": "dog"}, "wrong_type"),
        ({"colour": "red"}, "unknown_field"),
    ],
)
def test_it_refuses_bad_content(admin_person, change, code):
    with pytest.raises(services.RolloutsError) as error:
        services.scenario_create(name="Bad", content={**CONTENT, **change}, created_by=admin_person)
    assert error.value.code == code
    assert not Scenario.objects.exists()


def test_its_life_goes_draft_active_retired_and_back(scenario, admin_person):
    for state in ("active", "retired", "draft"):
        services.scenario_set_state(scenario=scenario, state=state, by=admin_person, reason="tried")
        assert scenario.state == state
    with pytest.raises(services.RolloutsError):
        services.scenario_set_state(scenario=scenario, state="deleted", by=admin_person)
    actions = list(AuditEntry.objects.order_by("id").values_list("action", flat=True))[1:]
    assert actions == ["scenario.activate", "scenario.retire", "scenario.reopen"]


def test_a_retired_scenario_is_not_edited(scenario, admin_person):
    services.scenario_set_state(scenario=scenario, state="retired", by=admin_person)
    with pytest.raises(services.RolloutsError) as error:
        services.scenario_edit(scenario=scenario, content={"prompt": "wave"}, by=admin_person)
    assert error.value.code == "retired"


def test_a_duplicate_is_a_draft_with_the_same_content(scenario, admin_person):
    services.scenario_set_state(scenario=scenario, state="active", by=admin_person)
    copy = services.scenario_duplicate(scenario=scenario, by=admin_person)
    assert (copy.state, copy.derived_from, copy.origin) == ("draft", scenario, "duplicated")
    assert copy.current.factors == scenario.current.factors
    assert copy.current.number == 1


def test_varying_makes_one_draft_for_each_new_combination(scenario, admin_person):
    made = services.scenario_vary(scenario=scenario, axes={"dog": ["lying", "walking", "absent"], "light": ["dim", "normal"]}, by=admin_person)
    scenes = [row.current.factors for row in made]
    assert len(made) == 6
    assert len({repr(scene) for scene in scenes}) == 6
    # A dog that is not there is nowhere, whatever the original said.
    assert {"dog": "absent", "light": "dim"} in scenes
    assert {"dog": "walking", "dog_place": "on_path", "light": "dim"} in scenes
    walking = next(row for row in made if row.current.factors["dog"] == "walking")
    assert "a dog walks" in walking.current.scene_text


@pytest.mark.parametrize(("axes", "code"), [({}, "no_axis"), ({"dog": ["lying"]}, "nothing_new"), ({"dog": ["flying"]}, "bad_grid")])
def test_a_grid_that_makes_no_sense_is_refused(scenario, admin_person, axes, code):
    with pytest.raises(services.RolloutsError) as error:
        services.scenario_vary(scenario=scenario, axes=axes, by=admin_person)
    assert error.value.code == code
    assert Scenario.objects.count() == 1
