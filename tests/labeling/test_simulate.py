from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from core.media import blob_store
from core.people import person_ensure
from labeling import services
from labeling.models import AnnotatorProfile, Choice, Comparison, Project
from labeling.services.simulation import simulated_annotator_ensure, simulation_run
from labeling.simulate import Judge, Teacher
from labeling.simulate.judge import verdict
from tests.labeling import factories

FRAMES = 13


@dataclass(frozen=True)
class Seen:
    """One frame as a probe would describe it."""

    robot_xy: tuple[float, float]
    dog_xy: tuple[float, float] | None = None
    robot_present: float = 1.0
    arms: tuple[float, float] = (0.0, 0.0)
    objects: dict = field(default_factory=lambda: {"red ball": (0.99, (0.0, 1.5))})

    def dog_gap(self) -> float:
        return float("inf") if self.dog_xy is None else float(np.hypot(self.robot_xy[0] - self.dog_xy[0], self.robot_xy[1] - self.dog_xy[1]) - 0.4)


def walk(end: float, x: float = 0.0, dog=None) -> list[Seen]:
    return [Seen((x, y), dog) for y in np.linspace(-1.5, end, FRAMES)]


def test_the_one_that_arrives_is_worth_more():
    arrives, stops = verdict(walk(1.0), "go to the red ball"), verdict(walk(-0.5), "go to the red ball")
    assert arrives.success
    assert not stops.success
    assert Teacher().utility(arrives).value > Teacher().utility(stops).value > 0


def test_walking_through_the_dog_is_worse_than_standing_still():
    through = verdict(walk(1.0, dog=(0.0, 0.0)), "go to the red ball")
    still = verdict(walk(-1.5, dog=(0.0, 0.0)), "go to the red ball")
    assert not through.safe
    assert not through.success
    assert still.safe
    assert Teacher().utility(through).value < Teacher().utility(still).value


def test_a_blur_that_looks_like_a_dog_later_is_none():
    seen = walk(1.0)
    seen[6] = Seen(seen[6].robot_xy, dog_xy=seen[6].robot_xy)
    assert verdict(seen, "go to the red ball").safe


def test_a_jump_and_a_vanished_robot_are_not_plausible():
    jump = walk(1.0)
    jump[6:] = [Seen((1.5, seen.robot_xy[1])) for seen in jump[6:]]
    assert not verdict(jump, "go to the red ball").plausible
    gone = walk(1.0)
    gone[-1] = Seen((0, 1.0), robot_present=0.1)
    assert not verdict(gone, "go to the red ball").plausible
    assert verdict(walk(1.0), "go to the red ball").plausible


def test_gestures_and_unknown_prompts():
    up = [Seen((0, 0), arms=(step / 12, 0.0)) for step in range(FRAMES)]
    assert verdict(up, "raise the left hand").success
    assert not verdict(up, "raise the right hand").success
    assert not verdict(up, "sing a song").success
    carried = [Seen((0, y), objects={"red ball": (0.99, (0.0, y))}) for y in np.linspace(0, 1.2, FRAMES)]
    assert verdict(carried, "bring the red ball to the mat").success


GOOD, BAD = verdict(walk(1.0), "go to the red ball"), verdict(walk(1.0, dog=(0, 0)), "go to the red ball")


def answers(teacher: Teacher, left, right, n: int = 2000) -> list[str]:
    rng = np.random.default_rng(0)
    return [teacher.answer(left, right, rng).get("answer", "skip") for _ in range(n)]


def share(words: list[str], word: str) -> float:
    return words.count(word) / len(words)


def test_a_perfect_teacher_always_picks_the_better_side():
    teacher = Teacher(mistake=0, equal=0.1, skip=0)
    assert set(answers(teacher, GOOD, BAD, 50)) == {"left"}
    assert set(answers(teacher, BAD, GOOD, 50)) == {"right"}
    assert set(answers(teacher, GOOD, GOOD, 50)) == {"tie"}
    assert set(answers(teacher, BAD, BAD, 50)) == {"both_bad"}


def test_mistakes_skips_and_bias_come_as_often_as_asked():
    words = answers(Teacher(mistake=0.1, skip=0.2), GOOD, BAD)
    assert share(words, "skip") == pytest.approx(0.2, abs=0.03)
    assert share(words, "right") / (1 - share(words, "skip")) == pytest.approx(0.1, abs=0.03)
    assert share(answers(Teacher(mistake=0, skip=0, left_bias=0.6), BAD, GOOD), "left") == pytest.approx(0.6, abs=0.04)
    noisy = answers(Teacher(mistake=0, skip=0, equal=0, beta=0.5), GOOD, BAD)
    assert 0.55 < share(noisy, "left") < 0.95


def test_a_myopic_teacher_looks_at_the_end():
    early = verdict(walk(1.0), "go to the red ball")
    late = verdict([Seen((0, -1.5))] * 4 + [Seen((0, y)) for y in np.linspace(-1.5, 1.2, 9)], "go to the red ball")
    gap = Teacher().utility(early).value - Teacher().utility(late).value
    myopic = Teacher(myopic=0.9)
    assert gap > 0.05 > abs(myopic.utility(early).value - myopic.utility(late).value)


def test_a_teacher_explains_itself():
    body = Teacher(mistake=0, skip=0).answer(GOOD, BAD, np.random.default_rng(0))
    assert body["criteria"] == {"task_done": "left", "plausible": "both", "safe": "left"}
    assert (body["success_left"], body["success_right"]) == (True, False)
    (segment,) = body["segments"]
    assert segment["side"] == "right"
    assert 0 < segment["from"] < segment["to"] == FRAMES - 1
    with pytest.raises(ValueError, match="mistake"):
        Teacher(mistake=1.5)


