"""Policy versions: registered from files, immutable, one active."""

import pytest
from django.db import IntegrityError, transaction

from core.models import AuditEntry
from rollouts import services
from rollouts.models import PolicyVersion


@pytest.fixture
def version(db, weights):
    return services.policy_version_create(name="v1", directory=weights(), lineage={"seeds": [1]})


def test_its_components_are_the_hashes_of_its_files(version):
    assert set(version.components) == {"config", "codec", "world_model"}
    assert all(len(value) == 64 for value in version.components.values())


def test_unchanged_files_share_the_parents_blobs(version, weights):
    child = services.policy_version_create(name="v2", directory=weights("b", b"other"), parent=version)
    assert child.components["codec"] == version.components["codec"]
    assert child.components["world_model"] != version.components["world_model"]


def test_materialize_gives_the_files_back_under_their_names(version):
    directory = services.policy_version_materialize(version)
    assert sorted(path.name for path in directory.iterdir()) == [
        "codec.safetensors",
        "config.json",
        "world_model.safetensors",
    ]
    assert (directory / "world_model.safetensors").read_bytes() == b"w"
    assert services.policy_version_materialize(version) == directory


def test_a_second_json_file_keeps_its_name(db, weights):
    directory = weights()
    (directory / "words.json").write_text("[]")
    (directory / "words.safetensors").write_bytes(b"t")
    version = services.policy_version_create(name="v1", directory=directory)
    names = {path.name for path in services.policy_version_materialize(version).iterdir()}
    assert {"words.json", "words.safetensors", "config.json"} <= names


def test_a_directory_without_a_policy_is_refused(db, tmp_path):
    with pytest.raises(services.RolloutsError) as error:
        services.policy_version_create(name="x", directory=tmp_path)
    assert error.value.code == "no_policy"


def test_a_name_is_used_once(version, weights):
    with pytest.raises(services.RolloutsError) as error:
        services.policy_version_create(name="v1", directory=weights("b"))
    assert error.value.code == "name_taken"


@pytest.mark.parametrize("change", [{"name": "other"}, {"components": {}}, {"lineage": {}}], ids=["name", "components", "lineage"])
def test_the_database_keeps_it_as_it_is(version, change):
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.filter(pk=version.pk).update(**change)


def test_the_database_does_not_delete_it(version):
    with pytest.raises(IntegrityError), transaction.atomic():
        version.delete()


def test_its_state_and_metrics_may_change(version):
    services.policy_version_record_metrics(version=version, metrics={"success": 0.5})
    services.policy_version_record_metrics(version=version, metrics={"contact": 0.1})
    services.policy_version_set_state(version=version, state="rejected", by=None, reason="worse")
    version.refresh_from_db()
    assert version.metrics == {"success": 0.5, "contact": 0.1}
    assert version.state == "rejected"


def test_activating_promotes_and_replaces_the_active_one(version, weights, admin_person):
    services.policy_version_activate(version=version, by=admin_person)
    second = services.policy_version_create(name="v2", directory=weights("b", b"2"))
    services.policy_version_activate(version=second, by=admin_person, reason="better")
    assert list(PolicyVersion.objects.filter(is_active=True)) == [second]
    second.refresh_from_db()
    assert second.state == "promoted"
    entry = AuditEntry.objects.filter(action="policy_version.activate").first()
    assert (entry.before, entry.after, entry.reason) == ({"active": "v1"}, {"active": "v2"}, "better")


def test_the_database_allows_one_active_version(version, weights):
    services.policy_version_activate(version=version, by=None)
    second = services.policy_version_create(name="v2", directory=weights("b", b"2"))
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyVersion.objects.filter(pk=second.pk).update(is_active=True, state="promoted")


def test_a_rejected_version_is_not_activated_and_the_active_one_not_retired(version, admin_person):
    services.policy_version_set_state(version=version, state="rejected", by=admin_person)
    with pytest.raises(services.RolloutsError):
        services.policy_version_activate(version=version, by=admin_person)
    services.policy_version_set_state(version=version, state="candidate", by=admin_person)
    services.policy_version_activate(version=version, by=admin_person)
    with pytest.raises(services.RolloutsError) as error:
        services.policy_version_set_state(version=version, state="retired", by=admin_person)
    assert error.value.code == "version_active"


def test_base_is_registered_once_and_new_weights_replace_an_older_base(db, weights):
    first = services.base_version_ensure(directory=weights("a"))
    assert services.base_version_ensure(directory=weights("same")) == first
    assert (first.name, first.is_active, first.state) == ("base", True, "promoted")
    second = services.base_version_ensure(directory=weights("b", b"new"))
    assert second.name.startswith("base-")
    assert second.is_active
    first.refresh_from_db()
    assert not first.is_active


def test_new_base_weights_leave_a_trained_version_active(db, weights):
    base = services.base_version_ensure(directory=weights("a"))
    trained = services.policy_version_create(name="round-1", directory=weights("r", b"r"), parent=base)
    services.policy_version_activate(version=trained, by=None)
    services.base_version_ensure(directory=weights("b", b"new"))
    trained.refresh_from_db()
    assert trained.is_active


def test_missing_weights_are_said_in_a_sentence(db, tmp_path):
    with pytest.raises(services.RolloutsError, match="base weights are missing"):
        services.base_version_ensure(directory=tmp_path)
