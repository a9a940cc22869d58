"""Pretraining of the value head on the outcomes of demonstrations, before any person has chosen anything.

    python -m training.learn.value --data data/household --weights rollouts/weights/base

The world model is frozen; its features of noised clips are computed once. Targets: a clip in which the dog is touched is
worth 0; otherwise it is worth GAMMA ** (steps from its end to success), 0 if success never comes (Monte Carlo discounted
terminal reward, as in Cosmos Policy). The success probability fits that by cross-entropy; the preference score fits which
of two clips is worth more (Bradley & Terry 1952). A clip that stands frozen though its task is open is worth 0.

Half of the clips are twins: the openings of two episodes that share their start and prompt. Choosing among dreams of one start is what
the score is for, and pairs of other starts teach mostly how hard a start is.

With `--dreams K`, dreams of K start frames are played in the world and learned from as well (`executed.py`): a demonstrator that meets a dog
pushes it, a dream walks through it, and a head that has seen demonstrations only does not know what to make of that.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from rollouts.dreams import weights
from rollouts.dreams.geometry import GEOMETRY, geometry, touched
from rollouts.dreams.motion import MotionCodec, codes_between
from rollouts.dreams.policy import Policy
from rollouts.dreams.precision import autocast
from rollouts.dreams.transformer import VideoTransformer
from rollouts.dreams.value_head import ValueHead, shared_noise

from .clips import Clips, clip_text, load_clips
from .evaluate import EpisodeSpec
from .executed import executed_dreams
from .pretrain import clause_table, split_shards
from .suites import DOG_SCENES, ORDINARY_SCENES, draw_prompt

GAMMA = 0.93
DREAM_SEED = 600_000_000  # of episodes whose frames are dreamed from, far from those of pretraining, replay and evaluations
DREAMS_EACH = 4
FROZEN_SHARE = 0.1
BLIND_SHARE = 0.3  # of a batch whose world model features are not shown, so that geometry is learned from, too
NOISE_DRAWS = 4


@dataclass
class ValueData:
    """features float16 [N, tokens, D] of clips, target float32 [N] in 0..1, frozen bool [N], twin int64 [N]: the row of the clip
    that has the same start and prompt; its own row for a clip without one."""

    features: torch.Tensor
    target: torch.Tensor
    frozen: torch.Tensor
    twin: torch.Tensor


def clip_values(clips: Clips, starts: torch.Tensor) -> torch.Tensor:
    """Targets [B] in 0..1 of the clips that begin at `starts`."""
    steps = clips.window(starts)[:, :-1]
    contact = clips.contact[steps].any(1)
    last = steps[:, -1]
    # Steps until success, counted along the episode; beyond its end it never comes.
    horizon = torch.arange(40, device=starts.device)
    ahead = (last[:, None] + horizon).clamp(max=len(clips.success) - 1)
    same = clips.episode[ahead] == clips.episode[last][:, None]
    reached = clips.success[ahead] & same
    first = torch.where(reached.any(1), reached.float().argmax(1), 10_000)
    return torch.where(contact, 0.0, GAMMA ** first.float())


@torch.no_grad()
def value_data(head: ValueHead, model: VideoTransformer, motion: MotionCodec, clips: Clips, count: int, *, seed: int, batch: int = 64) -> ValueData:
    """`count` clips (an even number): half of them random, half twins."""
    assert clips.latents is not None
    generator = torch.Generator().manual_seed(seed)
    first, second = twin_starts(clips)
    pick = torch.randint(len(first), (count // 4,), generator=generator)
    alone = clips.draw(count - 2 * len(pick), generator)
    starts = torch.cat([alone, first[pick], second[pick]])
    row, pairs = torch.arange(count), len(pick)
    twin = torch.cat([row[: len(alone)], row[len(alone) :].roll(pairs)])
    frozen = torch.rand(count, generator=generator) < FROZEN_SHARE
    target = clip_values(clips, starts)
    solved = clips.success[starts]
    target = torch.where(frozen & ~solved, 0.0, target)
    noises = shared_noise(model.config.latent_shape, draws=NOISE_DRAWS)
    features = []
    for index, (part, still) in enumerate(zip(starts.split(batch), frozen.split(batch), strict=True)):
        start = clips.latents[part].float()
        places = clips.places(part)
        future = torch.where(still[:, None, None, None, None], codes_between(places, places)[:, None, :, None, None], clips.motion(part))
        text, mask = clip_text(clips, part, model.config.text_tokens, plan=0.0, generator=generator)
        with autocast(clips.device):
            context = model.encode_context(start, text, mask)
            tokens = head.read(model, future, motion.seen(future, start), context, noises[index % NOISE_DRAWS])
        features.append(tokens.half())
    return ValueData(torch.cat(features), target, frozen, twin)


def dream_specs(count: int) -> list[EpisodeSpec]:
    """Episodes to dream from: each dog scene and the ordinary one in turn, to go or to bring."""
    specs = []
    for index in range(count):
        _, factors = (*DOG_SCENES, *ORDINARY_SCENES)[index % 4]
        prompt = draw_prompt(np.random.default_rng([index, 23]), (("go", 0.8), ("bring", 0.2)))
        specs.append(EpisodeSpec(prompt, DREAM_SEED + index, dict(factors)))
    return specs


@torch.no_grad()
def dream_data(head: ValueHead, policy: Policy, specs: list[EpisodeSpec], *, patience: int = 40) -> ValueData:
    """Dreams of these episodes, DREAMS_EACH of a frame, worth what a clip is: 0 where the dog is touched, in the world or before the eyes of
    whoever sees the dream, or a careful demonstrator does not finish within `patience` steps, else GAMMA ** (steps it needs). A dream's twin
    is another one of its frame."""

    def tell(done: int, total: int) -> None:
        if done % 80 == 0:
            print(f"dreams of {done} of {total} frames", flush=True)

    played = list(executed_dreams(policy, specs, DREAMS_EACH, lead=8, patience=patience, progress=tell))
    target = torch.tensor([0.0 if one.touched or one.steps_left is None else GAMMA**one.steps_left for one in played])
    noises = shared_noise(policy.world_model.config.latent_shape, draws=NOISE_DRAWS)
    features, shown = [], []
    for first in range(0, len(played), 64):
        part = played[first : first + 64]
        starts = torch.stack([one.start for one in part])
        context = policy.context(starts, [one.prompt for one in part])
        with autocast(policy.device):
            latents = torch.stack([one.latents for one in part])
            seen = policy.motion.seen(latents, starts)
            features.append(head.read(policy.world_model, latents, seen, context, noises[first // 64 % NOISE_DRAWS]).half())
        shown.append(touched(geometry(seen, context)))
    twin = torch.arange(len(played)).view(-1, DREAMS_EACH).roll(-1, 1).flatten()
    target = torch.where(torch.cat(shown), 0.0, target)
    return ValueData(torch.cat(features), target, torch.zeros(len(played), dtype=torch.bool), twin)


def joined(one: ValueData, other: ValueData) -> ValueData:
    """Both, the rows of `one` first."""
    return ValueData(
        torch.cat([one.features, other.features]),
        torch.cat([one.target, other.target]),
        torch.cat([one.frozen, other.frozen]),
        torch.cat([one.twin, other.twin + len(one.twin)]),
    )


def twin_starts(clips: Clips) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip starts of the openings of episodes that `collect` played from the same start: two of [K]."""
    opening = torch.ones(len(clips.episode), dtype=torch.bool)
    opening[1:] = clips.episode[1:] != clips.episode[:-1]
    by_seed = {clips.meta[int(clips.episode[start])]["seed"]: int(start) for start in clips.starts[opening[clips.starts]]}
    pairs = [(start, by_seed[seed + 1]) for seed, start in by_seed.items() if seed % 2 == 0 and seed + 1 in by_seed]
    first, second = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    return first, second


