"""The snapshot of a round: choices out of the database into the files that `training.learn` reads."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from django.conf import settings as site_settings
from safetensors.torch import load as safetensors_load

from core.events import publish
from core.jobs import JobContext
from core.media import blob_bytes, blob_path, blob_store
from labeling.selectors import ChoiceRow, choices_for_round
from rollouts.dreams import motion
from rollouts.dreams.codec import Codec
from rollouts.images import png_decode, scaled
from rollouts.models import PolicyVersion, Rollout, StartFrame
from rollouts.services import policy_load
from rollouts.worlds.household.tasks import holds_in_mirror
from training.learn.preferences import CLIPS, REPLAY, ROWS, Preference, PreferenceData, preferences_of_answer
from training.learn.replay import replay_clips
from training.models import Round, RoundSnapshot
from training.services.errors import TrainingError
from training.services.round_settings import MIN_CHOICES, RoundSettings

BINARY = "application/octet-stream"


def work_directory(row: Round) -> Path:
    """Where a round keeps its checkpoints. Hosts that share DREAMFORK_HOME resume each other's; others start the stage again."""
    return Path(site_settings.HOME) / "rounds" / str(row.pk)


def snapshot_directory(snapshot: RoundSnapshot) -> Path:
    """Lay the snapshot's files out under their names, as `PreferenceData.load` wants them."""
    target = work_directory(snapshot.round) / "preferences"
    target.mkdir(parents=True, exist_ok=True)
    files = {CLIPS: snapshot.clips_id, ROWS: snapshot.preferences_id, REPLAY: snapshot.replay_id}
    for name, sha256 in files.items():
        if sha256 and not (target / name).exists():
            shutil.copyfile(blob_path(sha256), target / f"{name}.part")
            (target / f"{name}.part").replace(target / name)
    return target


