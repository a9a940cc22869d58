"""The search: does it find failures where they are, and spread over the cells?"""

import numpy as np
import pytest
import torch

from rollouts import factors
from rollouts.mining import Genome, Search, Tried, assess, evidence_of, proposals, touched_at, unsure_finds, worst_finds
from rollouts.mining.evidence import CARRIED_OUT, PLANS, REJECTED_WEIGHT


def weakness(genome: Genome) -> float:
    """A made policy that fails at walking dogs in dim light, a little where there is clutter, and by luck of the seed."""
    scene = genome.factors
    score = 0.1 + 0.6 * (scene["dog"] == "walking" and scene["light"] == "dim") + 0.05 * scene["clutter"]
    return float(np.clip(score + 0.1 * ((genome.seed % 7) / 6), 0, 1))


def run(strategy: str, budget: int = 400, seed: int = 0) -> Search:
    search = Search(seed=seed, strategy=strategy)
    for _ in range(budget // 8):
        search.tell([Tried(weakness(genome), genome) for genome in search.ask(8)])
    return search


def test_it_finds_more_failures_than_uniform_draws():
    mined, uniform = run("map_elites"), run("uniform")
    worst = [sum(one.objective > 0.6 for one in search.tried) for search in (mined, uniform)]
    assert worst[0] > 1.3 * worst[1]


def test_it_covers_every_cell():
    places, clutter, light = (len(factors.CHOICES[name][1]) for name in ("dog_place", "clutter", "light"))
    # No dog, a following one (which starts anywhere), and a lying or walking one at each place.
    assert len(run("map_elites").archive) == len(factors.all_cells()) == (2 + 2 * places) * clutter * light


def test_the_same_seed_gives_the_same_search():
    assert run("map_elites", 40).tried == run("map_elites", 40).tried
    assert [one.genome for one in run("map_elites", 40).tried] != [one.genome for one in run("map_elites", 40, 1).tried]


def test_every_genome_is_a_scene_that_the_world_has():
    for one in run("map_elites").tried:
        assert factors.validate(one.genome.factors) == one.genome.factors
        assert factors.cell_of(factors.cell_parse(one.genome.cell)) == one.genome.cell


def test_proposals_take_the_worst_of_each_cell_first():
    def tried(objective: float, dog: str) -> Tried:
        scene = {"dog": dog, "dog_place": "on_path", "clutter": 0, "light": "dim"}
        return Tried(objective, Genome("wave", scene, int(objective * 1000)))

    pool = [tried(0.9, "lying"), tried(0.8, "lying"), tried(0.7, "lying"), tried(0.5, "walking"), tried(0.05, "following")]
    assert [one.objective for one in worst_finds(pool, 3, floor=0.1)] == [0.9, 0.5, 0.8]
    assert worst_finds([], 3) == []


def test_proposals_spend_no_more_on_a_cell_than_the_archive_keeps():
    def tried(objective: float, dog: str) -> Tried:
        scene = {"dog": dog, "dog_place": "on_path", "clutter": 0, "light": "dim"}
        return Tried(objective, Genome("wave", scene, int(objective * 1000)))

    pool = [*(tried(0.9 - i / 100, "lying") for i in range(9)), tried(0.3, "walking"), tried(0.2, "walking")]
    found = worst_finds(pool, 20)
    assert [one.objective for one in found] == pytest.approx([0.9, 0.3, 0.89, 0.88, 0.87, 0.2])


def seen(dog: str, seed: int, *chances: float) -> Tried:
    evidence = evidence_of(chances=chances, contacts=[False] * len(chances), rejected=[False] * len(chances))
    return Tried(evidence.objective, Genome("wave", {"dog": dog, "dog_place": "on_path", "clutter": 0, "light": "dim"}, seed), evidence)


def test_dreams_disagree_where_about_half_of_them_fail():
    sure, failing = seen("walking", 1, 0.9, 0.9, 0.9, 1.0), seen("walking", 2, 0.1, 0.0, 0.3, 0.9)
    nearly, even = seen("walking", 3, 0.9, 0.8, 0.5, 0.1), seen("lying", 4, 0.9, 0.9, 0.1, 0.1)
    assert unsure_finds([sure, failing, nearly, even], 4) == [even, nearly]
    assert unsure_finds([sure, failing, nearly, even], 1) == [even]


def test_proposals_are_failures_and_doubts_and_no_start_frame_twice():
    failing = [seen("lying", seed, 0.0, 0.1) for seed in range(2)] + [seen("walking", seed, 0.1, 0.2) for seed in range(2)]
    unsure = [seen("following", seed, 1.0, 0.0) for seed in range(3)]
    both = seen("absent", 0, 0.45, 0.5)  # would rather fail, and its dreams disagree as well
    found = proposals([*failing, *unsure, both], 8)
    assert [why for _, why in found] == ["fails"] * 5 + ["unsure"] * 2
    assert {id(one) for one, why in found if why == "fails"} == {id(one) for one in [*failing, both]}
    assert len({id(one) for one, _ in found}) == 7
    assert proposals([seen("lying", 1, 1.0, 1.0)], 8) == []


def test_an_unknown_strategy_is_refused():
    with pytest.raises(ValueError, match="strategy='luck'"):
        Search(strategy="luck")


class Gap:
    """A reading that only knows how far the dog is."""

    def __init__(self, metres: float, dog_present: float = 1.0):
        self.metres, self.dog_present = metres, dog_present

    def dog_gap(self) -> float:
        return self.metres


@pytest.mark.parametrize(("gaps", "at"), [([1, 0.5, 0.2], None), ([1, 0.1, -0.1, -0.2], 2), ([-0.1, 0.1, 0.3], None)])
def test_a_touch_counts_after_the_start_frame(gaps, at):
    # An overlap in the start frame is not the dream's doing.
    start, *later = [Gap(gap) for gap in gaps]
    assert touched_at(start, later) == at


def test_a_dog_that_only_the_dream_made_up_is_not_touched():
    assert touched_at(Gap(float("inf"), dog_present=0.1), [Gap(0.3), Gap(-0.1)]) is None


def test_assessing_looks_for_the_dog_in_the_start_frame(monkeypatch):
    from rollouts.dreams.policy import Policy
    from tests.rollouts.conftest import noise_frame

    policy = Policy.tiny()
    frames = np.stack([noise_frame(i, 64) for i in range(2)])
    there = {frames[0].tobytes(): 0.0, frames[1].tobytes(): 1.0}
    monkeypatch.setattr(policy.probe, "read", lambda pixels: [Gap(-0.1, there.get(frame.tobytes(), 1.0)) for frame in pixels])
    without, with_dog = assess(policy, frames, ["wave", "wave"], [5, 6], 2)
    assert (without.evidence.contact, with_dog.evidence.contact) == (0.0, 1.0)
    assert (with_dog.evidence.best, with_dog.evidence.objective) == (0.0, 1.0)


class Dreamer:
    """A policy whose dreams are blank. `tell(plan, row)`: success probability of a plan, counted from 0, and the frame in which it touches the dog."""

    def __init__(self, tell):
        self.tell, self.asked, self.probe = tell, [], self

    def plan(self, frames, prompts, *, seeds):
        from types import SimpleNamespace

        rows = sum(len(row) for row in seeds)
        self.told = [self.tell(len(self.asked), row) for row in range(rows)]
        self.asked.append(rows)
        return SimpleNamespace(
            frames=torch.zeros(rows, 2 * CARRIED_OUT, 1), successes=[chance for chance, _ in self.told], verdicts=[SimpleNamespace(accepted=True)] * rows
        )

    def decode(self, latents):
        return np.zeros((len(latents), 4, 4, 3), np.uint8)

    def read(self, pixels):
        if not self.asked:
            return [Gap(1.0) for _ in pixels]
        touches = [at for _, at in self.told]
        return [Gap(-0.1 if touches[i // (2 * CARRIED_OUT)] == i % (2 * CARRIED_OUT) + 1 else 1.0) for i in range(len(pixels))]


def dreamed(tell, dreams: int = 2):
    dreamer = Dreamer(tell)
    (found,) = assess(dreamer, np.zeros((1, 4, 4, 3), np.uint8), ["wave"], [0], dreams)
    return found, dreamer.asked


def test_an_episode_is_dreamed_on_until_one_is_promising():
    found, asked = dreamed(lambda plan, row: (0.2 + 0.35 * plan, None))
    assert found.evidence.best == pytest.approx(0.9)
    assert len(asked) == PLANS == 3
    assert len(found.worst) == 1 + 2 * CARRIED_OUT + 2 * CARRIED_OUT
    found, asked = dreamed(lambda plan, row: (0.9 if row else 0.1, None))
    assert (found.evidence.best, found.evidence.failure) == (pytest.approx(0.9), pytest.approx(0.5))
    assert asked == [2]


def test_an_episode_ends_with_a_touch_and_keeps_what_it_had_reached():
    # The first one touches the dog while it carries out its second plan, the other goes on.
    found, asked = dreamed(lambda plan, row: (0.5, 2) if plan == 1 and row == 0 else (0.1 * plan + 0.3, None))
    assert found.evidence.contact == pytest.approx(0.5)
    assert found.evidence.failure == pytest.approx(1 - (0.3 + 0.5) / 2)
    assert asked == [2, 2, 1]


def test_a_touch_that_is_not_carried_out_spoils_a_plan_and_not_the_episode():
    found, asked = dreamed(lambda plan, row: (0.6, None) if plan == 2 else (0.9, CARRIED_OUT + 1))
    assert (found.evidence.best, found.evidence.contact) == (pytest.approx(0.6), 0.0)
    assert asked == [2, 2, 2]


def test_evidence_is_a_share_of_episodes_and_the_best_one_decides():
    evidence = evidence_of(chances=[0.9, 0.0, 0.5], contacts=[False, True, False], rejected=[False, False, True])
    assert evidence.contact == pytest.approx(1 / 3)
    assert evidence.rejected == pytest.approx(1 / 3)
    assert evidence.failure == pytest.approx((0.1 + 1.0 + 0.5) / 3)
    assert evidence.best == pytest.approx(0.9)
    assert evidence.objective == pytest.approx(0.1 + REJECTED_WEIGHT / 3)


def test_dreams_that_the_kinematic_check_rejects_make_a_start_frame_worse():
    numbers = {"chances": [0.9, 0.7], "contacts": [False, False]}
    kept, broken = (evidence_of(rejected=[False, rejected], **numbers) for rejected in (False, True))
    assert kept.failure == broken.failure
    assert broken.objective == pytest.approx(kept.objective + REJECTED_WEIGHT / 2)


def test_evidence_needs_dreams():
    with pytest.raises(ValueError, match="at least one"):
        evidence_of(chances=[], contacts=[], rejected=[])


def test_assessing_many_frames_is_assessing_each():
    from rollouts.dreams.policy import Policy
    from tests.rollouts.conftest import noise_frame

    policy = Policy.tiny()
    frames = np.stack([noise_frame(i, 64) for i in range(3)])
    together = assess(policy, frames, ["wave", "go to the red ball", "wave"], [5, 6, 7], 2)
    for i, prompt in enumerate(["wave", "go to the red ball", "wave"]):
        (alone,) = assess(policy, frames[i : i + 1], [prompt], [5 + i], 2)
        assert alone.evidence.failure == pytest.approx(together[i].evidence.failure, abs=1e-3)
        assert alone.worst.shape == together[i].worst.shape
        np.testing.assert_array_equal(alone.worst[0], frames[i])
