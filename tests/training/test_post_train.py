import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rollouts.dreams.policy import Policy
from tests.training.tiny import CHANNELS, FRAMES, HEIGHT, WIDTH, TinyWorldModel, encode_text, preference_data
from training.learn.dpo import sample_times
from training.learn.dpo_settings import DPOSettings
from training.learn.held_out import clearly_worse, euler_sample, motion_magnitude, time_levels
from training.learn.post_train import PostTrain
from training.learn.preferences import Preference, PreferenceData

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _float32(monkeypatch):
    """Runs are compared to a thousandth here; where the machine has bfloat16, another order of sums alone differs by more."""
    monkeypatch.setattr("rollouts.dreams.precision.native_bfloat16", lambda device: False)


def settings(**changes) -> DPOSettings:
    base = {
        "beta": 20.0,
        "steps": 40,
        "pairs_per_step": 8,
        "micro_batch": 8,
        "learning_rate": 2e-3,
        "evaluate_every": 10,
        "checkpoint_every": 7,
        "warmup_steps": 5,
        "winner_error_limit": 10.0,
        "motion_limit": 0.01,
        "motion_dreams": 2,
        "anchor_weight": 0.0,
    }
    return DPOSettings(**(base | changes))


def train(out: Path, data: PreferenceData | None = None, stop_at: int | None = None, **changes):
    seen = []

    class Stopped(Exception):
        pass

    def check() -> None:
        if stop_at is not None and len(seen) == stop_at:
            raise Stopped
        seen.append(1)

    recipe = PostTrain(
        settings(**changes),
        data or preference_data(),
        TinyWorldModel(0),
        encode_text,
        out,
        check_cancelled=check,
    )
    recipe.setup()
    try:
        recipe.train()
    except Stopped:
        return None, recipe
    return recipe.cleanup(), recipe


def test_it_learns_to_prefer_held_out_winners(tmp_path):
    result, recipe = train(tmp_path, steps=60)
    first, best = recipe.progress.history[0], result.metrics
    assert first["held_out/loss"] == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-3)
    assert best["held_out/rewards/accuracies"] == 1.0
    assert best["held_out/loss"] < 0.6
    assert result.best_step > 0
    assert result.sha256 == hashlib.sha256(result.weights.read_bytes()).hexdigest()


def test_same_seed_same_weights_and_another_seed_others(tmp_path):
    one, other, third = (train(tmp_path / str(i), seed=seed)[0] for i, seed in enumerate((0, 0, 1)))
    assert one.sha256 == other.sha256
    assert one.sha256 != third.sha256


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_stopped_run_resumes_to_the_same_weights(tmp_path, adapt):
    options = {"adapt": adapt, "lora_rank": 4, "data": preference_data(replay=6)}
    unbroken, _ = train(tmp_path / "unbroken", **options)
    for stop_at in (9, 4, 13):
        stopped, _ = train(tmp_path / "broken", stop_at=stop_at, **options)
        assert stopped is None
    resumed, recipe = train(tmp_path / "broken", **options)
    assert resumed.sha256 == unbroken.sha256
    assert [h["step"] for h in recipe.progress.history] == [0, 10, 20, 30, 40]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first, _ = train(tmp_path)
    again, recipe = train(tmp_path, stop_at=0)
    assert again.sha256 == first.sha256
    assert recipe.progress.step == 40


def test_it_refuses_a_checkpoint_of_other_settings(tmp_path):
    train(tmp_path, steps=10)
    with pytest.raises(ValueError, match="other settings"):
        train(tmp_path, steps=10, beta=30.0)


def test_micro_batches_do_not_change_the_result(tmp_path):
    whole, _ = train(tmp_path / "whole")
    parts, _ = train(tmp_path / "parts", micro_batch=3)
    for name, value in load_file(whole.weights).items():
        torch.testing.assert_close(load_file(parts.weights)[name], value, atol=2e-4, rtol=2e-3)


