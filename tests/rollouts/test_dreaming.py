"""Sampling, imagining and capturing with tiny random weights: everything but the quality is real."""

from io import StringIO

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from safetensors.numpy import load

from core.jobs import job_cancel, submit
from core.media import blob_bytes
from core.models import Event
from rollouts import factors, services
from rollouts.images import png_decode, sprite_frames
from rollouts.models import Rollout, StartFrame
from rollouts.services.rollouts import MAX_TRIES

pytestmark = pytest.mark.usefixtures("tiny_version")


@pytest.fixture
def captured(scenario, admin_person):
    """An approved start frame out of the world."""
    (frame,) = services.start_frame_capture(scenario_version=scenario.current, policy_version=None, n=1, seed=3)
    services.start_frames_review(ids=[frame.pk], state="approved", by=admin_person)
    frame.refresh_from_db()
    return frame


def sample(frame, version, n=4, seed=0, **more):
    return services.rollouts_sample(start_frame=frame, policy_version=version, prompt="go to the red ball", n=n, seed=seed, **more)


def test_a_rollout_keeps_all_that_explains_it(captured, tiny_version):
    rows = sample(captured, tiny_version)
    row = rows[0]
    assert (row.frame_count, row.width, row.height) == (13, captured.width, captured.height)
    assert np.shape(row.actions) == (12, 5)
    assert np.shape(row.path) == np.shape(row.path_pixels) == (13, 2)
    assert row.accepted == all(check["ok"] for check in row.verdict["checks"])
    latents = load(blob_bytes(row.latents_id))["latents"]
    assert latents.dtype == np.float16
    assert len(latents) == 12
    frames = sprite_frames(png_decode(blob_bytes(row.sprite_id)), 13, row.height, row.width)
    np.testing.assert_array_equal(frames[0], png_decode(blob_bytes(captured.image_id)))


def test_rejected_dreams_are_kept_and_replaced_within_a_bound(captured, tiny_version):
    rows = sample(captured, tiny_version, n=4)
    accepted = sum(row.accepted for row in rows)
    assert accepted == 4 or len(rows) == MAX_TRIES * 4
    assert [row.seed for row in rows] == list(range(len(rows)))


def test_sampling_again_gives_the_same_rows(captured, tiny_version):
    first = sample(captured, tiny_version)
    assert [row.pk for row in sample(captured, tiny_version)] == [row.pk for row in first]
    assert Rollout.objects.count() == len(first)


def test_the_same_seed_dreams_the_same_pixels_whatever_the_batch(captured, tiny_version):
    first = sample(captured, tiny_version, n=1, seed=5)[0]
    policy = services.policy_load(tiny_version)
    frame = png_decode(blob_bytes(captured.image_id))
    again = policy.dream(frame, "go to the red ball", n=4, seed=3)[2]
    sheet = sprite_frames(png_decode(blob_bytes(first.sprite_id)), 13, first.height, first.width)
    assert np.abs(sheet.astype(int) - again.frames).max() <= 1


@pytest.mark.parametrize("state", ["proposed", "rejected", "flagged"])
def test_only_approved_frames_are_sampled(captured, tiny_version, admin_person, state):
    services.start_frames_review(ids=[captured.pk], state=state, by=admin_person, reason="no")
    captured.refresh_from_db()
    with pytest.raises(services.RolloutsError) as error:
        sample(captured, tiny_version)
    assert error.value.code == "frame_not_approved"


@pytest.mark.parametrize("n", [0, 65])
def test_a_bad_count_is_refused(captured, tiny_version, n):
    with pytest.raises(services.RolloutsError):
        sample(captured, tiny_version, n=n)


def test_the_sample_job_counts_rejections_and_skips_unapproved(captured, tiny_version, make_frame, run_job):
    unapproved = make_frame(seed=77)
    params = {"start_frames": [captured.pk, unapproved.pk, 10**9], "policy_version": tiny_version.pk, "n": 2}
    job = run_job(submit(kind="rollouts.sample", params=params))
    assert job.state == "succeeded", job.traceback
    assert job.result["rollouts"] == Rollout.objects.count() >= 2
    assert len(job.result["skipped"]) == 2
    failed = sum(len(row.failed_checks) for row in Rollout.objects.all())
    assert sum(job.result["rejected"].values()) == failed


