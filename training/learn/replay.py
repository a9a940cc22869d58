"""Real clips to replay while preferences are learned, so that what needs no correction is not forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rollouts.dreams.codec import Codec
from rollouts.dreams.motion import codes_between
from rollouts.worlds import make_world
from training.learn.clips import places_of

# Far from the seeds of pretraining, of evaluations and of captured start frames.
REPLAY_SEED = 700_000_000


@torch.no_grad()
def replay_clips(
    codec: Codec, count: int, *, horizon: int = 12, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Tensor, Tensor, list[str]]:
    """Play demonstrators in the household world and cut one clip out of each episode.

    Clips in which the dog is touched are left out: touching it is what people vote against, and replaying it would argue
    with them. Motion is told as it really was, as in pretraining; only the start frame is rendered.

    Args:
        codec: of the policy, for the start frames.
        horizon: future frames T of a clip.
        progress: called with (clips, count).

    Returns:
        (motion codes [count, T, Z, 1, 1], start latents [count, C, h, w], prompts).
    """
    env = make_world("household")  # chooses MuJoCo's renderer, so it comes before anything that imports MuJoCo
    from training.learn.collect import play_episode

    rng = np.random.default_rng([seed, 11])
    latents, starts, prompts = [], [], []
    number = 0
    while len(latents) < count:
        episode = play_episode(env, REPLAY_SEED + 100_000 * seed + number, pictures=2)
        number += 1
        fitting = np.flatnonzero(episode.pictured <= len(episode.actions) - horizon)
        if not len(fitting):
            continue
        picture = int(rng.choice(fitting))
        first = int(episode.pictured[picture])
        if episode.contact[first : first + horizon].any():
            continue
        facts = (torch.from_numpy(part[first : first + horizon + 1]) for part in (episode.robot, episode.dog, episode.objects, episode.held))
        robot, dog, objects, held = facts
        before, after = places_of(robot[:1], dog[:1], objects[:1], held[:1]), places_of(robot[1:], dog[1:], objects[1:], held[1:])
        latents.append(codes_between(before.repeat_interleave(horizon), after)[..., None, None])
        starts.append(codec.encode(torch.from_numpy(episode.frames[picture])))
        prompts.append(episode.meta["prompt"])
        if progress:
            progress(len(latents), count)
    env.close()
    return torch.stack(latents), torch.stack(starts), prompts
