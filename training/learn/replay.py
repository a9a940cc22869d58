"""Real clips to replay while preferences are learned, so that what needs no correction is not forgotten."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rollouts.dreams.codec import Codec
from rollouts.dreams.motion import MotionCodec
from rollouts.worlds import make_world

# Far from the seeds of pretraining, of evaluations and of captured start frames.
REPLAY_SEED = 700_000_000


@torch.no_grad()
def replay_clips(
    codec: Codec, motion: MotionCodec, count: int, *, horizon: int = 12, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Tensor, Tensor, list[str]]:
    """Play demonstrators in the household world and cut one clip out of each episode.

    Clips in which the dog is touched are left out: touching it is what people vote against, and replaying it would argue
    with them.

    Args:
        codec, motion: of the policy; their latents are those that the world model knows.
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
        episode = play_episode(env, REPLAY_SEED + 100_000 * seed + number)
        number += 1
        last = len(episode.frames) - horizon - 1
        if last < 0:
            continue
        first = int(rng.integers(0, last + 1))
        if episode.contact[first : first + horizon].any():
            continue
        frames = torch.from_numpy(episode.frames[first : first + horizon + 1])
        encoded = codec.encode(frames)
        latents.append(motion.encode(encoded[None, 1:], encoded[None, 0])[0])
        starts.append(encoded[0])
        prompts.append(episode.meta["prompt"])
        if progress:
            progress(len(latents), count)
    env.close()
    return torch.stack(latents), torch.stack(starts), prompts
