"""The life of a round in the database: what may follow what."""

import pytest
from django.db import IntegrityError, transaction

from core.jobs import JobProblem, job_cancel
from core.models import AuditEntry, Event, Job
from rollouts.models import PolicyVersion
from training import services
from training.models import Round, RoundSnapshot
from training.services.errors import TrainingError
from training.services.rounds import round_advance, round_at_stage, round_decide
from training.services.schedules import is_due, round_schedule_save

REPORT = {
    "promote": True,
    "reasons": ["Contacts fell: -40.0 points."],
    "adversarial": {},
    "ordinary": {},
}


@pytest.fixture
def started(make_choices, parent, researcher):
    make_choices(10)
    return services.round_start(parent=parent, created_by=researcher, note="a first try")


def at_gate(row: Round, child: PolicyVersion) -> Round:
    for stage in Round.STAGES[:-1]:
        changes = {"child": child} if stage == Round.Stage.VALUE_HEAD else {}
        assert round_advance(row=row, stage=stage, seconds=1.0, **changes)
    row.refresh_from_db()
    return row


@pytest.fixture
def child(parent):
    return PolicyVersion.objects.create(name="child", parent=parent, components={"world_model": "x"})


def test_it_starts_with_a_job_for_its_first_stage(started, researcher):
    assert (started.state, started.stage, started.name) == ("running", "snapshot", "base-r1")
    assert started.job.kind == "training.round_snapshot"
    assert started.job.params == {"round": started.pk}
    entry = AuditEntry.objects.get(action="round.start")
    assert (entry.actor, entry.reason) == (researcher, "a first try")


def test_it_refuses_too_few_choices(make_choices, parent):
    make_choices(9)
    with pytest.raises(TrainingError, match="9 choices match") as error:
        services.round_start(parent=parent)
    assert error.value.code == "too_few_choices"
    assert not Round.objects.exists()
    assert not Job.objects.filter(kind__startswith="training").exists()


def test_it_refuses_a_rejected_parent(make_choices, parent):
    make_choices(10)
    parent.state = "rejected"
    parent.save()
    with pytest.raises(TrainingError, match="rejected"):
        services.round_start(parent=parent)


def test_it_refuses_a_name_that_is_taken(started, parent):
    with pytest.raises(TrainingError, match="already is") as error:
        services.round_start(parent=parent, name="base")
    assert error.value.code == "name_taken"


@pytest.mark.parametrize(
    "settings",
    [
        {"dop": {}},
        {"dpo": {"beta": -1}},
        {"dpo": {"betta": 1}},
        {"gate": {"confidence": 2}},
        {"suite": {"adversarial": -3}},
        {"suite": {"adversarial": "many"}},
        {"choices": {"answers": ["left"]}},
        {"choices": {"nonsense": 1}},
        {"choices": {"scenarios": ["hall"]}},
        {"choices": {"scenarios": [2**70]}},
        {"choices": {"annotators": 7}},
        {"choices": {"policy_versions": [True]}},
        {"choices": {"kinds": [{}]}},
        {"choices": {"created_after": "yesterday"}},
        {"choices": {"created_before": 12}},
        {"choices": {"simulated": "yes"}},
        {"choices": {"min_response_ms": "long"}},
        {"weighting": "loud"},
        {"replay_clips": "all"},
        {"replay_clips": True},
        {"mirror": "no"},
        {"auto_promote": "false"},
    ],
)
def test_it_refuses_settings_that_no_round_can_use(make_choices, parent, settings):
    make_choices(10)
    with pytest.raises(TrainingError) as error:
        services.round_start(parent=parent, settings=settings)
    assert error.value.code in ("bad_settings", "unknown_setting"), error.value


def test_a_time_without_a_zone_is_in_the_sites(make_choices, parent):
    make_choices(10)
    row = services.round_start(parent=parent, settings={"choices": {"created_after": "2020-01-01T00:00", "simulated": None, "scenarios": []}})
    assert row.settings["choices"]["created_after"] == "2020-01-01T00:00"


