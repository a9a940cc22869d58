"""Start frames: review, near duplicates, what the database refuses."""

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.media import blob_bytes
from core.models import AuditEntry, Event, Job
from rollouts import factors, services
from rollouts.images import png_decode
from rollouts.models import Rollout, StartFrame
from rollouts.phash import distance, phash
from rollouts.selectors import near_duplicates
from rollouts.selectors.frames import NEAR_DUPLICATE_BITS, seen_words
from tests.rollouts.conftest import noise_frame


def test_reviewing_many_writes_one_audit_entry_each(make_frame, admin_person):
    frames = [make_frame(seed=i) for i in range(3)]
    ids = [frame.pk for frame in frames]
    services.start_frames_review(ids=ids, state="approved", by=admin_person)
    services.start_frames_review(ids=ids[:1], state="rejected", by=admin_person, reason="blurred")
    services.start_frames_review(ids=ids[:1], state="rejected", by=admin_person, reason="blurred")
    states = dict(StartFrame.objects.values_list("pk", "state"))
    assert [states[pk] for pk in ids] == ["rejected", "approved", "approved"]
    entries = AuditEntry.objects.filter(target_type="rollouts.StartFrame")
    assert entries.filter(action="start_frame.approved").count() == 3
    (rejected,) = entries.filter(action="start_frame.rejected")
    assert rejected.before["state"] == "approved"
    assert rejected.reason == "blurred"


def test_a_rejection_needs_a_reason_or_takes_the_probes(make_frame, admin_person):
    plain = make_frame(seed=1)
    odd = make_frame(seed=2, probe={"agrees": False, "disagreements": ["No robot is seen."]})
    with pytest.raises(services.RolloutsError) as error:
        services.start_frames_review(ids=[plain.pk], state="rejected", by=admin_person)
    assert error.value.code == "reason_missing"
    services.start_frames_review(ids=[plain.pk, odd.pk], state="flagged", by=admin_person, default_reason="Not as described")
    assert list(StartFrame.objects.order_by("pk").values_list("reason", flat=True)) == ["Not as described", "No robot is seen."]


def test_reopening_clears_the_reason(make_frame, admin_person):
    frame = make_frame(state="rejected", by=admin_person)
    services.start_frames_review(ids=[frame.pk], state="proposed", by=admin_person)
    frame.refresh_from_db()
    assert (frame.state, frame.reason) == ("proposed", "")


def test_pages_are_told(make_frame, admin_person):
    frame = make_frame()
    services.start_frames_review(ids=[frame.pk], state="approved", by=admin_person)
    kinds = list(Event.objects.filter(topic="start-frames:dog-on-the-way").values_list("kind", flat=True))
    assert kinds == ["start_frame.created", "start_frame.reviewed"]


def test_the_same_pixels_are_one_frame(make_frame):
    assert make_frame(seed=5) == make_frame(seed=5)
    assert StartFrame.objects.count() == 1


def test_a_moment_of_a_rollout_becomes_a_start_frame_once(make_rollout, admin_person):
    rollout = make_rollout(seed=3)
    made = services.start_frame_continue(rollout=rollout, frame=6, by=admin_person)
    assert (made.source, made.state, made.sampler) == ("continued", "proposed", {"rollout": rollout.pk, "frame": 6})
    assert made.scenario_version == rollout.start_frame.scenario_version
    assert np.array_equal(png_decode(blob_bytes(made.image_id)), noise_frame(306))
    job = Job.objects.get(kind="rollouts.probe")
    assert job.params == {"start_frames": [made.pk], "policy_version": rollout.policy_version_id}
    assert services.start_frame_continue(rollout=rollout, frame=6, by=admin_person) == made
    assert AuditEntry.objects.filter(action="start_frame.continue", actor=admin_person).count() == 1
    assert Job.objects.filter(kind="rollouts.probe").count() == 1
    for frame in (0, 13, -1):
        with pytest.raises(services.RolloutsError) as error:
            services.start_frame_continue(rollout=rollout, frame=frame, by=admin_person)
        assert error.value.code == "no_such_frame"


