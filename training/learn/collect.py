"""Demonstrations: episodes of the household world, played by scripted demonstrators in parallel processes.

Episodes are kept as numpy shards (`shard-00000.npz`, 32 episodes each): the format that pretraining reads. A shard that
exists is not collected again, so an interrupted collection resumes. `lerobot.py` exports them for others.

    python -m training.learn.collect --out data/household --episodes 20000 --lerobot data/lerobot
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rollouts.worlds.household.demonstrators import (
    SKILL_ODDS_DOG,
    SKILL_ODDS_FREE,
    SKILLS,
    Demonstrator,
)
from rollouts.worlds.household.describe import scene_clauses
from rollouts.worlds.household.env import HouseholdEnv
from rollouts.worlds.household.factors import OBJECTS, HouseholdFactors

EPISODES_PER_SHARD = 32
MIN_STEPS = 12
TAIL_STEPS = 4  # kept after success, so that the model also learns to stand still


@dataclass
class Episode:
    """One demonstration of L steps (L + 1 frames, 3 per second).

    frames uint8 [K, H, W, 3]: pictures of the frames `pictured` int64 [K], ascending: all L + 1 of them, or some;
    actions float32 [L, 5]; robot float32 [L+1, 5]: x, y, yaw, left arm, right arm;
    dog float32 [L+1, 3]: x, y, yaw, nan when absent; objects float32 [L+1, 12, 2]: x, y by OBJECTS, nan when absent;
    held bool [L+1]: the gripper holds an object; contact bool [L]: the dog was touched in that step; success bool [L]: reached by then; phases: L phrases.
    """

    frames: np.ndarray
    pictured: np.ndarray
    actions: np.ndarray
    robot: np.ndarray
    dog: np.ndarray
    objects: np.ndarray
    held: np.ndarray
    contact: np.ndarray
    success: np.ndarray
    phases: list[str]
    meta: dict


def play_episode(
    env: HouseholdEnv,
    seed: int,
    *,
    skill: str | None = None,
    options: dict | None = None,
    pictures: int | None = None,
) -> Episode:
    """Seeds 2k and 2k + 1 share their start frame and prompt and differ in the demonstrator: two futures of one start.

    With `pictures`, only the first frame and `pictures` - 1 of the next MIN_STEPS are rendered, which is half of the work.
    """
    rng = np.random.default_rng([seed, 7])
    _, info = env.reset(seed=seed // 2, options=options)
    if skill is None:
        odds = SKILL_ODDS_FREE if info["state"]["dog"] is None else SKILL_ODDS_DOG
        skill = str(rng.choice(SKILLS, p=odds))
    clauses = scene_clauses(info["state"], info["factors"], np.random.default_rng([seed, 8]))
    actor = Demonstrator(info["task"], skill, rng)
    wanted = None if pictures is None else {0, *(1 + np.random.default_rng([seed, 10]).permutation(MIN_STEPS)[: pictures - 1])}
    frames, pictured = [env.render()], [0]
    states, actions, contact, success, phases = [info["state"]], [], [], [], []
    after = 0
    for _ in range(env.max_steps):
        touched_before = info["dog_contact"]
        env.dog_contact = False  # so that a step reports its own contact
        action = actor.act(info["state"])
        _, _, _, _, info = env.step(action)
        contact.append(info["dog_contact"])
        env.dog_contact |= touched_before
        info["dog_contact"] = env.dog_contact
        actions.append(action)
        phases.append(actor.words())
        success.append(info["success"])
        if wanted is None or len(actions) in wanted:
            frames.append(env.render())
            pictured.append(len(actions))
        states.append(info["state"])
        after += info["success"]
        if after > TAIL_STEPS and len(actions) >= MIN_STEPS:
            break
    nowhere = [np.nan, np.nan]
    return Episode(
        frames=np.stack(frames),
        pictured=np.asarray(pictured, np.int64),
        actions=np.asarray(actions, np.float32),
        robot=np.asarray([[*s["robot"], *s["arms"]] for s in states], np.float32),
        dog=np.asarray([s["dog"] or [np.nan] * 3 for s in states], np.float32),
        objects=np.asarray(
            [[s["objects"].get(name, nowhere)[:2] for name in OBJECTS] for s in states],
            np.float32,
        ),
        held=np.asarray([s["held"] is not None for s in states]),
        contact=np.asarray(contact),
        success=np.asarray(success),
        phases=phases,
        meta={
            "seed": seed,
            "skill": skill,
            "prompt": info["prompt"],
            "kind": info["task"].kind,
            "target": info["task"].target,
            "factors": info["factors"],
            "scene": clauses,
            "mat": states[0]["mat"],
        },
    )


def collect(
    out: Path,
    episodes: int,
    *,
    first_seed: int = 0,
    workers: int | None = None,
    size: int = 64,
    pictures: int | None = None,
    factors: dict | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes shards under `out` until `episodes` exist. `progress(done, total)` is called after each shard. pictures: see `play_episode`;
    factors: those of `HouseholdFactors` that are the same in all episodes."""
    out.mkdir(parents=True, exist_ok=True)
    shards = [
        (
            out / f"shard-{start // EPISODES_PER_SHARD:05d}.npz",
            first_seed + start,
            min(EPISODES_PER_SHARD, episodes - start),
            size,
            pictures,
            factors or {},
        )
        for start in range(0, episodes, EPISODES_PER_SHARD)
    ]
    missing = [shard for shard in shards if not shard[0].exists()]
    done = len(shards) - len(missing)
    with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count()) as pool:
        for _ in pool.imap_unordered(_write_shard, missing):
            done += 1
            if progress:
                progress(done, len(shards))