def value_loss(head: ValueHead, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of success plus Bradley-Terry over all pairs of the batch whose targets differ, plus the same over twins: rows
    i and B/2 + i."""
    success, score = head(features)

    def preference(a: torch.Tensor, b: torch.Tensor, gap: torch.Tensor) -> torch.Tensor:
        differ = (gap.abs() > 0.05).float()
        return (F.softplus((b - a) * gap.sign()) * differ).sum() / differ.sum().clamp(min=1)

    every = preference(score[:, None], score[None], target[:, None] - target[None])
    (a, b), (target_a, target_b) = score.chunk(2), target.chunk(2)
    return F.binary_cross_entropy_with_logits(success, target) + 0.5 * every + 0.5 * preference(a, b, target_a - target_b)


def train_value_head(head: ValueHead, data: ValueData, *, steps: int, batch: int = 64, lr: float = 5e-4, seed: int = 0) -> ValueHead:
    """Trains a geometric head. Returns the moving average of the head's weights."""
    average = copy.deepcopy(head).requires_grad_(False)
    optimiser = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 50) * max(0.02, 1 - step / steps))
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        pick = torch.randint(len(data.target), (batch // 2,), generator=generator)
        pick = torch.cat([pick, data.twin[pick]])
        features = data.features[pick].float()
        features[..., :-GEOMETRY] *= torch.rand(batch, 1, 1, generator=generator) > BLIND_SHARE
        loss = value_loss(head, features, data.target[pick])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(head.parameters()), min(0.01, 1 / (step + 1)) if step > 100 else 0.5)
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss={float(loss.detach()):.3f}", flush=True)
    return average


@torch.no_grad()
def value_figures(head: ValueHead, data: ValueData) -> dict[str, float]:
    """On held-out clips: AUC and accuracy at 0.5 of "worth more than a half", expected calibration error (10 bins) of the
    success probability against the target, accuracy on pairs whose targets differ by over 0.2, the same of twins, and how often a
    frozen clip scores above the median of the others."""
    success, score = zip(*(head(part.float()) for part in data.features.split(128)), strict=True)
    probability, score_N = torch.cat(success).sigmoid(), torch.cat(score)
    label = data.target > 0.5
    wins = (probability[label][:, None] > probability[~label][None]).float()
    bins = (probability * 10).long().clamp(0, 9)
    ece = sum(
        float((probability[bins == b].mean() - data.target[bins == b].mean()).abs()) * float((bins == b).float().mean())
        for b in range(10)
        if bool((bins == b).any())
    )
    gap = data.target[:, None] - data.target[None]
    pairs = gap > 0.2
    right = (score_N[:, None] > score_N[None])[pairs].float().mean()
    twins = data.target - data.target[data.twin] > 0.2
    frozen = data.frozen & (data.target == 0)
    return {
        "auc": float(wins.mean()),
        "accuracy": float(((probability > 0.5) == label).float().mean()),
        "ece": ece,
        "pair_accuracy": float(right),
        "twin_accuracy": float((score_N > score_N[data.twin])[twins].float().mean()),
        "twins": int(twins.sum()),
        "frozen_preferred": float((score_N[frozen] > score_N[~data.frozen].median()).float().mean()),
        "n": len(label),
    }


@torch.no_grad()
def dream_figures(head: ValueHead, data: ValueData) -> dict[str, float]:
    """Accuracy on pairs of dreams of one frame whose targets differ by over 0.2."""
    score = torch.cat([head(part.float())[1] for part in data.features.split(128)]).view(-1, DREAMS_EACH)
    target = data.target.view(-1, DREAMS_EACH)
    pairs = target[:, :, None] - target[:, None] > 0.2
    return {"dream_pair_accuracy": float((score[:, :, None] > score[:, None])[pairs].float().mean()), "dream_pairs": int(pairs.sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="directory with codec and world model; the head is written there")
    parser.add_argument("--count", type=int, default=8000, help="clips to train on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--clauses", type=Path, default=None)
    parser.add_argument("--max-shards", type=int, default=160)
    parser.add_argument("--dreams", type=int, default=0, metavar="K", help="start frames to dream from and to play the dreams of, besides")
    options = parser.parse_args()
    model = weights.load_part(options.weights, "world_model")
    codec, motion = (weights.load_part(options.weights, name) for name in ("codec", "motion"))
    words = clause_table(options.clauses)
    train, held = split_shards(options.data)
    torch.manual_seed(0)
    head = ValueHead(width=model.config.width, layer=model.config.layers * 2 // 3 - 1, geometric=True)  # type: ignore[union-attr, operator]
    sets = []
    for shards, count, seed in ((train[-options.max_shards :], options.count, 1), (held, 1500, 2)):
        clips = load_clips(shards, words, model.config.frames)  # type: ignore[union-attr, arg-type]
        clips.encode(codec)
        sets.append(value_data(head, model, motion, clips, count, seed=seed))  # type: ignore[arg-type]
        del clips
    fresh = copy.deepcopy(head)
    average = train_value_head(head, sets[0], steps=options.steps)
    print(json.dumps(value_figures(average, sets[1])))
    weights.save_part(options.weights, "value_head", average)
    if options.dreams:
        specs = dream_specs(options.dreams)
        unseen = len(specs) // 8
        policy = Policy.load(options.weights)
        held_out = dream_data(head, policy, specs[:unseen])
        print(json.dumps(dream_figures(average, held_out)))
        both = joined(sets[0], dream_data(head, policy, specs[unseen:]))
        average = train_value_head(fresh, both, steps=options.steps)
        print(json.dumps(value_figures(average, sets[1]) | dream_figures(average, held_out)))
        weights.save_part(options.weights, "value_head", average)


if __name__ == "__main__":
    main()