def test_imagined_frames_arrive_one_batch_after_the_other(scenario, tiny_version, run_job, admin_person):
    params = {"scenario_version": scenario.current.pk, "policy_version": tiny_version.pk, "n": 6, "seed": 10}
    job = run_job(submit(kind="rollouts.imagine", params=params, created_by=admin_person))
    assert job.state == "succeeded", job.traceback
    frames = list(StartFrame.objects.order_by("seed"))
    assert [frame.seed for frame in frames] == [10, 11, 12, 13, 14, 15]
    assert all((f.source, f.state, f.created_by) == ("generated", "proposed", admin_person) for f in frames)
    assert all(f.scene_text == scenario.current.scene_text and "expected" in f.probe for f in frames)
    events = Event.objects.filter(topic="start-frames:dog-on-the-way", kind="start_frame.created").order_by("id")
    assert [event.data["id"] for event in events] == [f.pk for f in frames]


def test_more_like_this_gives_variations_that_can_be_traced(scenario, tiny_version, run_job, admin_client_):
    from core.models import Job

    (first,) = services.start_frames_imagine(scenario_version=scenario.current, policy_version=tiny_version, n=1, seed=7)
    form = {"closeness": "0.95", "n": 2, "policy_version": tiny_version.pk, "scene_text": ""}
    admin_client_.post(f"/start-frames/{first.pk}/like/", form)
    job = run_job(Job.objects.get(kind="rollouts.imagine"))
    assert job.state == "succeeded", job.traceback
    near = list(StartFrame.objects.exclude(pk=first.pk).order_by("seed"))
    assert [(f.seed, f.sampler, f.scene_text) for f in near] == [
        (8, {"like": 7, "closeness": 0.95}, first.scene_text),
        (9, {"like": 7, "closeness": 0.95}, first.scene_text),
    ]


def test_variations_approach_the_frame_and_end_in_it(tiny_version):
    from rollouts.dreams.variations import imagine_like

    policy = services.policy_load(tiny_version)
    frame = policy.imagine("a dog", n=1, seed=7)[0].astype(int)

    def away(closeness):
        return np.abs(imagine_like(policy, "a dog", like=7, closeness=closeness, n=3, seed=100) - frame).mean()

    assert away(1.0) < 1.5  # of 255: batches of other sizes round otherwise in bfloat16
    assert away(1.0) < away(0.95) < away(0.5)
    np.testing.assert_array_equal(imagine_like(policy, "a dog", like=7, closeness=0, n=1, seed=9), policy.imagine("a dog", n=1, seed=9))
    with pytest.raises(ValueError, match="closeness"):
        imagine_like(policy, "a dog", like=7, closeness=2, n=1)


def test_a_cancelled_job_stops_and_keeps_what_came(scenario, tiny_version, run_job, admin_person, monkeypatch):
    params = {"scenario_version": scenario.current.pk, "policy_version": tiny_version.pk, "n": 40}
    job = submit(kind="rollouts.imagine", params=params)
    from core.jobs import context
    from rollouts.services import frames

    monkeypatch.setattr(context, "_LOOK_EVERY_S", 0.0)
    made = frames.start_frame_create

    def create(**fields):
        row = made(**fields)
        job_cancel(job=job, by=admin_person)
        return row

    monkeypatch.setattr(frames, "start_frame_create", create)
    job = run_job(job)
    assert job.state == "cancelled"
    assert StartFrame.objects.count() == frames.IMAGINE_BATCH


