"""An export on disk: JSONL, parquet parts, the data card and, if asked for, the videos. Interrupted, it goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pyarrow.parquet as pq

from labeling.selectors.rounds import ChoiceFilter, live_choices

from .card import data_card
from .media import video_write
from .rows import export_rows, settled_now, video_path
from .streams import jsonl_stream, parquet_table

PART_ROWS = 50_000
STATE = "export-state.json"
FORMATS = ("jsonl", "parquet")


class ExportExists(Exception):
    """The directory holds an export already; the message says what to do."""


def export_to_directory(
    directory: Path,
    where: ChoiceFilter,
    *,
    formats: tuple[str, ...] = FORMATS,
    until: datetime | None = None,
    names: bool = False,
    media: bool = False,
    resume: bool = False,
    part_rows: int = PART_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Write choices.jsonl, choices-00000.parquet, ..., README.md and videos/ into `directory`.

    The state file names the last row that is surely on disk; `resume` cuts off what came after it and goes on with the same filter and end.
    Returns {"rows", "files", "until"}.
    Raises ExportExists when the directory holds an export and `resume` is not set, or one with another filter when it is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state_path = directory / STATE
    settings = json.loads(json.dumps({"where": asdict(where), "formats": sorted(formats), "names": names, "media": media}, default=str))
    state = _state(state_path, settings, until, resume)
    end = datetime.fromisoformat(state["until"])
    total = live_choices(where).filter(created_at__lt=end).count()
    jsonl = directory / "choices.jsonl"
    if "jsonl" in formats:
        with jsonl.open("ab") as file:
            file.truncate(state["jsonl_bytes"])
    after = UUID(state["last"]) if state["last"] else None
    waiting: list[dict] = []
    for batch in export_rows(where, until=end, after=after, names=names, batch=min(1000, part_rows)):
        if media:
            _write_videos(directory, batch)
        waiting += batch
        if len(waiting) >= part_rows:
            _flush(directory, state_path, state, waiting, formats)
            waiting = []
        if progress is not None:
            progress(state["rows"] + len(waiting), total)
    if waiting:
        _flush(directory, state_path, state, waiting, formats)
    if "parquet" in formats and not state["parts"]:
        pq.write_table(parquet_table([]), directory / "choices-00000.parquet", compression="zstd")
    (directory / "README.md").write_text(data_card(where, until=end))
    state["finished"] = True
    _save(state_path, state)
    return {"rows": state["rows"], "files": sorted(path.name for path in directory.iterdir() if path.is_file()), "until": state["until"]}


def _write_videos(directory: Path, rows: list[dict]) -> None:
    for row in rows:
        for letter in "AB":
            sprite = row[f"sprite_sha256_{letter}"]
            video_write(directory / video_path(sprite), sprite, row[f"num_frames_{letter}"], row[f"fps_{letter}"])


def _state(path: Path, settings: dict, until: datetime | None, resume: bool) -> dict:
    if path.exists():
        state = json.loads(path.read_text())
        if not resume:
            raise ExportExists(f"{path.parent} holds an export already. Go on with it by --resume, or choose another directory.")
        if state["settings"] != settings:
            raise ExportExists(f"{path.parent} holds an export with other settings. Choose another directory.")
        return state
    return {
        "settings": settings, "until": (until or settled_now()).isoformat(), "last": None, "rows": 0, "parts": 0, "jsonl_bytes": 0, "finished": False,
    }  # fmt: skip


def _flush(directory: Path, state_path: Path, state: dict, rows: list[dict], formats: tuple[str, ...]) -> None:
    if "parquet" in formats:
        part = directory / f"choices-{state['parts']:05d}.parquet"
        pq.write_table(parquet_table(rows), part.with_suffix(".partial"), compression="zstd")
        os.replace(part.with_suffix(".partial"), part)
        state["parts"] += 1
    if "jsonl" in formats:
        with (directory / "choices.jsonl").open("ab") as file:
            for block in jsonl_stream([rows]):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            state["jsonl_bytes"] = file.tell()
    state["last"], state["rows"] = rows[-1]["choice"], state["rows"] + len(rows)
    _save(state_path, state)


def _save(path: Path, state: dict) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(state, indent=1))
    os.replace(partial, path)