def snapshot_take(*, row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    """Read the choices that match, gather their clips, collect real clips to replay, and fix all of it.

    1. The choices of the filter, in their stable order, with annotator weights.
    2. Answers about rollouts of another codec are left out: their latents mean something else to this parent.
    3. Every answer becomes zero or more preferences (`preferences_of_answer`); answers given before the parent existed
       count as old ones. What holds in a mirror is learned there, too: a preference about a dog on the left is one about a dog on the right.
    4. Files are stored by their hash and named by a row that cannot change.

    Returns the counts. Raises TrainingError if too little is left to learn from.
    """
    choices = choices_for_round(settings.choice_filter(), weighting=settings.weighting)
    counts: dict[str, Any] = {"choices": len(choices), "skipped": Counter()}
    usable = usable_rollouts(choices, row.parent)
    if sum(choice.rollout_a in usable and choice.rollout_b in usable for choice in choices) < MIN_CHOICES:
        raise TrainingError(
            f"Of {len(choices)} choices fewer than {MIN_CHOICES} are about rollouts of “{row.parent.name}”'s codec; the others' latents mean something "
            "else to it. Sample rollouts from this version and label them.",
            "too_few_choices",
        )
    policy = policy_load(row.parent)
    pool = ClipPool(policy.codec)
    mirrored: list[Preference] = []
    preferences: list[Preference] = []
    answers: Counter[str] = Counter()
    judged: list[dict[str, Any]] = []
    for number, choice in enumerate(choices):
        if number % 20 == 0:
            ctx.progress(number, len(choices) * 2, f"{number} of {len(choices)} choices")
        if choice.rollout_a not in usable or choice.rollout_b not in usable:
            counts["skipped"]["other codec"] += 1
            continue
        answers[choice.answer] += 1
        if choice.answer == "cant_tell":
            counts["skipped"]["can't tell"] += 1
            continue
        a, b = pool.add(usable[choice.rollout_a]), pool.add(usable[choice.rollout_b])
        rows = preferences_of_answer(
            a=a,
            b=b,
            answer=choice.answer,
            group=str(choice.start_frame),
            segments=choice.segments,
            frames=usable[choice.rollout_a].frame_count - 1,
            strength=choice.strength,
            annotator_weight=choice.weight,
            origin="old" if choice.created_at and choice.created_at < row.parent.created_at else "new",
        )
        if not rows:
            counts["skipped"]["no preference (both bad, or no weight)"] += 1
        preferences += rows
        judged.append(judgement(choice, a, b))
        if settings.mirror and holds_in_mirror(usable[choice.rollout_a].prompt):
            over = {clip: pool.add(usable[rollout], mirrored=True) for clip, rollout in ((a, choice.rollout_a), (b, choice.rollout_b))}
            mirrored += [replace(one, winner=over[one.winner], loser=over[one.loser], mirrored=True) for one in rows]
            judged.append({**judgement(choice, over[a], over[b]), "mirrored": True})
    decided = answers["a"] + answers["b"] + answers["tie"]
    if len(preferences) < MIN_CHOICES:
        raise TrainingError(f"{len(preferences)} preferences are left of {len(choices)} choices; a round needs at least {MIN_CHOICES}.", "too_few_choices")
    replay = replay_start = None
    prompts: list[str] = []
    if settings.replay_clips:
        done = len(choices)
        replay, replay_start, prompts = replay_clips(
            policy.codec,
            settings.replay_clips,
            horizon=pool.latents[0].shape[0],
            seed=settings.dpo.seed,
            progress=lambda k, n: ctx.progress(done + done * k / n, done * 2, f"{k} of {n} clips to replay"),
        )
    data = PreferenceData(
        latents_NTCHW=torch.stack(pool.latents),
        start_NCHW=torch.stack([pool.starts[key] for key in pool.start_of]),
        prompts=pool.prompts,
        rows=preferences + mirrored,
        tie_rate=answers["tie"] / decided if decided else 0.0,
        replay_MTCHW=replay,
        replay_start_MCHW=replay_start,
        replay_prompts=prompts,
        judgements=judged,
    )
    directory = work_directory(row) / "preferences"
    shutil.rmtree(directory, ignore_errors=True)
    sha256 = data.save(directory)
    counts |= {
        "answers": dict(answers),
        "pairs": len(preferences),
        "ties": sum(p.tie for p in preferences),
        "segments": sum(bool(p.segments) for p in preferences),
        "old": sum(p.origin == "old" for p in preferences),
        "mirrored": len(mirrored),
        "annotators": len({choice.annotator for choice in choices}),
        "simulated": sum(choice.is_simulated for choice in choices),
        "start_frames": len({frame for frame, over in pool.starts if not over}),
        "clips": len({rollout for rollout, over in pool.index if not over}),
        "replay": len(prompts),
        "skipped": dict(counts["skipped"]),
    }
    blobs = {name: blob_store(directory / name, BINARY, audience="researchers") for name in (CLIPS, ROWS)}
    if replay is not None:
        blobs[REPLAY] = blob_store(directory / REPLAY, BINARY, audience="researchers")
    listed = blob_store(json.dumps([str(choice.choice) for choice in choices]).encode(), "application/json", audience="researchers")
    with ctx.fence():
        snapshot, made = RoundSnapshot.objects.get_or_create(
            round=row,
            defaults={
                "sha256": sha256,
                "clips": blobs[CLIPS],
                "preferences": blobs[ROWS],
                "replay": blobs.get(REPLAY),
                "choices": listed,
                "counts": counts,
            },
        )
        if made:
            publish(row.topic, "snapshot", {"sha256": snapshot.sha256, **counts})
    if not made:  # an attempt before this one wrote it, then died: what it wrote counts
        shutil.rmtree(directory, ignore_errors=True)
    return snapshot.counts


def judgement(choice: ChoiceRow, a: int, b: int) -> dict[str, Any]:
    """What the value head learns from a choice: also ties, both bad, and whether each rollout did the task."""
    return {
        "a": a,
        "b": b,
        "answer": choice.answer,
        "weight": choice.weight,
        "group": str(choice.start_frame),
        "success_a": choice.success_a,
        "success_b": choice.success_b,
        "mirrored": False,
    }


def usable_rollouts(choices: list[ChoiceRow], parent: PolicyVersion) -> dict[int, Rollout]:
    """Rollouts of these choices whose latents come from the parent's codec."""
    ids = {choice.rollout_a for choice in choices} | {choice.rollout_b for choice in choices}
    codec = parent.components.get("codec")
    rows = Rollout.objects.filter(pk__in=ids).select_related("policy_version", "start_frame")
    return {row.pk: row for row in rows if row.policy_version.components.get("codec") == codec}


class ClipPool:
    """Each rollout's latents once, each start frame's once, in the order of first use; and once more for each that is needed as it looks
    in a mirror."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.index: dict[tuple[int, bool], int] = {}
        self.latents: list[torch.Tensor] = []
        self.prompts: list[str] = []
        self.start_of: list[tuple[int, bool]] = []
        self.starts: dict[tuple[int, bool], torch.Tensor] = {}

    def add(self, rollout: Rollout, *, mirrored: bool = False) -> int:
        key, start = (rollout.pk, mirrored), (rollout.start_frame_id, mirrored)
        if key not in self.index:
            self.index[key] = len(self.latents)
            codes = safetensors_load(blob_bytes(rollout.latents_id))["latents"].float()
            self.latents.append(motion.mirrored(codes) if mirrored else codes)
            self.prompts.append(rollout.prompt)
            self.start_of.append(start)
            if start not in self.starts:
                self.starts[start] = self.encode(rollout.start_frame, mirrored)
        return self.index[key]

    @torch.no_grad()
    def encode(self, frame: StartFrame, mirrored: bool) -> torch.Tensor:
        # As the sampler saw it: frames are scaled to the size that the codec knows.
        pixels = torch.from_numpy(scaled(png_decode(blob_bytes(frame.image_id)), self.codec.config.size).copy())
        return self.codec.encode((pixels.flip(1) if mirrored else pixels)[None])[0].float()


def snapshot_stage(*, row: Round, settings: RoundSettings, ctx: JobContext) -> tuple[dict[str, Any], float]:
    """Take the snapshot unless it is there; returns (counts, seconds)."""
    started = time.monotonic()
    existing = RoundSnapshot.objects.filter(round=row).first()
    counts = existing.counts if existing else snapshot_take(row=row, settings=settings, ctx=ctx)
    return counts, time.monotonic() - started
