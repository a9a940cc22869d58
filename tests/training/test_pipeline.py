"""A whole round with real parts: choices about real dreams, DPO, value head, physics, gate. Only the weights are tiny."""

import hashlib
import uuid

import numpy as np
import pytest
import torch
from django.core.management import call_command

from core.media import blob_path
from rollouts.dreams.motion import mirrored
from rollouts.models import PolicyVersion
from rollouts.worlds.household.tasks import holds_in_mirror
from training import services
from training.learn.preferences import PreferenceData
from training.learn.suites import USUAL_LOOP
from training.models import Episode, Evaluation, Round, RoundMetric
from training.services import snapshots
from training.services.snapshots import snapshot_directory

pytestmark = pytest.mark.timeout(300)

SETTINGS = {
    "dpo": {"steps": 4, "pairs_per_step": 4, "micro_batch": 4, "evaluate_every": 2, "checkpoint_every": 2, "motion_dreams": 2, "motion_steps": 2},
    "value_head": {"steps": 4, "batch": 4, "folds": 2, "noise_draws": 1},
    "suite": {"adversarial": 2, "ordinary": 2},
    "gate": {"min_episodes": 2},
    "replay_clips": 2,
}


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory):
    from rollouts.dreams.policy import Policy

    directory = tmp_path_factory.mktemp("tiny-policy")
    Policy.tiny(seed=0).save(directory)
    return directory


@pytest.fixture
def dreamt_choices(db, annotator, admin_person, tiny_directory):
    """Twelve answers about dreams of the tiny policy from three captured frames."""
    from labeling import services as labeling
    from labeling.models import Project
    from labeling.services.comparisons import NewPair
    from rollouts import services as studio

    version = studio.policy_version_create(name="tiny", directory=tiny_directory, state="promoted")
    studio.policy_version_activate(version=version, by=None)
    version.refresh_from_db()
    project = Project.current()
    project.gold_share = project.repeat_share = 0.0
    project.qualifying_pairs = 0
    project.save()
    content = {"prompt": "go to the red ball", "scene_text": "a dog lies in the middle", "factors": {"dog": "lying", "dog_place": "on_path"}}
    scenario = studio.scenario_create(name="Dog", content=content, created_by=admin_person)
    rng = np.random.default_rng(0)
    pairs = []
    for seed in range(3):
        frame = studio.start_frame_create(
            scenario_version=scenario.current, frame=rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), source="uploaded", seed=seed
        )
        studio.start_frames_review(ids=[frame.pk], state="approved", by=admin_person)
        frame.refresh_from_db()
        rows = studio.rollouts_sample(start_frame=frame, policy_version=version, prompt="go to the red ball", n=4, seed=0)[:4]
        pairs += [NewPair((rows[i].pk, rows[j].pk), frame.pk, "uniform") for i, j in ((0, 1), (2, 3), (0, 2), (1, 3))]
    labeling.comparisons_create(pairs=pairs, required_overlap=1)
    for number in range(12):
        lease = labeling.leases_next(annotator=annotator).leases[0]
        body = {"lease": str(lease.pk), "answer": ("left", "right", "left", "tie")[number % 4], "success_left": number % 2 == 0}
        if number == 2:
            body["segments"] = [{"side": "right", "from": 4, "to": 9}]
        labeling.choice_submit(annotator=annotator, key=uuid.uuid4(), body=body)
    return version


def finish(row: Round, run_job, until: str | None = None) -> Round:
    while not row.is_finished and row.stage != until:
        job = run_job(row.job)
        assert job.state == "succeeded", job.error + job.traceback
        row.refresh_from_db()
    return row


def test_a_round_goes_from_choices_to_a_decision(dreamt_choices, researcher, researcher_client, run_job):
    row = services.round_start(parent=dreamt_choices, settings=SETTINGS, created_by=researcher)
    row = finish(row, run_job)
    assert row.state in ("promoted", "rejected")

    counts = row.snapshot.counts
    assert (counts["choices"], counts["ties"], counts["segments"]) == (12, 3, 1)
    assert counts["replay"] == 2

    child = row.child
    assert child.parent == dreamt_choices
    assert child.components["codec"] == dreamt_choices.components["codec"]
    assert child.components["world_model"] != dreamt_choices.components["world_model"]
    assert child.lineage["data_snapshot"] == row.snapshot.sha256
    for sha256 in child.components.values():
        assert hashlib.sha256(blob_path(sha256).read_bytes()).hexdigest() == sha256

    assert RoundMetric.objects.filter(round=row, kind="held_out").count() == 3
    assert row.post_train["stopped"] in ("budget", "patience", "alarm")
    assert 0 <= row.post_train["best_step"] <= row.post_train["steps"] <= 4
    assert set(row.seconds) == {stage.value for stage in Round.Stage}
    parent_evaluation, child_evaluation = Evaluation.objects.order_by("pk")
    assert (parent_evaluation.policy_version, child_evaluation.policy_version) == (dreamt_choices, child)
    for a, b in zip(parent_evaluation.episodes.all(), child_evaluation.episodes.all(), strict=True):
        assert (a.seed, a.prompt, a.factors) == (b.seed, b.prompt, b.factors)
    assert row.gate["adversarial"]["contact"]["change"]["n"] == 2

    for url in (row.get_absolute_url(), f"/versions/{child.pk}/", child_evaluation.get_absolute_url(), "/rounds/", "/evaluations/"):
        assert researcher_client.get(url).status_code == 200, url
    assert "A touch of the dog counts" in researcher_client.get(row.get_absolute_url()).content.decode()
    assert parent_evaluation.suite["loop"] == USUAL_LOOP.to_dict()


