"""A world model small enough for exact checks, with the interface that the losses need, and preferences for it to learn."""

import hashlib

import torch
from torch import Tensor, nn

from training.learn.dpo import PairBatch
from training.learn.preferences import Preference, PreferenceData

FRAMES, CHANNELS, HEIGHT, WIDTH, TEXT = 4, 2, 3, 3, 5


class TinyWorldModel(nn.Module):
    """One hidden layer over the flattened clip, its start frame, its text and its time."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        clip = FRAMES * CHANNELS * HEIGHT * WIDTH
        self.start = nn.Linear(CHANNELS * HEIGHT * WIDTH + TEXT, 16)
        self.hidden = nn.Linear(clip + 16 + 1, 32)
        self.out = nn.Linear(32, clip)

    def encode_context(self, start_latents: Tensor, text: Tensor, copies: int = 1) -> Tensor:
        context = torch.tanh(self.start(torch.cat([start_latents.flatten(1), text], dim=1)))
        return torch.cat([context] * copies)

    def velocity(self, x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
        features = torch.cat([x_t.flatten(1), context, t[:, None]], dim=1)
        return self.out(torch.tanh(self.hidden(features))).view_as(x_t)


def random_pairs(pairs: int = 6, seed: int = 1, ties: bool = False) -> PairBatch:
    g = torch.Generator().manual_seed(seed)
    shape = (pairs, FRAMES, CHANNELS, HEIGHT, WIDTH)
    tie = torch.zeros(pairs)
    if ties:
        tie[::3] = 1.0
    return PairBatch(
        winner_PTCHW=torch.randn(shape, generator=g),
        loser_PTCHW=torch.randn(shape, generator=g),
        start_PCHW=torch.randn(pairs, CHANNELS, HEIGHT, WIDTH, generator=g),
        text=torch.randn(pairs, TEXT, generator=g),
        tie_P=tie,
        weight_P=torch.ones(pairs),
        mask_PT=torch.ones(pairs, FRAMES),
    )


def shared_noise(pairs: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    noise = torch.randn(pairs, FRAMES, CHANNELS, HEIGHT, WIDTH, generator=g)
    return noise, torch.rand(pairs, generator=g)


def encode_text(prompts: list[str]) -> torch.Tensor:
    rows = []
    for prompt in prompts:
        seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "little")
        rows.append(torch.randn(TEXT, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(rows)


def preference_data(groups: int = 20, replay: int = 0, ties: bool = False) -> PreferenceData:
    """Pairs with a rule to learn: winners sit at +1, losers at -1, with noise."""
    g = torch.Generator().manual_seed(0)
    shape = (FRAMES, CHANNELS, HEIGHT, WIDTH)
    latents, starts, prompts, rows = [], [], [], []
    for group in range(groups):
        start = torch.randn(CHANNELS, HEIGHT, WIDTH, generator=g)
        for sign in (1, -1):
            latents.append(sign + 0.5 * torch.randn(shape, generator=g))
            starts.append(start)
            prompts.append(f"go to object {group % 3}")
        tie = ties and group % 5 == 0
        rows.append(Preference(2 * group, 2 * group + 1, f"frame-{group}", tie=tie))
    data = PreferenceData(
        torch.stack(latents),
        torch.stack(starts),
        prompts,
        rows,
        tie_rate=0.2 if ties else 0.0,
    )
    if replay:
        data.replay_MTCHW = torch.randn(replay, *shape, generator=g)
        data.replay_start_MCHW = torch.randn(replay, CHANNELS, HEIGHT, WIDTH, generator=g)
        data.replay_prompts = [f"go to object {i % 3}" for i in range(replay)]
    return data