def test_it_stops_when_held_out_pairs_get_worse(tmp_path):
    data = preference_data(groups=20)
    held = set(data.split(0.15, 0)[1])
    # Held-out answers are the opposite of what training says: only patience can end this well.
    data.rows = [Preference(r.loser, r.winner, r.group) if i in held else r for i, r in enumerate(data.rows)]
    result, _ = train(tmp_path, data=data, steps=400, patience=2)
    assert (result.stopped, result.best_step, result.steps) == ("patience", 0, 20)
    parent = TinyWorldModel(0).state_dict()
    for name, value in load_file(result.weights).items():
        torch.testing.assert_close(value, parent[name])


def test_a_rise_within_the_standard_error_says_nothing():
    lowest = torch.tensor([0.6, 0.7, 0.8, 0.7])
    assert not clearly_worse(lowest, lowest)
    assert not clearly_worse(lowest - 0.1, lowest)
    assert clearly_worse(lowest + 0.1, lowest), "every pair is worse"
    assert not clearly_worse(lowest + torch.tensor([0.4, -0.3, 0.3, -0.2]), lowest), "some are worse, some are better"
    rise = lowest + torch.tensor([0.15, 0.0, 0.15, 0.0])
    assert clearly_worse(rise, lowest), "by 1.7 errors"
    assert not clearly_worse(rise, lowest, errors=2.0)
    assert not clearly_worse(lowest[:1] + 9, lowest[:1]), "one pair has no error to compare with"


def test_a_coin_keeps_the_parents_weights(tmp_path):
    """Choices that say nothing about the dreams: a held-out loss that wanders below the parent's within its error is no reason for other weights."""
    data = preference_data(groups=40)
    coin = torch.rand(len(data.rows), generator=torch.Generator().manual_seed(0)) < 0.5
    data.rows = [Preference(r.loser, r.winner, r.group) if flip else r for r, flip in zip(data.rows, coin.tolist(), strict=True)]
    result, recipe = train(tmp_path, data=data, learning_rate=5e-4, winner_error_limit=1e6, motion_limit=0.0)
    first, *later = (held["held_out/loss"] for held in recipe.progress.history)
    assert min(later) < first - 0.005, "there is something to be taken in by"
    assert (result.stopped, result.best_step) == ("budget", 0)


def test_winners_alone_are_judged_by_their_own_error(tmp_path):
    """Training on winners only lowers their error; whether losers' falls as well is not its business."""
    result, recipe = train(tmp_path, objective="sft", anchor_weight=1.0, learning_rate=1e-3)
    first, best = recipe.progress.history[0], result.metrics
    assert torch.tensor(recipe.progress.lowest).mean() < recipe.held_out.parents_P.mean()
    assert recipe.held_out.parents_P.mean() == pytest.approx(first["held_out/winner_error"], rel=1e-3)
    assert best["held_out/winner_error_ratio"] < 1
    assert result.best_step > 0


def test_later_weights_are_kept_while_no_held_out_pair_tells_them_apart(tmp_path):
    # One start frame is held out, with one pair: its loss has no error, so nothing can be clearly worse.
    data = preference_data(groups=8)
    result, recipe = train(tmp_path, data=data, held_out=0.05, steps=20, winner_error_limit=1e6, motion_limit=0.0)
    assert len(recipe.held_out.indices) < 2
    assert result.best_step == result.steps


def test_held_out_pairs_are_judged_at_the_times_that_training_draws():
    settings = DPOSettings(time_mean=2.0, time_std=1.0)
    levels = time_levels(settings)
    drawn = sample_times(20_000, torch.Generator().manual_seed(0), settings.time_mean, settings.time_std, settings.time_min)
    assert levels == sorted(levels)
    for i, level in enumerate(levels):
        assert (drawn < level).float().mean() == pytest.approx((i + 0.5) / len(levels), abs=0.02)


def test_it_raises_an_alarm_when_winners_are_predicted_worse(tmp_path):
    data = preference_data()
    # Winners drawn far from anything the anchorless loss rewards: both errors rise together.
    result, recipe = train(tmp_path, data, learning_rate=0.3, winner_error_limit=1.05, patience=1)
    assert [alarm["kind"] for alarm in result.alarms] == ["winner_error"]
    raised = result.alarms[0]
    assert raised["value"] == recipe.progress.history[-1]["held_out/winner_error_ratio"] > 1.05
    assert result.stopped == "alarm"


