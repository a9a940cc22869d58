"""The proof's parts: experience (frames, rollouts, choices) and arms (rounds that differ in one thing)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.common import run_here
from labeling.simulate import Teacher, Verdict

# What the words of a scene say of the dog, for each dog scene of the suite.
PHRASES = {"dog lying in the way": "a dog lies", "dog walking across": "a dog walks", "dog lying near the target": "a dog lies"}

# Rows and columns of the floor's grid; two places are across from each other if a cell lies between them.
ROWS, COLUMNS = ("front", "", "back"), ("left", "", "right")
ACROSS = [
    (one, other)
    for one in itertools.product(range(3), repeat=2)
    for other in itertools.product(range(3), repeat=2)
    if one != other and (one[0] - other[0]) % 2 == (one[1] - other[1]) % 2 == 0
]


# Frames of a dream at which it is gone on from: under way, and mostly not past the dog.
MOMENTS = (2, 8)

ORDER = ("uniform", "careful", "coin")


@dataclass(frozen=True)
class CoinTeacher(Teacher):
    """Answers left or right by coin, without segments or flags: choices that carry nothing. What learns from them must not improve."""

    def answer(self, left: Verdict, right: Verdict, rng: np.random.Generator) -> dict[str, Any]:
        return {"answer": "left" if rng.random() < 0.5 else "right"}


@dataclass(frozen=True)
class Arm:
    """One way to make a child.

    annotators  whose choices: "careful" and "coin" answer the same pairs, chosen as the product does by default; "uniform" answers pairs
                drawn at random.
    dpo         settings that differ from the round's.
    """

    name: str
    annotators: str = "careful"
    dpo: dict[str, Any] = field(default_factory=dict)


ARMS = {
    "dpo": Arm("dpo"),
    "sft": Arm("sft", dpo={"objective": "sft"}),
    "coin": Arm("coin", annotators="coin"),
    "uniform": Arm("uniform", annotators="uniform"),
}


@dataclass(frozen=True)
class Experience:
    """How much is dreamed and answered for one seed; continued: share of the start frames that are moments of a dream."""

    frames: int
    rollouts: int
    choices: int
    source: str
    continued: float = 0.0


def words_of(cell: tuple[int, int]) -> str:
    """A cell of the grid in the words of scene descriptions."""
    where = f"{ROWS[cell[0]]} {COLUMNS[cell[1]]}".strip()
    return f"at the {where}" if where else "in the middle"


def scenario_of(index: int, seed: int, by: Any) -> Any:
    """The scenario of a seed's index-th start frame, made if it is not there: a dog scene with the robot and its target across from each
    other, somewhere else each time, and the dog between them or at the target. What is learnt in one corner stays in that corner."""
    from rollouts import services as studio
    from rollouts.models import Scenario
    from rollouts.worlds.household.tasks import train_targets
    from training.learn.suites import DOG_SCENES

    rng = np.random.default_rng([seed, index, 17])
    scene, factors = DOG_SCENES[index % len(DOG_SCENES)]
    target = str(rng.choice(train_targets("go")))
    robot, place = ACROSS[int(rng.integers(len(ACROSS)))]
    between = ((robot[0] + place[0]) // 2, (robot[1] + place[1]) // 2)
    dog = place if factors["dog_place"] == "near_target" else between
    name = f"Proof {seed}: {scene}, {target} {words_of(place)}, robot {words_of(robot)}"
    found = Scenario.objects.filter(name=name).first()
    if found:
        return found
    content = {
        "prompt": f"go to the {target}",
        "scene_text": f"the robot is {words_of(robot)}, {PHRASES[scene]} {words_of(dog)}, a {target} {words_of(place)}",
        "factors": factors,
        "severity": 5,
    }
    made = studio.scenario_create(name=name, content=content, created_by=by)
    studio.scenario_set_state(scenario=made, state="active", by=by, reason="the proof")
    return made


def frames_make(*, seed: int, wanted: Experience, version: Any, by: Any) -> list[Any]:
    """Approved adversarial start frames of one seed, `wanted.frames` of them.

    Generated ones are approved where the probe agrees with their words; after four tries each, a frame captured in the
    world stands in, so that a weak generator shows in the counts and not in the number of frames.
    """
    from rollouts import services as studio
    from rollouts.models import StartFrame

    first = 1_000_000 * (seed + 1)
    approved: list[Any] = []
    for index in range(wanted.frames):
        at = first + 100 * index
        found = StartFrame.objects.filter(seed__range=(at, at + 99), state="approved").first()
        if found is None:
            current = scenario_of(index, seed, by).current
            candidates: list[Any] = []
            if wanted.source == "generated":
                rows = studio.start_frames_imagine(scenario_version=current, policy_version=version, n=4, seed=at, created_by=by)
                candidates = [row for row in rows if row.probe.get("agrees")]
            if not candidates:
                candidates = studio.start_frame_capture(scenario_version=current, policy_version=version, n=1, seed=at + 50, created_by=by)
            studio.start_frames_review(ids=[candidates[0].pk], state="approved", by=by, reason="the proof")
            found = StartFrame.objects.get(pk=candidates[0].pk)
            rng = np.random.default_rng([seed, index, 19])
            if rng.random() < wanted.continued:
                found = moment_of(found, moment=int(rng.integers(*MOMENTS)), version=version, seed=at + 60, by=by) or found
        approved.append(found)
    return approved


def moment_of(frame: Any, *, moment: int, version: Any, seed: int, by: Any) -> Any | None:
    """An approved start frame that is a moment of a dream of `frame`; None if the probe does not see there what the words say."""
    from core.models import Job
    from rollouts import services as studio

    rows = studio.rollouts_sample(start_frame=frame, policy_version=version, prompt=frame.scenario_version.prompt, n=1, seed=seed)
    dream = next((row for row in rows if row.accepted), rows[0])
    made = studio.start_frame_continue(rollout=dream, frame=moment, by=by)
    for job in Job.objects.filter(kind="rollouts.probe", state=Job.State.QUEUED):
        run_here(job)
    made.refresh_from_db()
    if not made.probe.get("agrees"):
        return None
    studio.start_frames_review(ids=[made.pk], state="approved", by=by, reason="the proof")
    made.refresh_from_db()
    return made


def choices_make(*, seed: int, wanted: Experience, version: Any, frames: list[Any], say: Any, judge: Any, uniformly: bool) -> dict[str, Any]:
    """Rollouts of the frames, comparisons, and the answers of the simulated annotators. Returns counts."""
    from labeling.models import Choice, Comparison, Project
    from labeling.services.pairs import comparisons_make_ahead
    from labeling.services.simulation import simulation_run
    from rollouts import services as studio

    project = Project.current()
    project.gold_share = project.repeat_share = 0.0
    project.qualifying_pairs = 0
    project.save()
    rollouts = []
    for number, frame in enumerate(frames):
        if number % 10 == 0:
            say(f"rollouts of frame {number} of {len(frames)}")
        rows = studio.rollouts_sample(start_frame=frame, policy_version=version, prompt=frame.scenario_version.prompt, n=wanted.rollouts, seed=1000 * seed)
        # Accepted dreams first. Where too few are, rejected ones are compared as well: people see what is wrong with them.
        rollouts.append(sorted(rows, key=lambda row: not row.accepted)[: wanted.rollouts])
    every = [(a, b) for rows in rollouts for i, a in enumerate(rows) for b in rows[i + 1 :]]
    careful = Teacher(mistake=0.1, equal=0.1, skip=0.0)
    counts: dict[str, Any] = {"frames": len(frames)}
    counts |= {source: sum(frame.source == source for frame in frames) for source in ("generated", "continued")}
    counts |= {"rollouts": sum(map(len, rollouts)), "accepted": sum(row.accepted for rows in rollouts for row in rows), "pairs": len(every)}

    def answer(name: str, teacher: Teacher, most: int) -> None:
        mine = Choice.objects.filter(annotator__username=f"{name}-s{seed}-1", undone_by__isnull=True)
        have = mine.count()
        if have < most:
            say(f"{most - have} choices of {name}")
            # The annotator's seed also makes the keys of its answers: no two annotators, and no two starts, may share it.
            draw = (10 * seed + ORDER.index(name)) * 100_000 + have
            simulation_run(judge=judge, teacher=teacher, choices=most - have, in_process=True, seed=draw, prefix=f"{name}-s{seed}")
        counts[f"choices_{name}"] = mine.count()

    scenarios = sorted({frame.scenario_version.scenario_id for frame in frames})

    def pairs_ready(strategy: str, annotators: int) -> int:
        made = Comparison.objects.filter(strategy=strategy, start_frame__scenario_version__scenario__in=scenarios)
        if made.count() < wanted.choices:
            comparisons_make_ahead(
                count=wanted.choices - made.count(), strategy=strategy, scenarios=scenarios, required_overlap=annotators, include_rejected=True, seed=seed
            )
        return made.count()

    # Random pairs first: drawn later, they would be what the other strategy left over.
    if uniformly:
        answer("uniform", careful, pairs_ready("uniform", 1))
    # Careful and coin answer the same pairs: what the two arms learn from differs in the answers alone.
    most = pairs_ready(Project.Strategy.CONTACT, 2)
    answer("careful", careful, most)
    answer("coin", CoinTeacher(mistake=0.0, equal=0.0, skip=0.0), most)
    return counts
