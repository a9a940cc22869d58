"""Preferences on disk: the immutable input of a round, free of any database.

A directory holds

    clips.safetensors   latents f16 [N,T,C,h,w] and start_latents f16 [N,C,h,w], one row per clip
    preferences.json    {"prompts": [N strings], "rows": [...], "tie_rate": float, "judgements": [...]}
    replay.safetensors  (optional) real clips: latents, start_latents; prompts in preferences.json

and a row is ``{"winner": i, "loser": j, "tie": bool, "weight": w, "group": g, "segments": [[from, to], ...]
, "origin": "new" | "old", "mirrored": bool}`` with i and j rows of ``clips``, segments in future frames (0 .. T-1, both
ends included; empty means the whole clip) and ``group`` naming the start frame, by which training and
held-out pairs are split: two pairs of one start frame never stand on both sides. A mirrored row is another one as it looks in a
room that is turned over, left to right; it is learned from, never judged on.

A judgement is the answer itself, for the value head: ``{"a": i, "b": j, "answer": ..., "weight": w, "group": g, "success_a":
bool | None, "success_b": bool | None, "mirrored": bool}``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.learn.dpo import PairBatch, each_tensor

CLIPS, ROWS, REPLAY = "clips.safetensors", "preferences.json", "replay.safetensors"

# "slightly", "clearly", "much" better, and no strength given. The mean over a typical mix is near 1.
STRENGTH_WEIGHTS = {1: 0.7, 2: 1.0, 3: 1.3, None: 1.0}

# Of an answer's weight, what its segments get where the answer also judges the whole clip. The frames in which a clip
# becomes worse say where; the choice that led there was often made before them.
SEGMENT_SHARE = 0.25


@dataclass(frozen=True)
class Preference:
    """One answered comparison, or one segment of it, between clips ``winner`` and ``loser``."""

    winner: int
    loser: int
    group: str
    tie: bool = False
    weight: float = 1.0
    segments: tuple[tuple[int, int], ...] = ()
    origin: str = "new"
    mirrored: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "winner": self.winner,
            "loser": self.loser,
            "group": self.group,
            "tie": self.tie,
            "weight": self.weight,
            "segments": [list(segment) for segment in self.segments],
            "origin": self.origin,
            "mirrored": self.mirrored,
        }


def preferences_of_answer(
    *,
    a: int,
    b: int,
    answer: str,
    group: str,
    segments: list[dict[str, Any]],
    frames: int,
    strength: int | None = None,
    annotator_weight: float = 1.0,
    origin: str = "new",
) -> list[Preference]:
    """Turn one answer about clips a and b into training rows.

    A segment says that its side *became worse* there, so the other side wins those frames, whoever won the whole clip
    (DenseDPO, Wu et al. 2025, arXiv:2506.03517: most pairs hold winning and losing segments). An answer with segments
    is split between the whole clip and its segments (``SEGMENT_SHARE``), so that it counts once.

    Args:
        answer: "a", "b", "tie", "both_bad" or "cant_tell". Both bad names no better clip, so only its segments teach
            anything; can't tell names nothing at all.
        segments: ``{"side": "a" | "b", "from": i, "to": j}`` in displayed frames (0 is the start frame), both ends
            included.
        frames: number of future frames T.
        annotator_weight: trust in the annotator, >= 0.
    """
    weight = annotator_weight * STRENGTH_WEIGHTS.get(strength, 1.0)
    if weight <= 0 or answer == "cant_tell":
        return []
    whole: list[tuple[int, int, bool]] = []
    if answer in ("a", "b"):
        whole = [(a, b, False) if answer == "a" else (b, a, False)]
    elif answer == "tie":
        whole = [(a, b, True)]
    worse: dict[str, list[tuple[int, int]]] = {"a": [], "b": []}
    for segment in segments:
        # Displayed frame i is future frame i - 1; the shared start frame carries no preference.
        first, last = max(int(segment["from"]) - 1, 0), min(int(segment["to"]) - 1, frames - 1)
        if first <= last:
            worse[segment["side"]].append((first, last))
    marked = [(side, tuple(sorted(spans))) for side, spans in worse.items() if spans]
    share = 0.0 if not marked else SEGMENT_SHARE if whole else 1.0
    rows = [Preference(winner, loser, group, tie, weight * (1 - share), (), origin) for winner, loser, tie in whole]
    for side, spans in marked:
        winner, loser = (b, a) if side == "a" else (a, b)
        rows.append(Preference(winner, loser, group, False, weight * share / len(marked), spans, origin))
    return rows


@dataclass
class PreferenceData:
    """Preferences with the latents they are about, ready for training.

    Attributes:
        latents_NTCHW, start_NCHW: float32 latents of the clips.
        prompts: one per clip.
        rows: preferences over those clips.
        tie_rate: share of ties among the answers, which fixes Rao and Kupper's theta.
        judgements: the answers themselves, see the module.
        replay_MTCHW, replay_start_MCHW, replay_prompts: real pretraining clips; may be empty.
        own_C: bool, which channels of the latents preferences are about (``PairBatch``); None, all, when read from disk.
    """

    latents_NTCHW: Tensor
    start_NCHW: Tensor
    prompts: list[str]
    rows: list[Preference]
    tie_rate: float = 0.0
    replay_MTCHW: Tensor | None = None
    replay_start_MCHW: Tensor | None = None
    replay_prompts: list[str] = field(default_factory=list)
    judgements: list[dict[str, Any]] = field(default_factory=list)
    own_C: Tensor | None = None

    @property
    def frames(self) -> int:
        return self.latents_NTCHW.shape[1]

    def save(self, directory: Path) -> str:
        """Write the directory and return its content hash (see ``directory_hash``)."""
        directory.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                "latents": self.latents_NTCHW.half().contiguous(),
                "start_latents": self.start_NCHW.half().contiguous(),
            },
            directory / CLIPS,
        )
        if self.replay_MTCHW is not None and self.replay_start_MCHW is not None:
            save_file(
                {
                    "latents": self.replay_MTCHW.half().contiguous(),
                    "start_latents": self.replay_start_MCHW.half().contiguous(),
                },
                directory / REPLAY,
            )
        body = {
            "prompts": self.prompts,
            "rows": [row.to_dict() for row in self.rows],
            "tie_rate": self.tie_rate,
            "replay_prompts": self.replay_prompts,
            "judgements": self.judgements,
        }
        (directory / ROWS).write_text(json.dumps(body, sort_keys=True, separators=(",", ":")))
        return directory_hash(directory)

    @classmethod
    def load(cls, directory: Path) -> PreferenceData:
        """Read a directory.

        Raises:
            FileNotFoundError: if it is not one. ValueError: if its parts contradict each other.
        """
        body = json.loads((directory / ROWS).read_text())
        clips = load_file(directory / CLIPS)
        rows = [
            Preference(
                winner=row["winner"],
                loser=row["loser"],
                group=row["group"],
                tie=row["tie"],
                weight=row["weight"],
                segments=tuple(tuple(segment) for segment in row["segments"]),
                origin=row.get("origin", "new"),
                mirrored=row.get("mirrored", False),
            )
            for row in body["rows"]
        ]
        count = clips["latents"].shape[0]
        if len(body["prompts"]) != count:
            raise ValueError(f"{len(body['prompts'])} prompts for {count} clips")
        for row in rows:
            if not (0 <= row.winner < count and 0 <= row.loser < count):
                raise ValueError(f"a preference names a clip that is not there: {row}")
        data = cls(
            latents_NTCHW=clips["latents"].float(),
            start_NCHW=clips["start_latents"].float(),
            prompts=body["prompts"],
            rows=rows,
            tie_rate=body["tie_rate"],
            judgements=body.get("judgements", []),
        )
        if (directory / REPLAY).exists():
            replay = load_file(directory / REPLAY)
            data.replay_MTCHW = replay["latents"].float()
            data.replay_start_MCHW = replay["start_latents"].float()
            data.replay_prompts = body["replay_prompts"]
        return data

    def split(self, held_out: float, seed: int) -> tuple[list[int], list[int]]:
        """Split row indices into (training, held-out) by start frame, the same for the same seed.

        At least one group is held out when there are two or more; with one group nothing is.
        """
        groups = sorted({row.group for row in self.rows})
        order = sorted(groups, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).digest())
        count = max(1, round(held_out * len(groups))) if len(groups) > 1 and held_out > 0 else 0
        chosen = set(order[:count])
        train = [i for i, row in enumerate(self.rows) if row.group not in chosen]
        held = [i for i, row in enumerate(self.rows) if row.group in chosen and not row.mirrored]
        return train, held

    def mask(self, row: Preference) -> Tensor:
        """Frames that a row is about -> [T] of 0 and 1."""
        if not row.segments:
            return torch.ones(self.frames)
        mask_T = torch.zeros(self.frames)
        for first, last in row.segments:
            mask_T[first : last + 1] = 1.0
        return mask_T

    def batch(self, indices: list[int], text: TextTable) -> PairBatch:
        """Gather rows into a batch; weights are left as they are."""
        rows = [self.rows[i] for i in indices]
        winners, losers = [r.winner for r in rows], [r.loser for r in rows]
        return PairBatch(
            winner_PTCHW=self.latents_NTCHW[winners],
            loser_PTCHW=self.latents_NTCHW[losers],
            start_PCHW=self.start_NCHW[winners],
            text=text.rows([self.prompts[i] for i in winners]),
            tie_P=torch.tensor([float(r.tie) for r in rows]),
            weight_P=torch.tensor([r.weight for r in rows]),
            mask_PT=torch.stack([self.mask(r) for r in rows]),
            own_C=self.own_C,
        )


class TextTable:
    """Every prompt encoded once: the text encoder is frozen, its states never change."""

    def __init__(self, encode: Any, prompts: list[str]) -> None:
        self._index = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
        with torch.no_grad():
            self._states = encode(list(self._index)) if self._index else None

    def rows(self, prompts: list[str]) -> Any:
        index = [self._index[prompt] for prompt in prompts]
        return each_tensor(self._states, lambda states: states[index])


def file_hash(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def directory_hash(directory: Path) -> str:
    """sha256 over the names and contents of a preference directory: the snapshot's identity."""
    total = hashlib.sha256()
    for name in (CLIPS, ROWS, REPLAY):
        if (directory / name).exists():
            total.update(f"{name}:{file_hash(directory / name)}\n".encode())
    return total.hexdigest()