def test_names_count_on(started, make_choices, parent):
    second = services.round_start(parent=parent)
    assert second.name == "base-r2"


def test_a_stage_that_ends_twice_counts_once(started):
    assert round_advance(row=started, stage="snapshot", seconds=2.0)
    assert not round_advance(row=started, stage="snapshot", seconds=2.0)
    started.refresh_from_db()
    assert started.stage == "post_train"
    assert started.seconds == {"snapshot": 2.0}
    assert Job.objects.filter(kind="training.round_post_train").count() == 1


def test_a_late_job_finds_nothing_to_do(started):
    late = started.job
    round_advance(row=started, stage="snapshot", seconds=1.0)
    assert round_at_stage(round_id=started.pk, stage="snapshot", job=late) is None
    assert round_at_stage(round_id=started.pk, stage="post_train", job=late) is None
    started.refresh_from_db()
    assert round_at_stage(round_id=started.pk, stage="post_train", job=started.job) == started


@pytest.mark.parametrize("stage", Round.STAGES)
def test_it_cancels_in_every_stage(started, child, researcher, stage):
    for passed in Round.STAGES[: Round.STAGES.index(stage)]:
        round_advance(row=started, stage=passed, seconds=1.0, **({"child": child} if passed == "value_head" else {}))
    services.round_cancel(row=started, by=researcher)
    started.refresh_from_db()
    assert (started.state, started.stage) == ("cancelled", stage)
    assert started.finished_at is not None
    assert started.job.state == "cancelled"
    assert not round_advance(row=started, stage=stage, seconds=1.0)


def test_a_cancelled_round_resumes_at_its_stage_with_a_new_job(started, researcher):
    round_advance(row=started, stage="snapshot", seconds=1.0)
    services.round_cancel(row=started, by=researcher)
    before = Round.objects.get(pk=started.pk).job
    services.round_resume(row=started, by=researcher)
    started.refresh_from_db()
    assert (started.state, started.stage) == ("running", "post_train")
    assert started.job != before
    assert started.job.kind == "training.round_post_train"


def test_it_refuses_to_cancel_twice_and_to_resume_a_running_round(started, researcher):
    with pytest.raises(TrainingError, match="running"):
        services.round_resume(row=started, by=researcher)
    services.round_cancel(row=started, by=researcher)
    with pytest.raises(TrainingError, match="cancelled already"):
        services.round_cancel(row=started, by=researcher)


def test_a_promoted_child_becomes_active(started, child):
    row = at_gate(started, child)
    assert round_decide(row=row, report=REPORT, seconds=1.0)
    row.refresh_from_db()
    child.refresh_from_db()
    assert (row.state, child.state, child.is_active) == ("promoted", "promoted", True)
    assert Event.objects.filter(topic=row.topic, kind="promoted").exists()


def test_a_promoted_child_dreams_next_and_fills_the_queue(started, child):
    round_decide(row=at_gate(started, child), report=REPORT, seconds=1.0)
    job = Job.objects.get(kind="training.next_rollouts")
    assert job.params["policy_version"] == child.pk
    assert 0 < len(job.params["start_frames"]) <= 24


def test_a_rejected_child_stays_away(started, child, parent):
    row = at_gate(started, child)
    round_decide(row=row, report={**REPORT, "promote": False}, seconds=1.0)
    row.refresh_from_db()
    child.refresh_from_db()
    assert (row.state, child.state, child.is_active) == ("rejected", "rejected", False)


def test_a_round_that_does_not_promote_by_itself_leaves_the_active_version(make_choices, parent, child):
    make_choices(10)
    row = services.round_start(parent=parent, settings={"auto_promote": False})
    round_decide(row=at_gate(row, child), report=REPORT, seconds=1.0)
    child.refresh_from_db()
    assert (child.state, child.is_active) == ("promoted", False)


