"""The forecast: what played episodes teach of where the policy fails, and what mining makes of it."""

import json

import numpy as np
import pytest
import torch

from rollouts.dreams.geometry import FAR
from rollouts.dreams.policy import Policy
from rollouts.dreams.transformer import Context
from rollouts.mining import Forecast, Search, attempt, evidence_of, forecast_for
from rollouts.mining.forecast import FACTS, PULL, fitted, shipped
from rollouts.mining.layout import layout_facts
from rollouts.mining.tries import LOOKED_AT
from rollouts.worlds import make_world
from tests.rollouts.test_geometry import context


def facts(prompt: str = "go to the red ball", **kwargs) -> dict[str, float]:
    here, _ = context(**kwargs)
    return dict(zip(FACTS, layout_facts(here, [prompt])[0].tolist(), strict=True))


def test_a_room_is_told_in_metres():
    # The robot at the origin, the dog at (1, 0.1), the thing at (2, 0), the mat at (0, 1.5).
    seen = facts("bring the red ball to the mat")
    assert seen["dog"] == seen["bring"] == 1
    assert seen["robot_to_dog"] == pytest.approx(np.hypot(1, 0.1), abs=1e-3)
    assert seen["dog_to_thing"] == pytest.approx(np.hypot(1, 0.1), abs=1e-3)
    assert seen["dog_to_mat"] == pytest.approx(np.hypot(1, 1.4), abs=1e-3)
    assert seen["dog_to_way"] == pytest.approx(0.1, abs=1e-3), "it lies beside the straight line to the thing"
    carry = np.array([-2, 1.5]) / 2.5
    assert seen["bring_dog_to_carry"] == pytest.approx(abs(carry[0] * 0.1 + carry[1]), abs=1e-3)
    assert seen["robot_to_thing"] == pytest.approx(2.0, abs=1e-3)
    assert seen["bring_thing_to_mat"] == pytest.approx(2.5, abs=1e-3)
    assert seen["bring_mat_off_centre"] == seen["mat_off_centre"] == pytest.approx(1.5, abs=1e-3)
    assert seen["things"] == pytest.approx(1.0, abs=1e-3)


def test_a_dog_that_is_not_there_is_far_from_everything():
    seen = facts(dog=False)
    assert seen["dog"] == 0
    assert {seen[name] for name in ("robot_to_dog", "dog_to_thing", "dog_to_mat", "dog_to_way")} == {FAR}


def test_what_is_told_of_the_mat_counts_only_where_something_is_to_be_brought():
    seen = facts("walk up to the red ball")
    assert {seen[name] for name in FACTS if name.startswith("bring")} == {0.0}


def test_a_world_model_without_a_tracker_has_no_rooms_to_tell():
    with pytest.raises(ValueError, match="tracker"):
        layout_facts(Context([], [], None, None), ["wave"])


def played(count: int, seed: int = 0) -> tuple[np.ndarray, list, np.ndarray]:
    """Episodes that fail the likelier the nearer the dog, and where dreams are bad."""
    rng = np.random.default_rng(seed)
    numbers = rng.uniform(0, 2, (count, len(FACTS)))
    best = rng.uniform(0, 1, count)
    logits = 3 - 3 * numbers[:, FACTS.index("robot_to_dog")] - 4 * (best - 0.5)
    said = [evidence_of(chances=[chance, chance], contacts=[False] * 2, rejected=[False] * 2) for chance in best]
    return numbers, said, rng.uniform(size=count) < 1 / (1 + np.exp(-logits))


def test_it_learns_what_makes_episodes_fail():
    forecast, (numbers, said, failed) = Forecast.fit(*played(600)), played(600, seed=1)
    chances = forecast.failure(numbers, said)
    assert chances.shape == (600,)
    sure = np.abs(chances - 0.5) > 0.4
    assert ((chances > 0.5) == failed)[sure].mean() > 0.9
    assert chances.mean() == pytest.approx(failed.mean(), abs=0.05), "chances are calibrated"
    before = forecast.before_dreaming(numbers)
    assert np.abs(chances - failed).mean() < np.abs(before - failed).mean(), "dreams add something"
    assert np.corrcoef(before, numbers[:, FACTS.index("robot_to_dog")])[0, 1] < -0.7


def test_more_episodes_move_it_and_none_leave_it():
    numbers, said, failed = played(300)
    forecast = Forecast.fit(numbers, said, failed)
    assert forecast.taught(numbers[:0], [], failed[:0]) is forecast
    once = forecast.taught(numbers[:30], said[:30], np.ones(30, dtype=bool))
    assert once.episodes == 330
    assert (once.failure(numbers[:30], said[:30]) > forecast.failure(numbers[:30], said[:30])).all()
    assert forecast.failure(numbers[:1], said[:1]) != once.failure(numbers[:1], said[:1])


