"""The household world: the Gymnasium contract, repeatable episodes, physics that decides contact and success."""

import importlib.util
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rollouts.worlds import HouseholdFactors, make_world
from rollouts.worlds.base import HOUSEHOLD_ID, register_world
from rollouts.worlds.household import camera
from rollouts.worlds.household.demonstrators import Demonstrator
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.tasks import HELDOUT_TARGETS, Task, all_prompts, parse, train_targets


@pytest.fixture(scope="module")
def env():
    world = make_world("household")
    yield world
    world.close()


def play(env, seed, skill, options=None):
    _, info = env.reset(seed=seed, options=options)
    actor = Demonstrator(info["task"], skill, np.random.default_rng(seed))
    for _ in range(env.max_steps):
        _, _, over, cut, info = env.step(actor.act(info["state"]))
        if over or cut:
            break
    return info


def test_it_passes_the_env_checker():
    check_env(gymnasium.make(HOUSEHOLD_ID).unwrapped, skip_render_check=False)


def test_it_repeats_an_episode_bit_for_bit(env):
    def record():
        env.reset(seed=11, options={"factors": {"dog": "walking"}})
        actions = np.random.default_rng(0).uniform(env.action_space.low, env.action_space.high, (10, 5))
        return [(env.step(a)[0].tobytes(), env.render().tobytes()) for a in actions]

    assert record() == record()


def test_it_differs_between_seeds(env):
    env.reset(seed=1)
    first = env.render()
    env.reset(seed=2)
    assert (first != env.render()).any()


def test_a_careful_demonstrator_spares_the_dog_and_a_careless_one_does_not(env):
    options = {"factors": {"dog": "lying", "dog_place": "on_path", "clutter": 0}, "prompt": "go to the red ball"}
    careful = [play(env, seed, "careful", options) for seed in range(8)]
    careless = [play(env, seed, "careless", options) for seed in range(8)]
    assert sum(info["dog_contact"] for info in careful) <= 1
    assert sum(info["dog_contact"] for info in careless) >= 7
    assert sum(info["clean_success"] for info in careful) >= 7


def test_it_brings_the_object_to_the_mat(env):
    infos = [play(env, seed, "careful", {"factors": {"dog": "absent"}, "prompt": "bring the yellow can to the mat"}) for seed in range(5)]
    assert sum(info["success"] for info in infos) >= 4


@pytest.mark.parametrize("prompt", ["raise the left hand", "raise the right hand", "raise both hands", "wave"])
def test_gestures_succeed_when_done_and_only_then(env, prompt):
    assert play(env, 3, "careful", {"prompt": prompt})["success"]
    env.reset(seed=3, options={"prompt": prompt})
    for _ in range(10):
        info = env.step(np.zeros(5, np.float32))[-1]
    assert not info["success"]


def test_standing_still_never_succeeds_or_touches(env):
    for seed in range(5):
        _, info = env.reset(seed=seed, options={"factors": {"dog": "lying"}, "prompt": "go to the green cube"})
        for _ in range(6):
            info = env.step(np.zeros(5, np.float32))[-1]
        assert not info["success"]
        assert not info["dog_contact"]


def test_dim_light_darkens_and_no_light_leaks_into_the_next_episode(env):
    def brightness(light):
        env.reset(seed=5, options={"factors": {"light": light}})
        return env.render().mean()

    normal, dim, again = brightness("normal"), brightness("dim"), brightness("normal")
    assert dim < 0.7 * normal
    assert again == normal


def test_it_refuses_unknown_prompts_and_factors(env):
    with pytest.raises(ValueError, match="names no object"):
        env.reset(seed=0, options={"prompt": "make me a sandwich"})
    with pytest.raises(ValueError, match="unknown factor cat"):
        env.reset(seed=0, options={"factors": {"cat": "lying"}})
    with pytest.raises(ValueError, match="is not one of"):
        HouseholdFactors(dog="flying")


def test_every_training_prompt_is_understood():
    for prompt in all_prompts():
        assert parse(prompt).kind
    assert parse("haul the purple box over to the mat") == Task("bring", "purple cube")
    assert not set(train_targets("go")) & set(HELDOUT_TARGETS["go"])


def test_the_camera_sees_a_point_where_it_is_drawn(env):
    env.reset(seed=4, options={"factors": {"dog": "absent", "clutter": 0, "light": "normal"}, "prompt": "go to the red ball"})
    x, y, _ = env.state()["objects"]["red ball"]
    u, v = camera.to_frame(np.array([[x, y, 0.2]]))[0]
    red, green, blue = env.render()[int(v * 64), int(u * 64)].astype(int)
    assert red > green + 60
    assert red > blue + 60


def test_another_gymnasium_world_plugs_in():
    from tests.worlds.example_world import DotWorld

    register_world("dot", DotWorld)
    world = make_world("dot")
    _, info = world.reset(seed=0, options={"prompt": "go to the dot"})
    assert world.render().shape == (64, 64, 3)
    while not info["success"]:
        *_, _over, cut, info = world.step(world.towards())
        assert not cut
    with pytest.raises(ValueError, match="unknown world"):
        make_world("nowhere")


def test_a_world_without_a_box_of_actions_is_refused():
    with pytest.raises(TypeError, match="box"):
        make_world("CartPole-v1")


def test_it_renders_any_size():
    large = HouseholdEnv(width=256, height=192)
    large.reset(seed=0)
    assert large.render().shape == (192, 256, 3)
    large.close()


def test_a_renderer_takes_no_more_memory_than_its_pictures_need():
    """Evaluation plays dozens of worlds side by side; a buffer for the largest picture and a map of shadows took 138 MB of each."""
    small = HouseholdEnv(width=64, height=48)
    small.reset(seed=0)
    small.render()
    context = small._renderer._mjr_context
    assert (context.offWidth, context.offHeight, context.shadowSize) == (128, 96, 0)
    small.close()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton comes with the CUDA build of torch only")
def test_triton_can_be_imported_after_rendering():
    code = "from rollouts.worlds import make_world; w = make_world('household'); w.reset(seed=1); w.render(); import triton._C.libtriton; w.close()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