class Eyes:
    """Reads real pixels without weights: the robot is where the brightest red stands. What a trained probe does, for one colour."""

    def read(self, frames: np.ndarray) -> list[Seen]:
        readings = []
        for frame in frames.astype(int):
            redness = frame[..., 0] - frame[..., 1] - frame[..., 2]
            row, _ = np.unravel_index(redness.argmax(), redness.shape)
            readings.append(Seen((0.0, 1.5 - 3 * row / (len(frame) - 1))))
        return readings


def clip(end_row: int, size: int = 24) -> bytes:
    sheet = np.zeros((3 * size, 5 * size, 3), np.uint8)
    for i, row in enumerate(np.linspace(size - 1, end_row, FRAMES).round().astype(int)):
        top, left = size * (i // 5), size * (i % 5)
        sheet[top + row, left + size // 2] = (255, 0, 0)
    out = io.BytesIO()
    Image.fromarray(sheet).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def pairs_to_judge(transactional_db):
    """Six rollouts of one start frame: the higher the id, the nearer the robot comes."""
    project = Project.current()
    project.gold_share = project.repeat_share = 0
    project.save()
    frame, version = factories.start_frame(), factories.policy_version()
    rollouts = [factories.rollouts(1, frame=frame, version=version, sprite=blob_store(clip(23 - 4 * n), "image/png"), width=24, height=24)[0] for n in range(6)]
    services.comparisons_make_ahead(count=15, strategy="uniform", seed=0)
    return rollouts


@pytest.mark.django_db(transaction=True)
def test_simulated_annotators_answer_through_the_server(pairs_to_judge, live_server):
    seen: list[int] = []
    simulation = simulation_run(
        judge=Judge(Eyes()), teacher=Teacher(mistake=0, equal=0, skip=0), annotators=2, choices=15, url=live_server.url, progress=seen.append
    )
    assert simulation.answered == 15 == seen[-1]
    choices = Choice.objects.all()
    assert choices.count() == 15
    assert set(choices.values_list("is_simulated", flat=True)) == {True}
    # b is the nearer one by construction: judged from pixels, whatever side it stood on.
    assert set(choices.values_list("answer", flat=True)) == {"b"}
    assert set(choices.values_list("side", flat=True)) == {"left", "right"}
    assert {choice.client_meta["app"] for choice in choices} == {"simulate"}
    assert not Comparison.objects.exclude(state="done").exists()
    keys = [key for outcome in simulation.outcomes.values() for key in outcome.answered]
    assert sorted(keys) == sorted(str(key) for key in choices.values_list("pk", flat=True))


@pytest.mark.django_db(transaction=True)
def test_they_stop_when_nothing_is_left(pairs_to_judge, live_server):
    simulation = simulation_run(judge=Judge(Eyes()), teacher=Teacher(skip=0), choices=50, url=live_server.url)
    assert simulation.answered == 15
    assert simulation.outcomes["simulated-1"].stopped == "all_done"


@pytest.mark.django_db(transaction=True)
def test_a_second_run_with_the_same_seed_gives_new_answers(pairs_to_judge, live_server):
    """The demo's simulated annotators have used up the first numbers of every small seed."""
    for prefix in ("simulated", "simulated", "others"):
        simulation = simulation_run(
            judge=Judge(Eyes()), teacher=Teacher(mistake=0, equal=0, skip=0), annotators=1, choices=5, url=live_server.url, seed=0, prefix=prefix
        )
        assert simulation.answered == 5
    assert Choice.objects.count() == 15


@pytest.mark.django_db(transaction=True)
def test_the_command_tells_a_refusal_from_a_server_that_is_away(project, live_server, monkeypatch):
    monkeypatch.setattr("labeling.management.commands.simulate.judge_load", lambda **_: Judge(Eyes()))
    monkeypatch.setattr("labeling.simulate.client.PATIENCE_S", 0)
    with pytest.raises(CommandError, match="Is the server running"):
        call_command("simulate", "--annotators", "1", "--url", "http://127.0.0.1:1", "--prefix", "sim-away")
    monkeypatch.setattr("labeling.simulate.client.API", "/api/v1/nowhere/")
    with pytest.raises(CommandError, match=r"The server refused: 404 .*nowhere/next/") as refused:
        call_command("simulate", "--annotators", "1", "--url", live_server.url, "--prefix", "sim-refused")
    assert "Is the server running" not in str(refused.value)


@pytest.mark.django_db
def test_a_person_is_never_simulated(project):
    services.annotator_profile(user=person_ensure(username="simulated-1", roles=("annotator",)))
    with pytest.raises(ValueError, match="is a person"):
        simulated_annotator_ensure(name="simulated-1", teacher=Teacher(), seed=0)
    user = simulated_annotator_ensure(name="sim-9", teacher=Teacher(mistake=0.3), seed=4)
    profile = AnnotatorProfile.objects.get(user=user)
    assert profile.is_simulated
    assert (profile.simulation["mistake"], profile.simulation["seed"], profile.qualification) == (0.3, 4, "waived")


@pytest.mark.django_db
def test_the_command_explains_bad_settings(project):
    with pytest.raises(CommandError, match="annotators"):
        call_command("simulate", "--annotators", "0")
    with pytest.raises(CommandError, match="mistake"):
        call_command("simulate", "--mistake", "2")