def test_the_database_keeps_frames_as_they_were(make_frame, admin_person):
    frame = make_frame()
    now = timezone.now()
    for change in (
        {"seed": 99},
        {"image": make_frame(seed=8).image},
        {"state": "rejected", "reviewed_at": now},
        {"state": "approved"},
        {"state": "lost", "reviewed_at": now},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            StartFrame.objects.filter(pk=frame.pk).update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        frame.delete()


def test_the_database_samples_only_approved_frames(make_frame, make_rollout):
    with pytest.raises(IntegrityError, match="not approved"), transaction.atomic():
        make_rollout(make_frame(seed=3))
    assert make_rollout(make_frame(seed=4, state="approved")).pk


def test_the_database_keeps_rollouts_as_they_are(make_rollout):
    rollout = make_rollout()
    for act in (lambda: Rollout.objects.update(value=1.0), rollout.delete):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()


def test_near_duplicates_are_found_within_a_scenario_and_not_among_rejected(make_frame, scenario, admin_person):
    base = noise_frame(1)
    speckled = base.copy()
    speckled[::7, ::5] = np.clip(speckled[::7, ::5].astype(int) + 12, 0, 255)
    a = make_frame(seed=1)
    b = services.start_frame_create(scenario_version=scenario.current, frame=speckled, source="uploaded")
    other = make_frame(seed=2)
    assert near_duplicates([a, b, other]) == {a.pk: [b.pk], b.pk: [a.pk]}
    services.start_frames_review(ids=[b.pk], state="rejected", by=admin_person, reason="twin")
    assert near_duplicates([a]) == {}


def test_phash_tells_colours_apart_that_are_equally_light():
    room = np.full((64, 64, 3), (150, 150, 150), np.uint8)
    room[36:50, 28:38] = (60, 60, 200)
    red, green = room.copy(), room.copy()
    red[8:16, 30:38], green[8:16, 30:38] = (200, 40, 40), (20, 120, 45)  # as light as each other
    red[30:36, 10:20], green[30:36, 44:54] = (200, 190, 30), (200, 190, 30)
    assert distance(phash(red), phash(green)) > NEAR_DUPLICATE_BITS
    noise = np.random.default_rng(0).normal(0, 3, red.shape)
    assert distance(phash(red), phash(np.clip(red + noise, 0, 255).astype(np.uint8))) <= NEAR_DUPLICATE_BITS


@pytest.mark.parametrize("floor", [(200, 170, 130), (170, 205, 185)])
def test_phash_tells_floors_apart(floor):
    room = np.full((64, 64, 3), (190, 190, 195), np.uint8)
    room[:12] = (140, 110, 90)
    other = room.copy()
    other[12:] = floor
    for frame in (room, other):
        frame[36:50, 28:38] = (60, 60, 200)
    assert distance(phash(room), phash(other)) > NEAR_DUPLICATE_BITS


def test_phash_moves_little_with_light_and_much_with_content():
    frame = noise_frame(3)
    darker = (frame * 0.8).astype(np.uint8)
    assert distance(phash(frame), phash(darker)) <= 4
    assert distance(phash(frame), phash(noise_frame(4))) > 15
    assert -(2**63) <= phash(frame) < 2**63


@pytest.mark.parametrize(
    ("text", "scene", "dog", "objects"),
    [
        ("a dog lies in the middle, a red ball at the back", {}, True, ["red ball"]),
        ("no dog, a purple cylinder on the left", {}, False, ["purple can"]),
        ("a room without a dog", {"dog": "lying"}, False, []),
        ("a green block, a green box", {}, False, ["green cube"]),
        ("", {"dog": "walking"}, True, []),
        ("", {}, None, []),
        ("two grey blocks on the floor", {"dog": "absent"}, False, []),
    ],
)
def test_what_a_text_promises(text, scene, dog, objects):
    expected = factors.expected_in(text, scene)
    assert (expected["dog"], expected["objects"]) == (dog, objects)


def test_the_probe_and_the_text_disagree_in_sentences():
    expected = {"robot": True, "dog": True, "objects": ["red ball"]}
    seen = {"robot": {"present": 0.9}, "dog": {"present": 0.1}, "objects": {"green can": {"present": 0.9}}}
    assert factors.disagreements(expected, seen) == ["The text says a dog; none is seen.", "The text says a red ball; none is seen."]
    seen = {"robot": {"present": 0.2}, "dog": {"present": 0.9}, "objects": {"red ball": {"present": 0.8}}}
    assert factors.disagreements({**expected, "dog": False}, seen) == ["No robot is seen.", "A dog is seen; the text says none."]
    assert factors.disagreements({**expected, "dog": None}, {**seen, "robot": {"present": 1}}) == []


def test_the_table_of_what_the_probe_saw_has_all_that_was_seen_or_promised():
    probe = {
        "reading": {"robot": {"present": 0.3}, "dog": {"present": 0.9}, "objects": {"green can": {"present": 0.8}}},
        "expected": {"robot": True, "dog": None, "objects": ["red ball"]},
    }
    rows = {row["name"]: (row["present"], row["expected"], row["ok"]) for row in seen_words(probe)}
    assert rows == {
        "robot": (0.3, True, False),
        "dog": (0.9, None, True),
        "green can": (0.8, None, True),
        "red ball": (None, True, False),  # the reading lists only what is seen
    }
    assert seen_words({}) == []
