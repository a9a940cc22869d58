"""Export of demonstrations in the LeRobot v2.1 dataset layout, for everyone else's tools.

    meta/info.json  meta/tasks.jsonl  meta/episodes.jsonl  meta/episodes_stats.jsonl
    data/chunk-000/episode_000000.parquet
    videos/chunk-000/observation.images.room/episode_000000.mp4

Beyond the standard columns each frame carries `next.success` and `next.contact`, and each episode its skill and factors.
Episodes that are there are not written again, so an interrupted export resumes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .collect import Episode, read_shard

FPS = 3
CHUNK = 1000
CAMERA = "observation.images.room"
STATE_NAMES = ["x", "y", "yaw", "left_arm", "right_arm"]
ACTION_NAMES = ["vx", "vy", "left_arm", "right_arm", "gripper"]


def export(shards: list[Path], out: Path, *, progress: Callable[[int, int], None] | None = None) -> int:
    """Writes all episodes of `shards` and returns their number. `progress(done, total)` counts shards."""
    (out / "meta").mkdir(parents=True, exist_ok=True)
    tasks: dict[str, int] = {}
    rows, stats, frames, size = [], [], 0, 0
    for done, path in enumerate(shards, 1):
        for episode in read_shard(path):
            index = len(rows)
            task = tasks.setdefault(episode.meta["prompt"], len(tasks))
            columns = _columns(episode, index, frames, task)
            _write_parquet(out / _data_path(index), columns)
            _write_video(out / _video_path(index), episode.frames)
            length, size = len(episode.actions), episode.frames.shape[1]
            notes = {name: episode.meta[name] for name in ("skill", "factors", "seed")}
            rows.append(
                {
                    "episode_index": index,
                    "tasks": [episode.meta["prompt"]],
                    "length": length,
                    "success": bool(episode.success[-1]),
                    "contact": bool(episode.contact.any()),
                    **notes,
                }
            )
            stats.append({"episode_index": index, "stats": {name: _stats(columns[name]) for name in ("observation.state", "action")}})
            frames += length
        if progress:
            progress(done, len(shards))
    _write_lines(out / "meta" / "tasks.jsonl", [{"task_index": i, "task": text} for text, i in tasks.items()])
    _write_lines(out / "meta" / "episodes.jsonl", rows)
    _write_lines(out / "meta" / "episodes_stats.jsonl", stats)
    (out / "meta" / "info.json").write_text(json.dumps(_info(len(rows), frames, len(tasks), size), indent=2) + "\n")
    return len(rows)


def _columns(episode: Episode, index: int, first: int, task: int) -> dict[str, np.ndarray]:
    """One row per step: what was seen before it, and what was done."""
    steps = len(episode.actions)
    return {
        "observation.state": episode.robot[:-1],
        "action": episode.actions,
        "timestamp": np.arange(steps, dtype=np.float32) / FPS,
        "frame_index": np.arange(steps),
        "episode_index": np.full(steps, index),
        "index": first + np.arange(steps),
        "task_index": np.full(steps, task),
        "next.done": np.arange(steps) == steps - 1,
        "next.success": episode.success,
        "next.contact": episode.contact,
    }


def _write_parquet(path: Path, columns: dict[str, np.ndarray]) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: pa.array(list(value)) if value.ndim > 1 else pa.array(value) for name, value in columns.items()}
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table(arrays), partial)
    partial.rename(path)


def _write_video(path: Path, frames: np.ndarray) -> None:
    """All frames but the last, which no step leaves. H.264 at the frames' own size: by default the writer would resize."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.stem + ".partial.mp4")
    with imageio.get_writer(
        partial, fps=FPS, codec="libx264", pixelformat="yuv420p", macro_block_size=1, output_params=["-crf", "14", "-movflags", "+faststart"]
    ) as writer:
        for frame in frames[:-1]:
            writer.append_data(frame)
    partial.rename(path)


def _stats(values: np.ndarray) -> dict[str, list[float]]:
    described = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {name: np.round(value.astype(float), 6).tolist() for name, value in described.items()} | {"count": [len(values)]}


def _info(episodes: int, frames: int, tasks: int, size: int) -> dict:
    def scalar(kind: str) -> dict:
        return {"dtype": kind, "shape": [1], "names": None}

    features = {
        CAMERA: {
            "dtype": "video",
            "shape": [size, size, 3],
            "names": ["height", "width", "channel"],
            "info": {"video.fps": FPS, "video.codec": "h264", "video.pix_fmt": "yuv420p", "has_audio": False},
        },
        "observation.state": {"dtype": "float32", "shape": [len(STATE_NAMES)], "names": STATE_NAMES},
        "action": {"dtype": "float32", "shape": [len(ACTION_NAMES)], "names": ACTION_NAMES},
        "timestamp": scalar("float32"),
        **{name: scalar("int64") for name in ("frame_index", "episode_index", "index", "task_index")},
        **{name: scalar("bool") for name in ("next.done", "next.success", "next.contact")},
    }
    return {
        "codebase_version": "v2.1",
        "robot_type": "household",
        "total_episodes": episodes,
        "total_frames": frames,
        "total_tasks": tasks,
        "total_videos": episodes,
        "total_chunks": -(-episodes // CHUNK),
        "chunks_size": CHUNK,
        "fps": FPS,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": features,
    }


def _data_path(index: int) -> str:
    return f"data/chunk-{index // CHUNK:03d}/episode_{index:06d}.parquet"


def _video_path(index: int) -> str:
    return f"videos/chunk-{index // CHUNK:03d}/{CAMERA}/episode_{index:06d}.mp4"


def _write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
