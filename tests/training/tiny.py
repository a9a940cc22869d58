"""A world model small enough for exact checks, with the interface that the losses need."""

import torch
from torch import Tensor, nn

from training.learn.dpo import PairBatch

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
