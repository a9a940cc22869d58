"""The dreaming stack on the debug configuration: shapes, determinism, sharing, refusals."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rollouts.dreams import flow, kinematics
from rollouts.dreams.codec import Codec, CodecConfig
from rollouts.dreams.geometry import company
from rollouts.dreams.grounding import FEATURES, PLACE, sights, sights_width
from rollouts.dreams.motion import MotionCodec, MotionConfig, Places, codes_between, units
from rollouts.dreams.policy import Policy, SamplerSettings
from rollouts.dreams.probe import DOG, ProbeNet
from rollouts.dreams.scenes import tidy
from rollouts.dreams.text import MiniLM, TextEncoder, split
from rollouts.dreams.transformer import TransformerConfig, VideoTransformer, attend
from rollouts.worlds.household.factors import HouseholdFactors
from rollouts.worlds.household.layout import sample
from rollouts.worlds.household.tokens import scene_tokens

FRAME = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
PROMPT = "go to the red ball"


@pytest.fixture(scope="module")
def policy():
    return Policy.tiny(seed=0)


def test_a_dream_has_the_documented_shapes(policy):
    dream = policy.dream(FRAME, PROMPT, n=2, seed=3)[1]
    assert dream.frames.shape == (13, 64, 64, 3)
    assert (dream.frames[0] == FRAME).all()
    assert dream.latents.shape == (12, 35, 1, 1)
    assert dream.actions.shape == (12, 5)
    assert dream.path.shape == dream.path_pixels.shape == (13, 2)
    assert 0 <= dream.success <= 1
    assert dream.seed == 4


def test_a_dream_depends_on_its_seed_and_not_on_its_company(policy):
    alone = policy.dream(FRAME, PROMPT, n=1, seed=7)[0]
    together = policy.dream(FRAME, PROMPT, n=3, seed=5)
    np.testing.assert_allclose(alone.latents.astype(float), together[2].latents.astype(float), atol=2e-3)
    assert np.abs(together[0].latents.astype(float) - together[1].latents).max() > 0.1


def test_a_dream_depends_on_the_prompt(policy):
    a = policy.dream(FRAME, PROMPT, n=1)[0]
    b = policy.dream(FRAME, "raise the left hand", n=1)[0]
    assert np.abs(a.latents.astype(float) - b.latents).max() > 1e-3


def test_saving_and_loading_keeps_the_policy(policy, tmp_path):
    policy.save(tmp_path)
    again = Policy.load(tmp_path).dream(FRAME, PROMPT, n=1)[0]
    np.testing.assert_allclose(policy.dream(FRAME, PROMPT, n=1)[0].latents.astype(float), again.latents.astype(float), atol=0.05)


def test_a_missing_part_is_named(policy, tmp_path):
    policy.save(tmp_path)
    (tmp_path / "idm.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="idm"):
        Policy.load(tmp_path)


@pytest.mark.parametrize("frame", [FRAME[:32], FRAME.astype(np.float32), FRAME[..., :1]])
def test_it_refuses_a_frame_of_another_kind(policy, frame):
    with pytest.raises(ValueError, match="uint8 frame"):
        policy.dream(frame, PROMPT, n=1)


def test_it_imagines_start_frames_from_words(policy):
    frames = policy.imagine("a dog lies in the middle, a red ball at the back", n=2, seed=1)
    assert frames.shape == (2, 64, 64, 3)
    assert (frames[0] != frames[1]).any()
    with pytest.raises(ValueError, match="scene description"):
        policy.imagine("  ", n=1)


def test_tidy_scenes_are_as_real_ones_are():
    layout = sample(np.random.default_rng(3), HouseholdFactors(dog="lying"), None)
    real = torch.from_numpy(scene_tokens(layout))
    noisy = real + 0.1 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    clean = tidy(noisy)
    there = real[:, 0] > 0
    assert torch.equal(clean[:, 0], real[:, 0])
    assert torch.equal(clean[~there], real[~there])
    assert torch.equal(clean[there][:, 5:], real[there][:, 5:])
    assert torch.equal(clean[there][:, 1:3], noisy[there][:, 1:3])
    headings = clean[there][:, 3:5].norm(dim=-1)
    torch.testing.assert_close(headings, (real[there][:, 3:5].norm(dim=-1) > 0).float())


def test_choose_takes_the_best_accepted_dream(policy):
    plan = policy.plan(np.stack([FRAME, FRAME]), [PROMPT, PROMPT], seeds=[[0, 1], [2, 3]])
    good, bad = kinematics.Verdict(), kinematics.Verdict((kinematics.Check("speed", 2.0, 1.0),))
    chosen = replace(plan, verdicts=[good, bad, bad, bad], values=np.array([0.0, 9.0, 1.0, 2.0]))
    assert policy.choose(chosen, 2).tolist() == [0, 3]


# ---------------------------------------------------------------------- transformer and flow


CLIP = TransformerConfig().latent_shape


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    model = VideoTransformer(TransformerConfig(width=32, layers=2, heads=1))
    torch.nn.init.normal_(model.head.weight, std=0.1)
    torch.nn.init.normal_(model.time_modulation.weight, std=0.1)
    return model.eval()


def context_of(network, start, length=5):
    torch.manual_seed(1)
    text = torch.randn(len(start), length, 384)
    return network.encode_context(start, text, torch.ones(len(start), length, dtype=torch.bool))


def test_the_start_frame_and_the_text_matter(network):
    start = torch.randn(2, 12, 8, 8)
    x, t = torch.randn(1, *CLIP), torch.tensor([0.9])
    one, other = (network.predict(x, t, context_of(network, start[i : i + 1])) for i in range(2))
    assert not torch.allclose(one, other, atol=1e-3)
    blind = network.encode_context(start[:1], torch.zeros(1, 1, 384), torch.zeros(1, 1, dtype=torch.bool))
    assert not torch.allclose(one, network.predict(x, t, blind), atol=1e-3)


def test_what_the_grounder_finds_reaches_the_future(network):
    start, x, t = torch.randn(1, 12, 8, 8), torch.randn(1, *CLIP), torch.tensor([0.9])
    torch.nn.init.normal_(network.goal[-1].weight, std=0.1)
    before = network.predict(x, t, context_of(network, start))
    with torch.no_grad():
        network.grounder.places += 1.0
    assert not torch.allclose(before, network.predict(x, t, context_of(network, start)), atol=1e-3)


def test_what_the_tracker_sees_reaches_the_future():
    torch.manual_seed(0)
    network = VideoTransformer(TransformerConfig(width=32, layers=2, heads=1, things=14, tracker_width=8)).eval()
    for layer in (network.head, network.sight[-1]):
        torch.nn.init.normal_(layer.weight, std=0.1)
    start, x, t = torch.randn(1, 12, 8, 8), torch.randn(1, *CLIP), torch.tensor([0.9])
    before = network.predict(x, t, context_of(network, start))
    with torch.no_grad():
        network.tracker.pose[-1].bias[:2] += 1.0  # the dog faces elsewhere
    assert not torch.allclose(before, network.predict(x, t, context_of(network, start)), atol=1e-3)


def test_a_tracker_tells_places_and_headings_of_what_is_there():
    tracker = ProbeNet(entities=3, width=8, poses=7)
    start = torch.randn(2, 12, 8, 8)
    found = sights(tracker, start)
    assert found.shape == (2, sights_width(3))
    logits, xy, pose = tracker(start)
    torch.testing.assert_close(found[:, 1:3], logits.sigmoid()[:, :1] * xy[:, 0])
    torch.testing.assert_close(found[:, -7:-5], logits.sigmoid()[:, 1:2] * pose[:, :2])


def test_a_dog_in_the_start_frame_is_company():
    policy = Policy.tiny(seed=0)
    context = policy.context(policy.encode(np.zeros((2, 64, 64, 3), np.uint8)), ["go to the red ball"])
    context.sights = torch.zeros_like(context.sights)
    context.sights[1, FEATURES + DOG * PLACE] = 0.9
    assert company(context).tolist() == [False, True]
    assert company(context.repeat(2)).tolist() == [False, False, True, True]
    context.sights = None  # versions up to 6
    assert company(context).tolist() == [False, False]


def test_a_motion_codec_copies_what_has_not_changed_from_the_start_frame():
    motion, start = MotionCodec(MotionConfig(width=16, layers=1)), torch.randn(2, 12, 8, 8)
    torch.nn.init.constant_(motion.changed.bias, -50.0)
    frames = torch.randn(2, 3, 12, 8, 8)
    codes = motion.encode(frames, start)
    assert codes.shape == (2, 3, 35, 1, 1)
    torch.testing.assert_close(motion.decode(codes, start), start[:, None].expand_as(frames))
    assert motion.still(start, 5).shape == (2, 5, 35, 1, 1)
    torch.testing.assert_close(motion.still(start)[:, 0], motion.encode(start[:, None], start)[:, 0])


def places(xy, *, dog=0.0, robot=0.0, there=True) -> Places:
    """One frame: the robot, the dog and two objects at xy [4, 2]."""
    heading = [torch.tensor([[math.cos(yaw), math.sin(yaw)]]) for yaw in (dog, robot)]
    present = torch.tensor([[1.0, float(there), 1.0, 1.0]])
    return Places(present, torch.tensor(xy)[None].float(), *heading, torch.tensor([[0.0, 1.0]]), torch.ones(1))


def test_a_change_says_how_far_each_thing_moved_and_turned():
    start = places([[0, 0], [1, 1], [0.5, 0], [0, 0.5]], dog=0.5)
    then = places([[0.7, -0.7], [1.35, 1], [0.5, 0], [0, 1.0]], dog=0.5 + math.pi / 2, robot=math.pi)
    change = codes_between(start, then)[0] * units(2)
    expected = [0.7, -0.7, -1, 0, 0, 1, 1, 0.35, 0, -1, 1, 0, 0, 0, 0.5]
    torch.testing.assert_close(change, torch.tensor(expected), atol=1e-5, rtol=0)


def test_what_is_not_there_does_not_change():
    start, then = (places([[0, 0], [x, x], [0, 0], [0, 0]], there=False, dog=x) for x in (0.0, 1.0))
    assert (codes_between(start, then)[0, 7:] == 0).all()


def drawing(motion: MotionCodec, change: torch.Tensor, here: Places) -> torch.Tensor:
    return motion.picture(change, torch.zeros(1, 12, 8, 8), here)


@pytest.fixture
def drawer() -> MotionCodec:
    torch.manual_seed(0)
    return MotionCodec(MotionConfig(objects=2, width=16, layers=1))


def test_a_move_is_drawn_as_the_thing_in_its_new_place(drawer):
    here, there = places([[0, 0], [1, 1], [0.5, 0], [0, 0.5]], dog=0.3), places([[0.4, 0], [1, 0.2], [0.5, 0], [0.5, 0.5]], dog=1.0, robot=2.0)
    still, moved = (drawing(drawer, codes_between(a, there), a) for a in (there, here))
    torch.testing.assert_close(still, moved, atol=1e-5, rtol=1e-4)  # untrained, it does not look at where things were
    assert not torch.allclose(moved, drawing(drawer, codes_between(here, here), here), atol=1e-3)


def test_a_heading_that_is_none_is_drawn_as_the_nearest_one(drawer):
    here = places([[0, 0], [1, 1], [0.5, 0], [0, 0.5]])
    change = codes_between(here, places([[0, 0], [1, 1], [0.5, 0], [0, 0.5]], robot=2.0))
    faint = change.clone()
    faint[0, 2:4] *= 0.4
    torch.testing.assert_close(drawing(drawer, change, here), drawing(drawer, faint, here))


def test_a_dog_that_is_not_there_is_not_drawn_wherever_it_would_go(drawer):
    here = places([[0, 0], [1, 1], [0.5, 0], [0, 0.5]], there=False)
    change = torch.zeros(1, drawer.config.code)
    moved = change.clone()
    moved[0, 7:9] = 2.0
    torch.testing.assert_close(drawing(drawer, change, here), drawing(drawer, moved, here))


def test_the_context_is_shared_between_rollouts(network):
    start = torch.randn(1, 12, 8, 8)
    x, t = torch.randn(3, *CLIP), torch.full((3,), 0.6)
    shared = network.predict(x, t, context_of(network, start).repeat(3))
    apart = torch.cat([network.predict(x[i : i + 1], t[:1], context_of(network, start)) for i in range(3)])
    torch.testing.assert_close(shared, apart, atol=1e-4, rtol=1e-4)


def test_padding_of_the_text_changes_nothing(network):
    start, text = torch.randn(1, 12, 8, 8), torch.randn(1, 4, 384)
    x, t = torch.randn(1, *CLIP), torch.tensor([0.5])
    plain = network.predict(x, t, network.encode_context(start, text, torch.ones(1, 4, dtype=torch.bool)))
    padded_text = torch.cat([text, torch.randn(1, 3, 384)], 1)
    mask = torch.tensor([[True] * 4 + [False] * 3])
    torch.testing.assert_close(plain, network.predict(x, t, network.encode_context(start, padded_text, mask)), atol=1e-4, rtol=1e-4)


def test_dropped_text_equals_no_text(network):
    start = torch.randn(1, 12, 8, 8)
    x, t = torch.randn(1, *CLIP), torch.tensor([0.5])
    text, mask = torch.randn(1, 4, 384), torch.ones(1, 4, dtype=torch.bool)
    dropped = network.encode_context(start, text, mask, torch.tensor([True]))
    empty = network.encode_context(start, torch.zeros(1, 1, 384), torch.zeros(1, 1, dtype=torch.bool))
    # Dropped text leaves its first place, and so its position, to the token that stands for "no text".
    torch.testing.assert_close(network.predict(x, t, dropped), network.predict(x, t, empty), atol=1e-4, rtol=1e-4)


def test_too_long_a_text_is_refused(network):
    with pytest.raises(ValueError, match="at most 16"):
        context_of(network, torch.randn(1, 12, 8, 8), length=17)


def test_attention_by_matrix_products_is_attention():
    q, k, v = (torch.randn(2, 4, n, 16, dtype=torch.bfloat16) for n in (5, 7, 7))
    mask = torch.tensor([True, True, False, True, True, False, True])[None, None, None]
    fused = attend(q.float(), k.float(), v.float(), mask)
    torch.testing.assert_close(attend(q, k, v, mask).float(), fused, atol=0.03, rtol=0.03)


def test_fused_velocities_do_not_drift_and_do_not_jitter():
    rng = np.random.default_rng(0)
    velocity = np.repeat([[0.3, 0.1], [0.0, -0.3], [0.2, 0.2]], 4, axis=0)
    places = np.concatenate([[[0.0, 0.0]], np.cumsum(velocity, 0) / 3])
    biased = velocity + 0.03
    noisy = places + rng.normal(0, 0.02, places.shape)
    fused = kinematics.fuse(biased, noisy, 3.0)
    end = np.hypot(*(np.cumsum(fused, 0)[-1] / 3 - places[-1]))
    assert end < np.hypot(*(np.cumsum(biased, 0)[-1] / 3 - places[-1])) / 2
    assert np.abs(fused - velocity).max() < np.abs(np.diff(noisy, axis=0) * 3 - velocity).max()
    np.testing.assert_allclose(kinematics.fuse(velocity, places, 3.0), velocity, atol=1e-9)


def test_velocity_and_x_prediction_agree(network):
    start, x = torch.randn(2, 12, 8, 8), torch.randn(2, *CLIP)
    noise, t = torch.randn_like(x), torch.tensor([0.4, 0.8])
    context = context_of(network, start)
    error = flow.velocity_error(network, x, context, noise=noise, t=t)
    by_velocity = (flow.velocity(network, flow.mix(x, noise, t), t, context) - (noise - x)) ** 2
    torch.testing.assert_close(error, by_velocity, atol=1e-3, rtol=1e-3)


def test_the_sampler_lands_on_a_perfect_prediction():
    target = torch.randn(2, 12, 12, 8, 8)

    class Oracle:
        def predict(self, x, t, context):
            return target

    out = flow.sample(Oracle(), None, torch.randn_like(target), steps=4)
    torch.testing.assert_close(out, target)


def test_sampler_times_fall_from_one_to_zero():
    times = flow.sampler_times(7)
    assert times[0] == 1
    assert times[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(times))
    with pytest.raises(ValueError, match="steps"):
        flow.sampler_times(0)
    with pytest.raises(ValueError, match="bad sampler"):
        SamplerSettings(steps=0)


def test_codec_shapes_and_range():
    codec = Codec(CodecConfig(encoder_widths=(8, 8), decoder_widths=(8, 8)))
    frames = torch.from_numpy(np.stack([FRAME, FRAME]))
    latents = codec.encode(frames)
    assert latents.shape == (2, 12, 8, 8)
    assert codec.decode_uint8(latents).shape == (2, 64, 64, 3)
    torch.testing.assert_close(codec.encode(frames[None])[0], latents)
    with pytest.raises(ValueError, match="multiple"):
        CodecConfig(size=60)


# ---------------------------------------------------------------------- text


def test_clauses_are_split_and_cached():
    calls = []

    def encoder(clauses):
        calls.extend(clauses)
        return [np.ones((3, 384), np.float16)] * len(clauses)

    text = TextEncoder(encoder)
    states, mask = text.encode(["Go to the red ball | walk left | walk left", "wave"], 20)
    assert split("a  Dog, lies.") == ["a dog", "lies"]
    assert states.shape == (2, 5, 384)
    assert mask.sum(1).tolist() == [5, 3]
    assert calls == ["go to the red ball", "walk left", "wave"]
    assert text.encode_scenes(["no dog, dim light"], 16)[0].shape == (1, 2, 384)
    assert text.encode([""], 20)[1].sum() == 0


def test_the_sentence_encoder_puts_a_paraphrase_nearer_than_another_object():
    a, b, c = (states.astype(np.float32).mean(0) for states in MiniLM()(["go to the red ball", "walk over to the red ball", "raise the left hand"]))

    def cosine(x, y):
        return x @ y / np.linalg.norm(x) / np.linalg.norm(y)

    assert cosine(a, b) > cosine(a, c) + 0.2


# ---------------------------------------------------------------------- kinematics


def test_kinematic_check_finds_each_violation():
    still = arms = np.zeros((12, 2))
    path = kinematics.integrate(np.zeros(2), still, 3.0)
    assert kinematics.check(still, arms, path, path, fps=3.0).accepted
    fast = still.copy()
    fast[4, 0] = 3.0
    verdict = kinematics.check(fast, arms, kinematics.integrate(np.zeros(2), fast, 3.0), path, fps=3.0)
    assert {"speed", "acceleration", "jerk", "teleport"} <= set(verdict.violated)
    far = path + 5
    assert "workspace" in kinematics.check(still, arms, far, far, fps=3.0).violated
    assert verdict.to_dict()["accepted"] is False
    with pytest.raises(ValueError, match="must be positive"):
        kinematics.Limits(speed=0)
