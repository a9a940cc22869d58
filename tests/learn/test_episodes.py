"""Demonstrations on disk, the clips that are cut from them, what is replayed and exported."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from rollouts.dreams.codec import Codec
from rollouts.dreams.motion import codes_between
from rollouts.worlds.household.env import HouseholdEnv
from tests.learn.tiny import TINY_CODEC
from training.learn.clips import clip_text, load_clips
from training.learn.collect import collect, play_episode, read_shard, save_shard
from training.learn.lerobot import export
from training.learn.loop import LoopSettings
from training.learn.pretrain import train_stage
from training.learn.replay import REPLAY_SEED, replay_clips


def test_a_shard_gives_back_what_it_was_given(shard):
    env = HouseholdEnv()
    fresh = play_episode(env, 3)
    env.close()
    stored = list(read_shard(shard))[3]
    assert (stored.frames == fresh.frames).all()
    assert stored.meta["prompt"] == fresh.meta["prompt"]
    assert len(stored.frames) == len(stored.actions) + 1 == len(stored.phases) + 1


def test_neighbouring_seeds_fork_from_one_start(shard):
    episodes = list(read_shard(shard))
    assert (episodes[0].frames[0] == episodes[1].frames[0]).all()
    assert episodes[0].meta["prompt"] == episodes[1].meta["prompt"]


def test_windows_never_cross_episodes(clips):
    window = clips.window(clips.starts)
    assert (clips.episode[window] == clips.episode[window[:, :1]]).all()


def test_frames_are_seen_alike_encoded_before_or_when_asked_for(shard, words):
    torch.manual_seed(0)
    codec, pick = Codec(TINY_CODEC), torch.tensor([3, 0, 17])
    later = load_clips([shard], words)
    later.codec = codec
    asked = later.seen(pick)
    assert later.latents is None
    torch.testing.assert_close(later.encode(codec).seen(pick), asked, atol=5e-3, rtol=5e-3)  # kept as float16


def test_an_episode_with_few_pictures_is_the_same_episode(shard, words, tmp_path):
    env = HouseholdEnv()
    episodes = [play_episode(env, seed, pictures=2) for seed in range(8)]
    env.close()
    save_shard(tmp_path / "few.npz", episodes)
    for few, all_ in zip(read_shard(tmp_path / "few.npz"), read_shard(shard), strict=True):
        assert (few.frames == all_.frames[few.pictured]).all()
        assert few.pictured[0] == 0
        assert (few.actions == all_.actions).all()
        assert (few.robot == all_.robot).all()
        assert few.meta == all_.meta
    torch.manual_seed(0)
    few, all_ = load_clips([tmp_path / "few.npz"], words), load_clips([shard], words)
    few.codec = all_.codec = Codec(TINY_CODEC)
    assert all_.whole
    assert not few.whole
    assert set(few.starts.tolist()) < set(all_.starts.tolist())
    torch.testing.assert_close(few.seen(few.starts), all_.seen(few.starts))
    torch.testing.assert_close(few.motion(few.starts), all_.motion(few.starts))
    with pytest.raises(ValueError, match="have no picture"):
        few.encode(few.codec)
    with pytest.raises(ValueError, match="idm needs pictures of all frames"):
        train_stage("idm", few, tmp_path, LoopSettings(steps=1), batch=2)


def test_shards_from_before_pictures_could_be_left_out_are_read(shard, tmp_path):
    with np.load(shard) as stored:
        notes = [{name: value for name, value in note.items() if name != "pictures"} for note in json.loads(stored["notes"].tobytes())]
        arrays = {name: stored[name] for name in stored.files if name not in ("pictured", "notes")}
    np.savez(tmp_path / "old.npz", notes=np.frombuffer(json.dumps(notes).encode(), np.uint8), **arrays)
    for old, new in zip(read_shard(tmp_path / "old.npz"), read_shard(shard), strict=True):
        assert (old.pictured == new.pictured).all()
        assert (old.frames == new.frames).all()
        assert old.meta == new.meta


def test_in_a_mirror_all_goes_the_other_way(clips):
    starts = clips.starts[::7]
    over = torch.ones(len(starts), dtype=torch.bool)
    over[0] = False
    plain, turned = clips.motion(starts), clips.motion(starts, over)
    assert (turned[0] == plain[0]).all()
    plain, turned = plain[1:, :, :, 0, 0], turned[1:, :, :, 0, 0]
    for x, y in ((0, 1), (2, 3), (7, 8), *((11 + 2 * i, 12 + 2 * i) for i in range(12))):  # robot, its heading, dog, objects
        torch.testing.assert_close(turned[..., x], -plain[..., x])
        torch.testing.assert_close(turned[..., y], plain[..., y])
    torch.testing.assert_close(turned[..., 4:6], plain[..., 4:6].flip(-1))  # arms
    torch.testing.assert_close(turned[..., 9], plain[..., 9], atol=1e-5, rtol=0)  # the dog turns as far,
    torch.testing.assert_close(turned[..., 10], -plain[..., 10], atol=1e-5, rtol=0)  # the other way
    pictures = clips.frames[clips.picture[starts]]
    pictures[1:] = pictures[1:].flip(2)
    torch.testing.assert_close(clips.seen(starts, over), clips.codec.encode(pictures).float())


def test_plan_clauses_follow_the_prompt(clips):
    starts = clips.starts[:4]
    _, plain = clip_text(clips, starts, 20, plan=0.0)
    _, planned = clip_text(clips, starts, 20, plan=1.0)
    assert (planned.sum(1) == plain.sum(1) + 4).all()


def test_places_in_a_mirror_move_as_codes_in_a_mirror(clips):
    first, then = clips.starts[:6], clips.starts[:6] + 8
    over = torch.tensor([True] * 6)
    codes = codes_between(clips.places(first).mirrored(over), clips.places(then).mirrored(over))
    wanted = clips.motion(first, over)[:, 7, :, 0, 0]
    arms = torch.zeros(35, dtype=torch.bool)
    arms[4:6] = True  # which is left and which is right is another matter
    torch.testing.assert_close(codes[:, ~arms], wanted[:, ~arms])


def test_episodes_with_given_factors(tmp_path):
    collect(tmp_path, 4, first_seed=12, workers=1, pictures=2, factors={"dog": "walking"})
    episodes = list(read_shard(tmp_path / "shard-00000.npz"))
    assert [episode.meta["factors"]["dog"] for episode in episodes] == ["walking"] * 4


def test_replay_tells_motion_as_it_was_and_no_contact():
    latents, starts, prompts = replay_clips(Codec(TINY_CODEC), 3, seed=1)
    assert latents.shape == (3, 12, 35, 1, 1)
    assert starts.shape == (3, 12, 8, 8)
    assert len(prompts) == 3
    again, _, _ = replay_clips(Codec(TINY_CODEC), 3, seed=1)
    torch.testing.assert_close(latents, again)
    env = HouseholdEnv()
    played = [play_episode(env, REPLAY_SEED + 100_000 + number, pictures=1) for number in range(12)]
    env.close()
    for clip, prompt in zip(latents, prompts, strict=True):
        # Of the robot's displacement and heading; each clip is one window of one episode, and nothing is touched there.
        found = [
            episode.contact[first : first + 12]
            for episode in played
            if episode.meta["prompt"] == prompt
            for first in range(min(13, len(episode.actions) - 11))
            if np.allclose(clip[:, :2, 0, 0] * 0.7, episode.robot[first + 1 : first + 13, :2] - episode.robot[first, :2], atol=1e-5)
            and np.allclose(clip[:, 2, 0, 0] * 0.7, np.cos(episode.robot[first + 1 : first + 13, 2]), atol=1e-5)
        ]
        assert len(found) == 1
        assert not found[0].any()


def test_export_in_the_lerobot_layout(shard, tmp_path):
    import imageio.v3 as iio

    assert export([shard], tmp_path) == 8
    info = json.loads((tmp_path / "meta" / "info.json").read_text())
    episodes = [json.loads(line) for line in (tmp_path / "meta" / "episodes.jsonl").read_text().splitlines()]
    assert info["total_frames"] == sum(row["length"] for row in episodes)
    table = pq.read_table(tmp_path / info["data_path"].format(episode_chunk=0, episode_index=3)).to_pydict()
    stored = list(read_shard(shard))[3]
    np.testing.assert_allclose(table["action"], stored.actions)
    video = iio.imread(tmp_path / info["video_path"].format(episode_chunk=0, episode_index=3, video_key="observation.images.room"))
    assert video.shape == stored.frames[:-1].shape
    assert np.abs(video.astype(int) - stored.frames[:-1]).mean() < 4