def test_an_alarm_keeps_weights_from_becoming_the_best(tmp_path):
    result, _ = train(tmp_path, motion_limit=1e6)
    assert result.stopped == "alarm"
    assert result.best_step == 0
    assert {alarm["kind"] for alarm in result.alarms} == {"motion"}
    assert "stand still" in result.alarms[0]["text"]


def test_ties_are_dropped_when_theta_is_one(tmp_path):
    _, recipe = train(tmp_path, data=preference_data(ties=True), tie_theta=1.0, steps=5)
    assert not any(recipe.data.rows[i].tie for i in recipe.new)
    _, recipe = train(tmp_path / "b", data=preference_data(ties=True), steps=5)
    assert recipe.theta == pytest.approx(1.5)
    assert any(recipe.data.rows[i].tie for i in recipe.new)


def test_lora_starts_at_the_parent_and_leaves_plain_names(tmp_path):
    result, recipe = train(tmp_path, adapt="lora", lora_rank=4)
    assert recipe.progress.history[0]["held_out/drift"] == 0
    assert set(load_file(result.weights)) == set(TinyWorldModel(0).state_dict())


def test_credit_says_whether_others_doings_are_taught(tmp_path):
    """The last layer writes each channel apart: the rows that write what is not the robot's own stay as they are, unless all gets credit."""
    before = TinyWorldModel(0).out.weight.detach().view(4, 2, 9, -1)
    for credit, taught in (("robot", False), ("all", True)):
        recipe = PostTrain(
            settings(credit=credit, world_weight=0.0), preference_data(), TinyWorldModel(0), encode_text, tmp_path / credit, own_C=torch.tensor([True, False])
        )
        after = load_file(recipe.run().weights)["out.weight"].view(4, 2, 9, -1)
        assert not torch.equal(after[:, 0], before[:, 0])
        assert torch.equal(after[:, 1], before[:, 1]) is not taught


def test_sft_ignores_the_loser(tmp_path):
    data, other = preference_data(), preference_data()
    other.latents_NTCHW[1::2] = torch.randn_like(other.latents_NTCHW[1::2])
    one, _ = train(tmp_path / "1", data=data, objective="sft", held_out=0.0)
    two, _ = train(tmp_path / "2", data=other, objective="sft", held_out=0.0)
    assert one.sha256 == two.sha256


SCRIPT = ROOT / "tests" / "training" / "torchrun_post_train.py"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
SHORT = {"steps": 12, "pairs_per_step": 9, "micro_batch": 3, "lora_rank": 4}  # as the script's