def test_weights_are_the_most_probable_ones():
    numbers, _, failed = played(200)
    model = fitted(numbers, failed)
    scaled = (numbers - numbers.mean(0)) / numbers.std(0)
    gradient = scaled.T @ (model.chance(numbers) - failed) + PULL * np.array(model.weights)
    np.testing.assert_allclose(gradient, 0, atol=0.02)


def test_episodes_that_all_end_alike_teach_nothing():
    numbers, said, _ = played(5)
    with pytest.raises(ValueError, match="end alike"):
        Forecast.fit(numbers, said, np.ones(5, dtype=bool))
    with pytest.raises(ValueError, match="end alike"):
        Forecast.fit(numbers[:0], [], np.zeros(0, dtype=bool))


def test_it_is_kept_as_json_and_refused_where_it_weighs_other_numbers():
    forecast = Forecast.fit(*played(50))
    kept = json.loads(json.dumps(forecast.to_dict()))
    assert Forecast.from_dict(kept) == forecast
    with pytest.raises(ValueError, match="other numbers"):
        Forecast.from_dict({**kept, "facts": kept["facts"][1:]})


def test_the_shipped_one_knows_that_a_dog_in_the_way_and_a_long_carry_are_hard():
    def chance(**changed) -> float:
        room = {**facts("bring the red ball to the mat"), **changed}
        return float(shipped().before_dreaming(np.array([[room[name] for name in FACTS]]))[0])

    assert shipped().episodes >= 500
    assert chance(dog_to_way=0.0) > chance(dog_to_way=1.5)
    assert chance(bring_thing_to_mat=2.0) > chance(bring_thing_to_mat=0.6)


@pytest.fixture(scope="module")
def world():
    world = make_world("household")
    yield world
    world.close()


def test_of_several_layouts_the_worst_looking_is_tried(world):
    policy, search = Policy.tiny(), Search(seed=3)
    looked: list[np.ndarray] = []

    class Fear:
        """Fails at layouts by their number: the fourth of each group looks worst."""

        def before_dreaming(self, numbers):
            looked.append(numbers)
            return np.array([float(i % LOOKED_AT == 3) for i in range(len(numbers))])

        def failure(self, numbers, evidence):
            return np.full(len(numbers), 0.7)

    expected = Search(seed=3)
    rivals = [expected.rivals(genome, LOOKED_AT) for genome in expected.ask(2)]
    made = attempt(policy, world, search, 2, 2, Fear())
    assert [one.tried.genome for one in made] == [group[3] for group in rivals]
    assert all(len({(one.prompt, one.cell) for one in group}) == 1 and len({one.seed for one in group}) == LOOKED_AT for group in rivals)
    assert [one.objective for one in search.tried] == [0.7, 0.7]
    np.testing.assert_allclose([one.tried.facts for one in made], looked[0][[3, 3 + LOOKED_AT]], rtol=1e-6)
    world.reset(seed=made[0].tried.genome.seed, options={"prompt": made[0].tried.genome.prompt, "factors": made[0].tried.genome.factors})
    np.testing.assert_array_equal(made[0].frame, world.render())
    np.testing.assert_array_equal(made[0].frame, made[0].worst[0])


def test_uniform_draws_are_taken_as_they_come(world):
    policy, drawn = Policy.tiny(), Search(seed=4, strategy="uniform")
    made = attempt(policy, world, Search(seed=4, strategy="uniform"), 3, 2, forecast_for(policy))
    assert [one.tried.genome for one in made] == drawn.ask(3)
    chances = shipped().failure(np.array([one.tried.facts for one in made]), [one.tried.evidence for one in made])
    np.testing.assert_allclose([one.tried.objective for one in made], chances, rtol=1e-5)


def test_without_a_forecast_the_dreams_alone_decide(world):
    made = attempt(Policy.tiny(), world, Search(seed=5), 2, 2, None)
    assert [one.tried.objective for one in made] == [one.tried.evidence.objective for one in made]
    assert [one.tried.facts for one in made] == [None, None]


def test_a_tracker_is_needed_for_a_forecast():
    from types import SimpleNamespace

    assert forecast_for(Policy.tiny()) is shipped()
    assert forecast_for(SimpleNamespace(world_model=SimpleNamespace(config=SimpleNamespace(things=0)))) is None
    assert torch.is_grad_enabled()