def test_an_override_needs_a_reason_and_is_recorded(started, child, researcher):
    row = at_gate(started, child)
    round_decide(row=row, report={**REPORT, "promote": False}, seconds=1.0)
    with pytest.raises(TrainingError, match="sentence"):
        services.round_override(row=row, by=researcher, reason="  yes ")
    services.round_override(row=row, by=researcher, reason="The margin was missed by one episode of two hundred.")
    row.refresh_from_db()
    child.refresh_from_db()
    assert (row.state, row.override_by, child.is_active) == ("promoted", researcher, True)
    assert AuditEntry.objects.get(action="round.override").reason.startswith("The margin")
    with pytest.raises(TrainingError, match="once"):
        services.round_override(row=row, by=researcher, reason="Once more, for good measure.")


def test_rollback_makes_an_older_version_active_again(started, child, parent, researcher):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted", is_active=True)
    round_decide(row=at_gate(started, child), report=REPORT, seconds=1.0)
    parent.refresh_from_db()
    assert not parent.is_active
    services.version_rollback(version=parent, by=researcher, reason="the dog was touched in the hall")
    parent.refresh_from_db()
    child.refresh_from_db()
    assert (parent.is_active, child.is_active, child.state) == (True, False, "promoted")


def test_rollback_refuses_what_was_never_promoted(child, researcher):
    with pytest.raises(TrainingError, match="never promoted"):
        services.version_rollback(version=child, by=researcher)


def test_a_job_that_was_cancelled_by_itself_ends_its_round(started, researcher):
    job_cancel(job=started.job, by=researcher)
    assert services.rounds_reconcile() == 1
    started.refresh_from_db()
    assert started.state == "cancelled"
    assert services.rounds_reconcile() == 0


def test_a_job_that_failed_without_a_word_ends_its_round_with_its_words(started):
    Job.objects.filter(pk=started.job_id).update(state="failed", error="Its worker stopped answering.", finished_at=started.created_at)
    assert services.rounds_reconcile() == 1
    started.refresh_from_db()
    assert (started.state, started.error) == ("failed", "Its worker stopped answering.")


def test_a_problem_in_a_stage_fails_the_round_in_the_same_words(started, run_job, monkeypatch):
    def no(**values):
        raise JobProblem("The disk holding the clips is gone.")

    monkeypatch.setattr("training.jobs.services.stage_run", no)
    job = run_job(started.job)
    started.refresh_from_db()
    assert job.state == "failed"
    assert (started.state, started.error) == ("failed", "The disk holding the clips is gone.")


def test_a_snapshot_can_not_be_changed(started):
    from tests.labeling import factories

    snapshot = RoundSnapshot.objects.create(
        round=started, sha256="a" * 64, clips=factories.blob(), preferences=factories.blob(), choices=factories.blob(), counts={}
    )
    snapshot.sha256 = "b" * 64
    with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
        snapshot.save()
    with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
        RoundSnapshot.objects.filter(pk=snapshot.pk).delete()


def test_the_database_refuses_a_decision_without_a_child(started):
    with pytest.raises(IntegrityError), transaction.atomic():
        Round.objects.filter(pk=started.pk).update(state="promoted", finished_at=started.created_at)


def test_a_schedule_starts_a_round_after_enough_new_choices(make_choices, parent, researcher):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted", is_active=True)
    schedule = round_schedule_save(name="often", every_choices=12, every_hours=None, by=researcher)
    make_choices(11)
    assert is_due(schedule) == ""
    assert services.round_schedules_run() == []
    make_choices(1)
    (started,) = services.round_schedules_run()
    row = Round.objects.get(pk=started)
    assert (row.trigger, row.parent, row.created_by) == ("choices", parent, researcher)
    assert services.round_schedules_run() == []


def test_a_schedule_that_is_off_starts_nothing(make_choices, parent, researcher):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted", is_active=True)
    schedule = round_schedule_save(name="often", every_choices=10, every_hours=None, by=researcher)
    services.round_schedule_switch(row=schedule, enabled=False, by=researcher)
    make_choices(10)
    assert services.round_schedules_run() == []


def test_a_schedule_needs_a_trigger(researcher):
    with pytest.raises(TrainingError, match="how many"):
        round_schedule_save(name="never", every_choices=None, every_hours=None, by=researcher)
