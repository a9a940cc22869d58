"""A few real episodes, once for each file of tests."""

import numpy as np
import pytest
import torch

from rollouts.dreams.codec import Codec
from rollouts.worlds.household.describe import all_plan_clauses, all_scene_clauses
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.factors import OBJECTS
from rollouts.worlds.household.tasks import all_prompts
from tests.learn.tiny import TINY_CODEC
from training.learn.clips import ClauseTable, load_clips
from training.learn.collect import play_episode, save_shard


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    env = HouseholdEnv()
    path = tmp_path_factory.mktemp("episodes") / "shard-00000.npz"
    save_shard(path, [play_episode(env, seed) for seed in range(8)])
    env.close()
    return path


@pytest.fixture(scope="module")
def words():
    from rollouts.dreams.text import normalise, split

    rng = np.random.default_rng(0)
    texts = all_prompts() + all_scene_clauses() + all_plan_clauses(OBJECTS)
    return ClauseTable({normalise(c): rng.normal(size=(3, 384)).astype(np.float16) for text in texts for c in split(text)})


@pytest.fixture(scope="module")
def clips(shard, words):
    torch.manual_seed(0)
    return load_clips([shard], words).encode(Codec(TINY_CODEC))