def test_what_is_learned_is_learned_in_a_mirror_too(dreamt_choices, run_job):
    row = finish(services.round_start(parent=dreamt_choices, settings=SETTINGS), run_job, until="post_train")
    data = PreferenceData.load(snapshot_directory(row.snapshot))
    seen, turned = [r for r in data.rows if not r.mirrored], [r for r in data.rows if r.mirrored]
    counts = row.snapshot.counts
    assert len(seen) == len(turned) == counts["mirrored"] == counts["pairs"]
    assert len(data.prompts) == 2 * counts["clips"]
    for one, over in zip(seen, turned, strict=True):
        assert (one.group, one.weight, one.segments, one.tie) == (over.group, over.weight, over.segments, over.tie)
        torch.testing.assert_close(data.latents_NTCHW[over.winner], mirrored(data.latents_NTCHW[one.winner]))
        assert not torch.equal(data.start_NCHW[over.winner], data.start_NCHW[one.winner])
    assert sum(j["mirrored"] for j in data.judgements) == len(data.judgements) / 2
    train, held = data.split(0.3, 0)
    assert not any(data.rows[i].mirrored for i in held)
    assert {data.rows[i].group for i in train}.isdisjoint(data.rows[i].group for i in held)


def test_without_a_mirror_and_for_gestures_nothing_is_turned_over(dreamt_choices, run_job, monkeypatch):
    row = finish(services.round_start(parent=dreamt_choices, settings={**SETTINGS, "mirror": False}, name="plain"), run_job, until="post_train")
    assert row.snapshot.counts["mirrored"] == 0
    monkeypatch.setattr(snapshots, "holds_in_mirror", lambda prompt: holds_in_mirror("raise your left hand"))
    row = finish(services.round_start(parent=dreamt_choices, settings=SETTINGS, name="gestures"), run_job, until="post_train")
    assert row.snapshot.counts["mirrored"] == 0


def test_the_same_round_gives_the_same_weights(dreamt_choices, run_job):
    rows = [finish(services.round_start(parent=dreamt_choices, settings=SETTINGS, name=name), run_job, until="evaluate") for name in ("one", "two")]
    assert rows[0].snapshot.sha256 == rows[1].snapshot.sha256
    assert rows[0].child.components == rows[1].child.components


def test_cancelled_in_the_middle_of_training_it_resumes_to_the_same_weights(dreamt_choices, researcher, run_job, monkeypatch):
    unbroken = finish(services.round_start(parent=dreamt_choices, settings=SETTINGS, name="unbroken"), run_job, until="evaluate")
    row = services.round_start(parent=dreamt_choices, settings=SETTINGS, name="broken")
    row = finish(row, run_job, until="post_train")

    from core.jobs import JobContext
    from training.learn.post_train import PostTrain

    steps = []
    whole = PostTrain.step

    def step_then_cancel(self, step):
        found = whole(self, step)
        steps.append(step)
        if step == 2:
            services.round_cancel(row=row, by=researcher)
        return found

    monkeypatch.setattr(PostTrain, "step", step_then_cancel)
    # The context looks for a cancellation twice a second; four tiny steps are over before that.
    monkeypatch.setattr("core.jobs.context._LOOK_EVERY_S", 0.0)
    assert JobContext is not None
    job = run_job(row.job)
    row.refresh_from_db()
    assert (job.state, row.state, row.stage, steps) == ("cancelled", "cancelled", "post_train", [0, 1, 2])

    monkeypatch.setattr(PostTrain, "step", whole)
    services.round_resume(row=row, by=researcher)
    row.refresh_from_db()
    row = finish(row, run_job, until="evaluate")
    assert row.child.components == unbroken.child.components


def test_choices_about_another_codec_are_left_out(dreamt_choices, run_job):
    components = {**dreamt_choices.components, "codec": dreamt_choices.components["idm"]}
    other = PolicyVersion.objects.create(name="other", components=components)
    row = services.round_start(parent=other, settings=SETTINGS)
    job = run_job(row.job)
    row.refresh_from_db()
    assert job.state == "failed"
    assert row.state == "failed"
    assert "Of 12 choices fewer than 10 are about rollouts of “other”'s codec" in row.error


def test_an_evaluation_plays_its_suite_once(dreamt_choices, researcher, run_job, capsys):
    row = services.evaluation_start(version=dreamt_choices, settings={"adversarial": 2, "ordinary": 1}, created_by=researcher)
    assert run_job(row.job).state == "succeeded"
    row.refresh_from_db()
    assert row.state == "done"
    assert row.summary["adversarial"]["episodes"] == 2
    assert Episode.objects.filter(evaluation=row).count() == 3
    call_command("evaluation", dreamt_choices.name, "--adversarial", "2", "--ordinary", "1")
    assert "adversarial contact" in capsys.readouterr().out
    again = services.evaluation_start(version=dreamt_choices, settings={"adversarial": 2, "ordinary": 1}, created_by=researcher)
    assert (again.pk, again.job) == (row.pk, row.job)