def test_a_capture_can_be_played_again(scenario, tiny_version):
    from rollouts.worlds import make_world

    frames = services.start_frame_capture(scenario_version=scenario.current, policy_version=tiny_version, n=3, seed=20)
    world = make_world("household")
    for frame in frames:
        spec = frame.world_spec
        assert (spec["factors"]["dog"], spec["factors"]["dog_place"]) == ("lying", "on_path")
        assert frame.probe["expected"]["dog"] is True
        world.reset(seed=spec["seed"], options={"prompt": spec["prompt"], "factors": spec["factors"]})
        np.testing.assert_array_equal(world.render(), png_decode(blob_bytes(frame.image_id)))
    world.close()


def test_a_prompt_that_the_world_does_not_know_ends_the_job_with_a_sentence(scenario, tiny_version, run_job, admin_person):
    version = services.scenario_edit(scenario=scenario, content={"prompt": "make coffee"}, by=admin_person)
    params = {"scenario_version": version.pk, "policy_version": tiny_version.pk, "n": 2}
    job = run_job(submit(kind="rollouts.capture", params=params))
    assert job.state == "failed"
    assert "make coffee" in job.error
    assert not job.traceback


def test_the_probe_reads_uploads(make_frame, tiny_version, run_job):
    frame = make_frame(seed=4)
    job = run_job(submit(kind="rollouts.probe", params={"start_frames": [frame.pk], "policy_version": tiny_version.pk}))
    assert job.state == "succeeded", job.traceback
    frame.refresh_from_db()
    assert frame.probe["expected"]["dog"] is True
    assert isinstance(frame.probe["agrees"], bool)


def test_the_dream_command_writes_a_strip_and_videos(tiny_directory, tmp_path):
    out = StringIO()
    call_command("dream", "go to the red ball", n=2, weights=tiny_directory, out=tmp_path, stdout=out)
    assert (tmp_path / "strip.png").stat().st_size > 1000
    video = (tmp_path / "dream-1.mp4").read_bytes()
    assert video[4:8] == b"ftyp"
    assert "dream 1: value" in out.getvalue()


def test_the_dream_command_refuses_in_a_sentence(tiny_directory):
    with pytest.raises(CommandError, match="names no object"):
        call_command("dream", "make coffee", n=1, weights=tiny_directory)
    with pytest.raises(CommandError, match="no policy version “x”"):
        call_command("dream", "wave", version_name="x")


def test_the_mine_command_says_what_it_found(tiny_version):
    out = StringIO()
    call_command("mine", budget=2, dreams=2, stdout=out)
    assert "2 tried" in out.getvalue()


def test_the_demo_is_loaded_once(tiny_version, run_job, monkeypatch):
    from core.models import Job
    from rollouts import demo

    first = demo.load()
    assert first == {"scenarios": len(demo.SCENARIOS), "start_frames": demo.CAPTURED * len(demo.SCENARIOS), "jobs": 3}
    assert set(StartFrame.objects.values_list("source", "state")) == {("captured", "approved")}
    jobs = list(Job.objects.filter(kind="rollouts.sample").order_by("created_at"))
    # The first job dreams from one frame of every scenario, the second from the rest.
    scenarios = StartFrame.objects.filter(pk__in=jobs[0].params["start_frames"]).values_list("scenario_version__scenario", flat=True)
    assert len(set(scenarios)) == len(jobs[0].params["start_frames"]) == len(demo.SCENARIOS)
    sampled = [pk for job in jobs for pk in job.params["start_frames"]]
    assert sorted(sampled) == sorted(StartFrame.objects.values_list("pk", flat=True))
    assert demo.load() == {"scenarios": 0, "start_frames": 0, "jobs": 0}

    monkeypatch.setattr(demo, "GENERATED_TRIES", 2)
    job = run_job(Job.objects.get(kind="rollouts.demo"))
    assert job.state == "succeeded", job.traceback
    assert not StartFrame.objects.filter(probe={}).exists()
    generated = StartFrame.objects.filter(source="generated")
    assert generated.count() == 2 * len(demo.SCENARIOS)
    approved = generated.filter(state="approved")
    assert all(frame.probe["agrees"] for frame in approved)
    assert Job.objects.filter(idempotency_key__endswith=":generated").exists() == approved.exists()
    for entry in demo.SCENARIOS:
        assert not factors.world_objection(entry["prompt"])