def real_parts(directory: Path) -> None:
    """A policy whose parts are the real ones, though tiny, and preferences about its dreams, as directories."""
    Policy.tiny().save(directory / "policy")
    g = torch.Generator().manual_seed(0)
    latents, starts = torch.randn(24, 12, 35, 1, 1, generator=g), torch.randn(12, 12, 8, 8, generator=g).repeat_interleave(2, 0)
    rows = [Preference(2 * i, 2 * i + 1, f"frame-{i}") for i in range(12)]
    PreferenceData(latents, starts, ["go to the red ball"] * 24, rows).save(directory / "preferences")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Where two processes have trained: like one, sharded from where one process had stopped, and a policy of the real parts. One torchrun for all
    of it, as starting it takes longer than the steps."""
    out = tmp_path_factory.mktemp("two")
    real_parts(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rollouts.dreams.precision.native_bfloat16", lambda device: False)
        for adapt in ("full", "lora"):  # the last checkpoint of each is of step 7
            train(out / adapt, stop_at=9, adapt=adapt, data=preference_data(replay=6), **SHORT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    runs = [f"{out}/{run}" for run in ("like-one", "full:shard", "lora:shard:lora", "real-full:real", "real-lora:real:lora")]
    done = subprocess.run([*command, *runs], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def log_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_train_like_one(tmp_path, two_processes):
    train(tmp_path, data=preference_data(replay=6), **SHORT)
    one, two = ([row for row in log_of(out) if row["kind"] == "train"] for out in (tmp_path, two_processes / "like-one"))
    assert len(one) == len(two) == 12
    for a, b in zip(one, two, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-3)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_two_processes_that_shard_go_on_where_one_stopped(tmp_path, two_processes, adapt):
    """FSDP2 over two processes takes the steps that one process takes, reads its checkpoint and writes the same one."""
    train(tmp_path, adapt=adapt, data=preference_data(replay=6), **SHORT)
    logs = [log_of(out) for out in (tmp_path, two_processes / adapt)]
    for kind, count in (("train", 5), ("held-out", 1)):
        one, two = ([row for row in log if row["kind"] == kind][-count:] for log in logs)
        assert [row["step"] for row in one] == [row["step"] for row in two]
        for a, b in zip(one, two, strict=True):
            for name in ("loss", "gradient_norm") if kind == "train" else ("held_out/loss",):
                assert a[name] == pytest.approx(b[name], rel=1e-3)
    whole, sharded = (load_file(out / "checkpoint.safetensors") for out in (tmp_path, two_processes / adapt))
    assert whole.keys() == sharded.keys()
    for name, value in whole.items():
        torch.testing.assert_close(sharded[name], value, rtol=1e-3, atol=1e-4)
    assert load_file(two_processes / adapt / "world_model.safetensors").keys() == TinyWorldModel(0).state_dict().keys()


def parts_that_read_kept_still(before: Path, after: Path) -> bool:
    old, new = load_file(before / "world_model.safetensors"), load_file(after / "world_model.safetensors")
    assert old.keys() == new.keys()
    return all(torch.equal(old[name].float(), new[name].float()) for name in old if name.startswith(("grounder.", "tracker.")))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_policy_of_the_real_parts_trains_in_two_processes(two_processes, adapt):
    """Parts that read the start frame get no gradient, and nobody may wait for one."""
    out = two_processes / f"real-{adapt}"
    assert [row["step"] for row in log_of(out) if row["kind"] == "train"] == [1, 2, 3]
    assert parts_that_read_kept_still(two_processes / "policy", out)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_trains_in_processes_that_share_the_weights(tmp_path):
    real_parts(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "training.learn.post_train", "--shard"]
    places = ["--parent", str(tmp_path / "policy"), "--preferences", str(tmp_path / "preferences"), "--out", str(tmp_path / "out")]
    limits = ["--set", "steps=3", "--set", "pairs_per_step=8", "--set", "motion_dreams=2"]
    done = subprocess.run([*command, *places, *limits], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert parts_that_read_kept_still(tmp_path / "policy", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_in_the_middle_it_ends_with_the_same_weights(tmp_path):
    """kill -9 between two checkpoints, twice: what was after the last checkpoint is done again."""
    log = tmp_path / "killed" / "metrics.jsonl"
    for lines in (12, 26):
        process = subprocess.Popen([sys.executable, str(SCRIPT), str(tmp_path / "killed"), "--steps", "40", "--pause", "0.05"], env=ENVIRONMENT)
        deadline = time.monotonic() + 60
        while not log.exists() or len(log.read_text().splitlines()) < lines:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "world_model.safetensors").exists()
    # One process more goes on where the last one was killed, and then trains another without a break.
    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), str(tmp_path / "unbroken"), "--steps", "40"]
    hashes = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.split()
    assert len(hashes) == 2
    assert hashes[0] == hashes[1]


def test_sampling_follows_the_velocity():
    class Straight:
        """The exact flow to a clip of ones."""

        def encode_context(self, start, text):
            return None

        def velocity(self, x_t, t, context):
            return (x_t - 1) / t.view(-1, 1, 1, 1, 1)

    noise = torch.randn(2, FRAMES, CHANNELS, HEIGHT, WIDTH)
    start = torch.ones(2, CHANNELS, HEIGHT, WIDTH)
    clips = euler_sample(Straight(), start, None, noise, 5)
    torch.testing.assert_close(clips, torch.ones_like(clips), atol=1e-5, rtol=0)
    assert motion_magnitude(clips) == pytest.approx(0, abs=1e-5)
    clips[:, FRAMES // 2 :] += 1
    assert motion_magnitude(clips) == pytest.approx(1 / (FRAMES - 1), abs=1e-5)
