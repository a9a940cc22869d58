"""Demonstrations in memory, and clips (windows of T + 1 frames) drawn from them.

All frames of all episodes lie end to end in a few large tensors, on the device that trains; a clip is an index.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from rollouts.dreams.motion import Places, codes_between
from rollouts.dreams.motion import mirrored as turned_over
from rollouts.dreams.text import CLAUSE_TOKENS, TEXT_WIDTH, normalise, pool, split

from .collect import read_shard

PLAN_STRIDE = 3  # steps per plan clause: one second


@dataclass
class Clips:
    """F frames and E episodes.

    frames uint8 [P, H, W, 3]: pictures, of all frames or of some; picture int64 [F]: a frame's row in them, -1 for none;
    actions [F, 5], contact [F], success [F], phase [F]: of the step that leaves the frame (the last frame of an episode repeats
    the step before); robot [F, 5], dog [F, 3], objects [F, 12, 2]: nan when absent; held bool [F]; episode int64 [F];
    starts int64: frames with a picture from which a whole clip fits; prompt int64 [E, 2] and scene int64 [E, 12]:
    clause indices, -1 for none; mat [E, 2]; latents (after `encode`) [F, C, h, w]; codec: what `seen` encodes with where
    nothing is encoded yet.
    """

    frames: torch.Tensor
    picture: torch.Tensor
    actions: torch.Tensor
    contact: torch.Tensor
    success: torch.Tensor
    phase: torch.Tensor
    robot: torch.Tensor
    dog: torch.Tensor
    objects: torch.Tensor
    held: torch.Tensor
    episode: torch.Tensor
    starts: torch.Tensor
    prompt: torch.Tensor
    scene: torch.Tensor
    mat: torch.Tensor
    meta: list[dict]
    horizon: int
    latents: torch.Tensor | None = None
    words: ClauseTable | None = None
    codec: torch.nn.Module | None = None

    @property
    def device(self) -> torch.device:
        return self.frames.device

    @property
    def whole(self) -> bool:
        """Whether every frame has a picture. Without, the grounder and the world model can be trained, and nothing else."""
        return len(self.frames) == len(self.picture)

    def to(self, device: torch.device | str) -> Clips:
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.to(device))
        return self

    def window(self, starts: torch.Tensor) -> torch.Tensor:
        """Frame indices [B, horizon + 1] of the clips that begin at `starts` [B]."""
        return starts[:, None] + torch.arange(self.horizon + 1, device=starts.device)

    def draw(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """`count` clip starts, uniformly."""
        return self.starts[torch.randint(len(self.starts), (count,), generator=generator, device=self.starts.device)]

    @torch.no_grad()
    def encode(self, codec: torch.nn.Module, batch: int = 256, cache: Path | None = None) -> Clips:
        """Fills `latents`, float16. With `cache` they are kept in that file and read from it where it fits these frames and
        this codec: encoding takes minutes, and every stage of pretraining needs it. Raises ValueError where pictures are missing."""
        if not self.whole:
            raise ValueError("some frames of these episodes have no picture (collect --pictures)")
        self.codec = codec
        key = _cache_key(codec, self)
        if cache is not None and cache.exists():
            with safe_open(cache, "pt") as file:
                if file.metadata().get("key") == key:
                    self.latents = file.get_tensor("latents").to(self.device)
                    return self
        self.latents = torch.cat([codec.encode(part).half().contiguous() for part in self.frames.split(batch)])
        if cache is not None:
            save_file({"latents": self.latents.cpu().contiguous()}, cache, metadata={"key": key})
        return self

    @torch.no_grad()
    def seen(self, frames: torch.Tensor, mirrored: torch.Tensor | None = None) -> torch.Tensor:
        """Latents float32 [B, C, h, w] of the frames of these indices [B]: from `latents`, or encoded now, for whoever needs few of many
        frames. Where `mirrored` bool [B] is true, the picture is turned over, left to right, and encoded."""
        if self.latents is not None and mirrored is None:
            return self.latents[frames].float()
        assert self.codec is not None, "neither latents nor a codec: call encode"
        pictures = self.frames[self.picture[frames]]
        if mirrored is not None:
            pictures = torch.where(mirrored[:, None, None, None], pictures.flip(2), pictures)
        return self.codec.encode(pictures).float()

    def places(self, frames: torch.Tensor) -> Places:
        """Where things are in the frames of these indices [B], as they really were."""
        return places_of(self.robot[frames], self.dog[frames], self.objects[frames], self.held[frames])

    def motion(self, starts: torch.Tensor, mirrored: torch.Tensor | None = None) -> torch.Tensor:
        """Motion codes float32 [B, T, Z, 1, 1] of the clips that begin at `starts` [B], as things really moved, or moved in a mirror
        where `mirrored` bool [B] is true."""
        future = self.window(starts)[:, 1:]
        codes = codes_between(self.places(starts).repeat_interleave(self.horizon), self.places(future.flatten()))
        codes = codes.view(*future.shape, -1, 1, 1)
        return codes if mirrored is None else torch.where(mirrored[:, None, None, None, None], turned_over(codes), codes)


def places_of(robot: torch.Tensor, dog: torch.Tensor, objects: torch.Tensor, held: torch.Tensor) -> Places:
    """What `Episode` tells of frames: robot [B, 5], dog [B, 3], objects [B, 12, 2], nan where absent, and held bool [B]."""
    xy = torch.cat([robot[:, None, :2], dog[:, None, :2], objects], 1)
    heading = torch.stack([dog[:, 2].cos(), dog[:, 2].sin()], -1).nan_to_num(1.0)
    facing = torch.stack([robot[:, 2].cos(), robot[:, 2].sin()], -1)
    return Places((~xy[..., 0].isnan()).float(), xy.nan_to_num(), heading, facing, robot[:, 3:5], held.float())


def _cache_key(codec: torch.nn.Module, clips: Clips) -> str:
    digest = hashlib.sha256()
    for value in codec.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    digest.update(json.dumps([len(clips.frames), [m["seed"] for m in clips.meta]]).encode())
    return digest.hexdigest()


class ClauseTable:
    """Clause encodings as one tensor [n + 1, CLAUSE_TOKENS, TEXT_WIDTH] on the device; row n is empty (index -1)."""

    def __init__(self, table: dict[str, np.ndarray], device: torch.device | str = "cpu"):
        self.index = {clause: i for i, clause in enumerate(sorted(table))}
        states = np.zeros((len(table) + 1, CLAUSE_TOKENS, TEXT_WIDTH), np.float16)
        lengths = np.zeros(len(table) + 1, np.int64)
        for clause, i in self.index.items():
            states[i, : len(table[clause])] = table[clause]
            lengths[i] = len(table[clause])
        self.states = torch.from_numpy(states).to(device)
        self.lengths = torch.from_numpy(lengths).to(device)
        means = [pool(table[clause])[0] for clause in self.index] + [np.zeros(TEXT_WIDTH, np.float16)]
        self.pooled = torch.from_numpy(np.stack(means)).to(device)

    def find(self, text: str) -> list[int]:
        """Raises KeyError for a clause that is not in the table."""
        return [self.index[clause] for clause in split(text)]

    def pack(self, whole: torch.Tensor | None, pooled: torch.Tensor, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Clause indices int64 [B, K] and [B, P], -1 for none -> token states float32 [B, limit, TEXT_WIDTH] and mask bool
        [B, limit]: all tokens of the `whole` clauses, then one for each `pooled` clause. The length never varies, which
        compiled networks need; what is over the limit is cut."""
        parts = [(self.pooled[pooled][:, :, None], (pooled >= 0)[:, :, None])]
        if whole is not None:
            position = torch.arange(CLAUSE_TOKENS, device=whole.device)
            parts.insert(0, (self.states[whole], position < self.lengths[whole][..., None]))
        states = torch.cat([s.flatten(1, 2).float() for s, _ in parts], 1)
        mask = torch.cat([m.flatten(1, 2) for _, m in parts], 1)
        short = max(0, limit - mask.shape[1])
        states, mask = F.pad(states, (0, 0, 0, short)), F.pad(mask, (0, short))
        order = torch.argsort(~mask, dim=1, stable=True)[:, :limit]
        kept = mask.gather(1, order)
        return states.gather(1, order[..., None].expand(-1, -1, TEXT_WIDTH)) * kept[..., None], kept


