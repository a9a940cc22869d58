"""Recipes, the resumable loop and the value head, on tiny networks and a few real episodes."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from rollouts.dreams import weights
from rollouts.dreams.codec import Codec
from rollouts.dreams.geometry import GEOMETRY
from rollouts.dreams.grounding import Grounder
from rollouts.dreams.idm import InverseDynamics
from rollouts.dreams.motion import MotionCodec, MotionConfig
from rollouts.dreams.policy import Policy
from rollouts.dreams.probe import ProbeNet
from rollouts.dreams.scenes import Renderer, RendererConfig, layout_config
from rollouts.dreams.transformer import TransformerConfig, VideoTransformer
from rollouts.dreams.value_head import ValueHead
from rollouts.worlds.household.demonstrators import Demonstrator
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.factors import OBJECTS
from rollouts.worlds.household.tokens import DOG, ENTITIES, FIRST_OBJECT, ROBOT
from tests.learn.tiny import TINY_CODEC
from training.learn.evaluate import EpisodeSpec, evaluate
from training.learn.executed import executed_dreams
from training.learn.loop import Loop, LoopSettings
from training.learn.muon import Muon
from training.learn.pretrain import train_stage
from training.learn.recipes import CodecRecipe, GroundingRecipe, IdmRecipe, LayoutRecipe, MotionRecipe, ProbeRecipe, RendererRecipe, WorldModelRecipe
from training.learn.suites import LoopOptions
from training.learn.value import clip_values, dream_data, dream_figures, dream_specs, joined, train_value_head, twin_starts, value_data, value_figures


def test_gestures_are_not_learned_in_a_mirror(clips, monkeypatch):
    prompts = ("go to the red ball", "raise your left hand", "bring the red ball to the mat", "wave", "who are you?")
    clips = replace(clips, meta=[{**meta, "prompt": prompts[i % 5]} for i, meta in enumerate(clips.meta)])
    recipe = WorldModelRecipe(VideoTransformer(TransformerConfig(width=32, layers=1, heads=1)), clips, 200, mirror=1.0)
    asked = {}
    monkeypatch.setattr(recipe, "errors", lambda starts, generator, *, mirrored, **_: asked.update(starts=starts, mirrored=mirrored) or torch.zeros(1))
    recipe(torch.Generator().manual_seed(0))
    asked_for = [clips.meta[episode]["prompt"] for episode in clips.episode[asked["starts"]]]
    assert asked["mirrored"].tolist() == [prompt.startswith(("go", "bring")) for prompt in asked_for]
    assert len(set(asked["mirrored"].tolist())) == 2


def recipes(clips):
    torch.manual_seed(0)
    world = VideoTransformer(TransformerConfig(width=32, layers=2, heads=1, things=14, tracker_width=8))
    grounder = Grounder(width=16)
    renderer = Renderer(RendererConfig(width=16, layers=1))
    learner = MotionCodec(MotionConfig(width=16, layers=1))
    layouts = VideoTransformer(replace(layout_config(), width=32, layers=1, heads=1))
    codec, idm, probe = Codec(TINY_CODEC), InverseDynamics(width=16), ProbeNet(entities=14, width=8)
    return {
        "codec": (CodecRecipe(codec, clips, 8), codec),
        "motion": (MotionRecipe(learner, clips, 16), learner),
        "grounder": (GroundingRecipe(grounder, clips, 16), grounder),
        "renderer": (RendererRecipe(renderer, clips, 8), renderer),
        "world_model": (WorldModelRecipe(world, clips, 4), world),
        "layouts": (LayoutRecipe(layouts, clips.words, 16, scenes=40), layouts),
        "idm": (IdmRecipe(idm, clips, 4), idm),
        "probe": (ProbeRecipe(probe, clips, 8), probe),
        "tracker": (ProbeRecipe(learner.tracker, clips, 8), learner.tracker),
    }


@pytest.mark.parametrize("name", ["codec", "motion", "grounder", "renderer", "world_model", "layouts", "idm", "probe", "tracker"])
def test_every_recipe_learns(clips, tmp_path, name):
    recipe, model = recipes(clips)[name]

    def loss():
        with torch.no_grad():
            return np.mean([float(recipe(torch.Generator().manual_seed(10_000 + i))[0]) for i in range(6)])

    before = loss()
    Loop(recipe, model, tmp_path, LoopSettings(steps=40, lr=3e-3, warmup=5, log_every=1000), log=lambda *_: None).run()
    assert loss() < before


def test_a_killed_run_resumes_to_the_same_weights(clips, tmp_path):
    def train(directory, stop_at=None):
        recipe, model = recipes(clips)["idm"]
        settings = LoopSettings(steps=8, warmup=2, save_every=1, log_every=1000)
        loop = Loop(recipe, model, directory, settings, log=lambda *_: None)
        loop.should_stop = lambda: stop_at is not None and loop.step >= stop_at
        return loop.run()

    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop_at=3)
    resumed = train(tmp_path / "parts")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_clip_with_contact_is_worth_nothing(clips):
    values = clip_values(clips, clips.starts)
    touched = clips.contact[clips.window(clips.starts)[:, :-1]].any(1)
    assert (values[touched] == 0).all()
    assert values.max() <= 1
    assert values.max() > 0.5


def test_the_renderer_learns_from_the_states_that_were_rendered(clips):
    recipe = RendererRecipe(Renderer(RendererConfig(width=16, layers=1)), clips, 4)
    for start in clips.starts[[0, 9, -1]].tolist():
        (scene,) = recipe.tokens(torch.tensor([start]))
        there = scene[:, 0] > 0
        assert [bool(there[FIRST_OBJECT + i]) for i in range(len(OBJECTS))] == (~clips.objects[start, :, 0].isnan()).tolist()
        assert bool(there[DOG]) == (not bool(clips.dog[start, 0].isnan()))
        torch.testing.assert_close(scene[ROBOT, 1:3], clips.robot[start, :2])
        torch.testing.assert_close(scene[ENTITIES.index("mat"), 1:3], clips.mat[clips.episode[start]])
        factors = clips.meta[int(clips.episode[start])]["factors"]
        assert int(there[[ENTITIES.index("block 1"), ENTITIES.index("block 2")]].sum()) == factors["clutter"]


def test_twins_share_their_start(clips):
    first, second = twin_starts(clips)
    assert len(first) > 0
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        one, other = (clips.meta[int(clips.episode[start])]["seed"] for start in (a, b))
        assert (one % 2, other) == (0, one + 1)
        assert torch.equal(clips.frames[a], clips.frames[b])


def test_the_value_head_learns_and_is_measured(clips):
    torch.manual_seed(0)
    model = VideoTransformer(TransformerConfig(width=32, layers=2, heads=1, things=14, tracker_width=8)).eval()
    head = ValueHead(width=32, layer=0, geometric=True)
    data = value_data(head, model, MotionCodec(MotionConfig(width=16, layers=1, tracker_width=8)), clips, 48, seed=0)
    figures = value_figures(train_value_head(head, data, steps=120, batch=32, lr=2e-3), data)
    assert figures["pair_accuracy"] > 0.6
    assert 0 <= figures["ece"] <= 1


def test_dreams_are_played_in_the_world(monkeypatch):
    policy, env = Policy.tiny(), HouseholdEnv()
    dogs = ({"dog": "lying", "dog_place": "on_path"}, {"dog": "absent"})
    specs = [EpisodeSpec("go to the red ball", seed, dogs[seed % 2]) for seed in range(4)]
    straight, touched = [], []
    for spec in specs:
        _, info = env.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
        actor = Demonstrator(info["task"], "careless", np.random.default_rng(0))
        straight.append([])
        for _ in range(12):
            straight[-1].append(actor.act(info["state"]))
            _, _, _, _, info = env.step(straight[-1][-1])
        touched.append(info["dog_contact"])
    env.close()
    assert touched == [True, False, True, False]
    dream = Policy.plan

    def plan(self, frames, prompts, *, seeds):
        found = dream(self, frames, prompts, seeds=seeds)
        at = [straight[seeds[i][0] // 100] for i in range(len(frames))]
        found.actions[0::2], found.actions[1::2] = at, 0.0  # the first of each frame's two goes straight, the second stands still
        return found

    monkeypatch.setattr(Policy, "plan", plan)
    played = list(executed_dreams(policy, specs, 2, batch=3, patience=60))
    assert [one.frame for one in played] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [one.touched for one in played[0::2]] == touched
    assert not any(one.touched or one.reached for one in played[1::2])
    assert all(one.steps_left for one in played[1::2]), "a careful demonstrator gets there"
    assert [one.dog is None for one in played[::2]] == [False, True, False, True]
    later = list(executed_dreams(policy, specs, 2, lead=6))
    assert any(not torch.equal(one.start, other.start) for one, other in zip(later, played, strict=True)), "a demonstrator goes ahead"
    assert [one.steps_left for one in later[1::2]] == [None] * 4, "nobody was asked to go on"


def test_a_value_head_learns_from_dreams_and_from_demonstrations(clips):
    policy = Policy.tiny()
    dreams = dream_data(policy.value_head, policy, dream_specs(4), patience=2)
    assert dreams.features.shape == (16, 12, 32 + GEOMETRY)
    assert ((dreams.target >= 0) & (dreams.target <= 1)).all()
    demonstrations = value_data(policy.value_head, policy.world_model, policy.motion, clips, 24, seed=0)
    both = joined(demonstrations, dreams)
    assert len(both.features) == len(both.target) == len(both.frozen) == len(both.twin) == 40
    assert (both.twin[24:] // 4 == torch.arange(24, 40) // 4).all(), "a dream's twin is of its own frame"
    head = train_value_head(ValueHead(width=32, layer=0, geometric=True), both, steps=4, batch=8)
    worth = torch.tensor([0.0, 1.0, 0.5, 0.5] * 4)
    assert dream_figures(head, replace(dreams, target=worth))["dream_pairs"] == 4 * 5


def test_closed_loop_episodes_repeat_and_do_not_depend_on_the_batch():
    policy = Policy.tiny()
    specs = [EpisodeSpec("go to the red ball", seed, {"dog": "lying"}) for seed in range(2)]
    together = evaluate(policy, specs, options=LoopOptions(batch=2, execute=12, drift=0))
    apart = evaluate(policy, specs, options=LoopOptions(batch=1, execute=12, drift=0))
    for a, b in zip(together, apart, strict=True):
        assert a.steps == b.steps
        # The first plan is the same but for rounding; later ones start from where rounding has led.
        np.testing.assert_allclose(a.trajectory[:12], b.trajectory[:12], atol=0.01)
    assert all(result.plans >= 1 for result in together)


def test_plans_are_shorter_where_there_is_a_dog(monkeypatch):
    policy = Policy.tiny()
    plan = policy.plan
    for company, steps in ((False, 5), (True, 2)):
        monkeypatch.setattr(policy, "plan", lambda *args, c=company, **named: replace(made := plan(*args, **named), company=np.full(len(made.actions), c)))
        (result,) = evaluate(policy, [EpisodeSpec("go to the red ball", 0)], options=LoopOptions(execute=5, wary=2, drift=0))
        assert result.plans == -(-result.steps // steps)


def test_the_loop_sees_few_batch_sizes(monkeypatch):
    policy, sizes = Policy.tiny(), set()
    plan, encode = policy.plan, policy.encode
    monkeypatch.setattr(policy, "plan", lambda frames, prompts, seeds: (sizes.add(len(frames)), plan(frames, prompts, seeds=seeds))[1])
    monkeypatch.setattr(policy, "encode", lambda frames: (sizes.add(len(frames)), encode(frames))[1])
    results = evaluate(policy, [EpisodeSpec("go to the red ball", seed) for seed in range(5)], options=LoopOptions(batch=5, drift=0.01))
    assert len(results) == 5
    assert all(result.plans >= 1 for result in results)
    assert sizes <= {1, 2, 4, 8}


def test_the_world_model_is_watched_while_it_trains(clips, tmp_path):
    torch.manual_seed(0)
    published = []
    weights.save_part(tmp_path, "codec", Codec(TINY_CODEC))
    weights.save_part(tmp_path, "motion", MotionCodec(MotionConfig(width=16, layers=1)))
    weights.save_part(tmp_path, "grounder", Grounder())
    settings = LoopSettings(steps=10, warmup=2, log_every=1)
    train_stage("world_model", clips, tmp_path, settings, batch=2, held=clips, publish=lambda *line: published.append(line))
    assert "held_out/t0.5" in published[9][2]
    assert list((tmp_path / "runs" / "world_model").glob("dreams-*.png"))
    trained = weights.load_part(tmp_path, "world_model")
    assert trained.config.frames == 12
    seen = weights.load_part(tmp_path, "motion").tracker.state_dict()
    assert all(torch.equal(value, seen[name]) for name, value in trained.tracker.state_dict().items()), "it reads the motion codec's tracker"


def test_the_tracker_goes_on_alone_and_the_decoder_stays(clips, tmp_path):
    torch.manual_seed(0)
    before = MotionCodec(MotionConfig(width=16, layers=1, tracker_width=8))
    weights.save_part(tmp_path, "codec", Codec(TINY_CODEC))
    weights.save_part(tmp_path, "motion", before)
    train_stage("tracker", clips, tmp_path, LoopSettings(steps=3, warmup=1, log_every=1000), batch=4)
    after = weights.load_part(tmp_path, "motion").state_dict()
    changed = {name.split(".")[0] for name, value in before.state_dict().items() if not torch.equal(value.half().float(), after[name])}
    assert changed == {"tracker"}
    assert not (tmp_path / "tracker.safetensors").exists()


def test_a_part_goes_on_from_the_one_that_is_there(clips, tmp_path):
    weights.save_part(tmp_path, "codec", Codec(TINY_CODEC))
    torch.manual_seed(1)
    one = ProbeNet(entities=2 + len(OBJECTS))
    weights.save_part(tmp_path, "probe", one)
    settings = LoopSettings(steps=1, lr=1e-9, warmup=1, log_every=1000)
    for warm, path in ((True, tmp_path / "warm"), (False, tmp_path / "fresh")):
        shutil.copytree(tmp_path, path, ignore=shutil.ignore_patterns("warm", "fresh"))
        train_stage("probe", clips, path, settings, batch=4, warm=warm)
        same = all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one.parameters(), weights.load_part(path, "probe").parameters(), strict=True))
        assert same == warm


def test_muon_without_bfloat16_takes_the_steps_of_torchs_own():
    def train(kind):
        torch.manual_seed(0)
        layers = [torch.nn.Parameter(torch.randn(shape)) for shape in ((48, 16), (48, 16), (16, 48))]
        optimiser = kind(layers)
        for _ in range(4):
            optimiser.zero_grad()
            sum((p @ torch.randn(p.shape[1], 3)).square().sum() for p in layers).backward()
            optimiser.step()
        return layers, optimiser

    (mine, own), (theirs, torchs) = (
        train(kind) for kind in (lambda p: Muon(p, lr=0.01, weight_decay=0.1), partial(torch.optim.Muon, lr=0.01, adjust_lr_fn="match_rms_adamw"))
    )
    torch.manual_seed(0)
    for a, b, start in zip(mine, theirs, (torch.randn(shape) for shape in ((48, 16), (48, 16), (16, 48))), strict=True):
        assert (a - b).norm() < 0.15 * (b - start).norm()  # theirs rounds to bfloat16
    torchs.load_state_dict(own.state_dict())


def test_bad_loop_options_are_refused():
    with pytest.raises(ValueError, match="bad loop"):
        LoopOptions(execute=0)