_ENVS: dict[int, HouseholdEnv] = {}


def _write_shard(task: tuple[Path, int, int, int, int | None, dict]) -> None:
    path, first_seed, count, size, pictures, factors = task
    if size not in _ENVS:
        _ENVS[size] = HouseholdEnv(width=size, height=size)
    save_shard(
        path,
        [play_episode(_ENVS[size], seed, options={"factors": factors}, pictures=pictures) for seed in range(first_seed, first_seed + count)],
    )


PER_FRAME = ("robot", "dog", "objects", "held")
PER_STEP = ("actions", "contact", "success")  # of the steps between frames
PER_PICTURE = ("frames", "pictured")
ARRAYS = (*PER_FRAME, *PER_STEP, *PER_PICTURE)


def save_shard(path: Path, episodes: list[Episode]) -> None:
    """Arrays of all episodes end to end, and what can't be an array as JSON; written whole or not at all."""
    arrays = {name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in ARRAYS}
    notes = [{**episode.meta, "steps": len(episode.actions), "pictures": len(episode.frames), "phases": episode.phases} for episode in episodes]
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, notes=np.frombuffer(json.dumps(notes).encode(), np.uint8), **arrays)
    partial.rename(path)


def read_shard(path: Path) -> Iterator[Episode]:
    """The episodes of one shard, in their order."""
    with np.load(path, allow_pickle=False) as stored:
        notes = json.loads(stored["notes"].tobytes())
        whole = [np.arange(note["steps"] + 1) for note in notes]  # shards written before pictures could be left out
        arrays = {name: stored[name] if name in stored else np.concatenate(whole) for name in ARRAYS}
    frame = step = picture = 0
    for note in notes:
        steps, phases = note.pop("steps"), note.pop("phases")
        pictures = note.pop("pictures", steps + 1)
        parts = {
            **dict.fromkeys(PER_FRAME, slice(frame, frame + steps + 1)),
            **dict.fromkeys(PER_STEP, slice(step, step + steps)),
            **dict.fromkeys(PER_PICTURE, slice(picture, picture + pictures)),
        }
        yield Episode(**{name: arrays[name][part] for name, part in parts.items()}, phases=phases, meta=note)
        frame, step, picture = frame + steps + 1, step + steps, picture + pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=None, help="frames to render of each episode, enough for the grounder and the world model")
    parser.add_argument("--factors", type=json.loads, default={}, help='JSON, of all episodes, such as {"dog": "walking", "dog_place": "on_path"}')
    parser.add_argument("--lerobot", type=Path, default=None, help="also export to this directory in the LeRobot v2.1 layout")
    options = parser.parse_args()
    if options.pictures is not None and (options.pictures < 1 or options.lerobot):
        parser.error("--pictures takes at least 1, and a LeRobot dataset needs all frames")

    try:
        HouseholdFactors.from_dict(options.factors)
    except (TypeError, ValueError) as error:
        parser.error(f"--factors: {error}")

    def report(done: int, total: int) -> None:
        print(f"{done}/{total} shards", flush=True)

    collect(
        options.out,
        options.episodes,
        first_seed=options.first_seed,
        workers=options.workers,
        pictures=options.pictures,
        factors=options.factors,
        progress=report,
    )
    if options.lerobot:
        from .lerobot import export

        export(sorted(options.out.glob("shard-*.npz")), options.lerobot, progress=report)


if __name__ == "__main__":
    main()