def clause_indices(texts: list[list[str]], table: ClauseTable, width: int) -> torch.Tensor:
    rows = torch.full((len(texts), width), -1, dtype=torch.int64)
    for row, clauses in zip(rows, texts, strict=True):
        found = [index for text in clauses for index in table.find(text)][:width]
        row[: len(found)] = torch.tensor(found, dtype=torch.int64)
    return rows


def load_clips(shards: list[Path], words: ClauseTable | None, horizon: int = 12) -> Clips:
    """Raises FileNotFoundError where there are no shards."""
    if not shards:
        raise FileNotFoundError("no episode shards: run collect first")
    names = ("frames", "actions", "contact", "success", "phase", "robot", "dog", "objects", "held", "episode")
    columns: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "picture")}
    starts, meta, offset, pictures = [], [], 0, 0
    for path in shards:
        for episode in read_shard(path):
            steps = len(episode.actions)
            again = np.minimum(np.arange(steps + 1), steps - 1)  # the step that leaves each frame
            phases = np.array([words.index[normalise(p)] if words else -1 for p in episode.phases], np.int64)
            rows = np.full(steps + 1, -1)
            rows[episode.pictured] = pictures + np.arange(len(episode.pictured))
            for name, value in (
                ("frames", episode.frames),
                ("picture", rows),
                ("actions", episode.actions[again]),
                ("contact", episode.contact[again]),
                ("success", episode.success[again]),
                ("phase", phases[again]),
                ("robot", episode.robot),
                ("dog", episode.dog),
                ("objects", episode.objects),
                ("held", episode.held),
                ("episode", np.full(steps + 1, len(meta), np.int64)),
            ):
                columns[name].append(value)
            starts.append(offset + episode.pictured[episode.pictured <= steps - horizon])
            meta.append(episode.meta)
            offset += steps + 1
            pictures += len(episode.pictured)
    tensors = {name: torch.from_numpy(np.concatenate(values)) for name, values in columns.items()}
    columns.clear()
    nothing = torch.full((len(meta), 1), -1)
    prompts = clause_indices([[m["prompt"]] for m in meta], words, 2) if words else nothing
    scenes = clause_indices([m["scene"] for m in meta], words, 12) if words else nothing
    mats = torch.tensor([m["mat"] for m in meta], dtype=torch.float32)
    return Clips(**tensors, starts=torch.from_numpy(np.concatenate(starts)), prompt=prompts, scene=scenes, mat=mats, meta=meta, horizon=horizon, words=words)


def clip_text(
    clips: Clips, starts: torch.Tensor, limit: int, *, plan: float, generator: torch.Generator | None = None, unplanned: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token states and mask of the prompts of clips; a share `plan` of them, none of those where `unplanned` bool [B] is true, is followed by
    what the demonstrator does in each second of the clip (caption upsampling, see `rollouts/dreams/captions.py`)."""
    assert clips.words is not None
    prompts = clips.prompt[clips.episode[starts]]
    seconds = torch.arange(0, clips.horizon, PLAN_STRIDE, device=starts.device) + 1
    plans = clips.phase[starts[:, None] + seconds]
    with_plan = torch.rand(len(starts), 1, generator=generator, device=starts.device) < plan
    if unplanned is not None:
        with_plan = with_plan & ~unplanned[:, None]
    plans = torch.where(with_plan, plans, -1)
    return clips.words.pack(prompts, plans, limit)
