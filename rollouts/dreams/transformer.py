"""The video transformer: noisy future latents in, clean future latents out, conditioned on a start frame and text.

Shapes: B batch, T future frames, C latent channels, h x w latent grid, N future tokens, M context tokens, L text tokens,
D width. Two streams share the weights of every block:

    context stream   text tokens (and start frame tokens, if configured), attend to themselves only; they know no noise
                     level, so their keys and values are computed once and shared by all rollouts and sampler steps
    future stream    tubelets of `tubelet` frames x `patch` x `patch` latents, attend to the context and to themselves

The start frame's latent is also concatenated to every future token, and the output is a residual on it: a plain token
prefix learned far slower. The network predicts the clean latents x; the flow's velocity follows from it (`flow.py`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class TransformerConfig:
    """frames: T. start: whether there is a start frame (a start-frame generator has none). start_tokens: give the start
    frame tokens of its own in the context too; about a fifth more work, so off; whether it helps was
    not measured. Sizes as in
    the module text."""

    frames: int = 12
    tubelet: int = 2
    patch: int = 2
    channels: int = 12
    grid: int = 8
    width: int = 256
    layers: int = 6
    heads: int = 4
    text_width: int = 384
    text_tokens: int = 16
    start: bool = True
    start_tokens: bool = False

    def __post_init__(self) -> None:
        if self.frames % self.tubelet or self.grid % self.patch or self.width % self.heads:
            raise ValueError(f"{self.frames=} {self.tubelet=} {self.grid=} {self.patch=} {self.width=} {self.heads=} do not divide")

    @property
    def cells(self) -> int:
        return (self.grid // self.patch) ** 2

    @property
    def tokens(self) -> int:
        return self.frames // self.tubelet * self.cells

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass
class Context:
    """What the future stream needs of the context: per layer keys and values [B, heads, M, D / heads], a mask [B, M] that
    is true where a token counts (None: all do), and the start latents [B, C, h, w] (None without a start frame)."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    mask: torch.Tensor | None
    start: torch.Tensor | None

    def repeat(self, n: int) -> Context:
        """The same context for n rollouts each: B becomes B * n (views where B is 1)."""

        def spread(x: torch.Tensor | None) -> torch.Tensor | None:
            if x is None:
                return None
            return x.expand(n, *x.shape[1:]) if len(x) == 1 else x.repeat_interleave(n, 0)

        return Context([spread(k) for k in self.keys], [spread(v) for v in self.values], spread(self.mask), spread(self.start))  # type: ignore[misc]


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Attention of q [B, heads, N, d] to k, v [B, heads, M, d]; mask bool, broadcastable to [B, heads, N, M].

    On a CPU in bfloat16 the fused kernel's backward pass takes four times as long as these matrix products.
    """
    if q.is_cuda or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ v


class Block(nn.Module):
    """Pre-norm attention and MLP, modulated by (shift, scale, gate) x 2: [B or 1, 6, D]."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.q_norm = nn.RMSNorm(width // heads)
        self.k_norm = nn.RMSNorm(width // heads)
        self.modulation = nn.Parameter(torch.zeros(6, width))

    def forward(self, x_BND: torch.Tensor, modulation: torch.Tensor, past: tuple[torch.Tensor, torch.Tensor] | None, mask: torch.Tensor | None):
        """Returns the new tokens and this block's own keys and values. `mask` is bool, broadcastable to [B, heads, N, keys]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + self.modulation).unbind(-2)
        batch, count, width = x_BND.shape
        normed = torch.addcmul(shift1[:, None], F.layer_norm(x_BND, (width,)), 1 + scale1[:, None])
        q, k, v = self.qkv(normed).view(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k = (F.rms_norm(x, x.shape[-1:], norm.weight.to(x.dtype)) for x, norm in ((q, self.q_norm), (k, self.k_norm)))
        keys, values = (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))
        attended = attend(q, keys, values, mask)
        x_BND = torch.addcmul(x_BND, gate1[:, None], self.out(attended.transpose(1, 2).reshape(batch, count, width)))
        normed = torch.addcmul(shift2[:, None], F.layer_norm(x_BND, (width,)), 1 + scale2[:, None])
        return torch.addcmul(x_BND, gate2[:, None], self.down(F.gelu(self.up(normed), approximate="tanh"))), k, v


class VideoTransformer(nn.Module):
    """See the module. With `config.start` False it generates single frames from text (frames = tubelet = 1)."""

    def __init__(self, config: TransformerConfig = TransformerConfig()):
        super().__init__()
        self.config = c = config
        cell = c.channels * c.patch**2
        self.embed = nn.Linear(cell * c.tubelet + (cell if c.start else 0), c.width)
        self.position = nn.Parameter(torch.randn(c.tokens, c.width) * 0.02)
        self.start_embed = nn.Linear(cell, c.width) if c.start and c.start_tokens else None
        self.start_position = nn.Parameter(torch.randn(c.cells, c.width) * 0.02) if c.start and c.start_tokens else None
        self.text_embed = nn.Linear(c.text_width, c.width)
        self.text_position = nn.Parameter(torch.randn(c.text_tokens, c.width) * 0.02)
        self.no_text = nn.Parameter(torch.randn(c.width) * 0.02)
        self.time = nn.Sequential(nn.Linear(128, c.width), nn.SiLU(), nn.Linear(c.width, c.width), nn.SiLU())
        self.time_modulation = nn.Linear(c.width, 6 * c.width)
        self.context_modulation = nn.Parameter(torch.zeros(6, c.width))
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.head_modulation = nn.Linear(c.width, 2 * c.width)
        self.head = nn.Linear(c.width, cell * c.tubelet)
        for zero in (self.time_modulation, self.head_modulation, self.head):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)
        with torch.no_grad():
            for block in self.blocks:
                block.modulation[[2, 5]] = 0.3  # open gates a little, so that the context stream is not empty at the start

    # ------------------------------------------------------------------ tokens

    def _cells(self, latents: torch.Tensor) -> torch.Tensor:
        """[B, T, C, h, w] -> [B, T / tubelet, cells, tubelet * C * patch * patch]"""
        c = self.config
        b, t, side = len(latents), latents.shape[1] // c.tubelet, c.grid // c.patch
        x = latents.reshape(b, t, c.tubelet, c.channels, side, c.patch, side, c.patch)
        return x.permute(0, 1, 4, 6, 2, 3, 5, 7).reshape(b, t, c.cells, -1)

    def _uncells(self, tokens: torch.Tensor) -> torch.Tensor:
        c = self.config
        b, side = len(tokens), c.grid // c.patch
        x = tokens.reshape(b, -1, side, side, c.tubelet, c.channels, c.patch, c.patch)
        return x.permute(0, 1, 4, 5, 2, 6, 3, 7).reshape(b, -1, c.channels, c.grid, c.grid)

    def _start_cells(self, start: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w] -> [B, cells, C * patch * patch]"""
        c = self.config
        side = c.grid // c.patch
        x = start.reshape(len(start), c.channels, side, c.patch, side, c.patch)
        return x.permute(0, 2, 4, 1, 3, 5).reshape(len(start), c.cells, -1)

    # ------------------------------------------------------------------ the two streams

    def encode_context(self, start: torch.Tensor | None, text: torch.Tensor, text_mask: torch.Tensor, drop_text: torch.Tensor | None = None) -> Context:
        """start [B, C, h, w] (None without one), text [B, L, text_width], text_mask bool [B, L], drop_text bool [B].

        Where `drop_text` is true, and where a text has no token, a learned "no text" token stands in (the
        unconditional half of classifier-free guidance). Raises ValueError if L exceeds `config.text_tokens`.
        """
        length = text.shape[1]
        if length > self.config.text_tokens:
            raise ValueError(f"{length} text tokens, at most {self.config.text_tokens}")
        words = self.text_embed(text) + self.text_position[:length]
        if drop_text is not None:
            text_mask = text_mask & ~drop_text[:, None]
        empty = ~text_mask.any(1)
        words = torch.where(text_mask[..., None], words, self.no_text)
        mask = text_mask.clone()
        mask[:, 0] |= empty
        tokens = words
        if self.start_embed is not None:
            assert start is not None
            assert self.start_position is not None
            cells = self.start_embed(self._start_cells(start)) + self.start_position
            tokens = torch.cat([cells, words], 1)
            mask = torch.cat([mask.new_ones(len(mask), cells.shape[1]), mask], 1)
        modulation = self.context_modulation[None].to(tokens.dtype)
        keys, values = [], []
        for block in self.blocks:
            tokens, k, v = block(tokens, modulation, None, mask[:, None, None])
            keys.append(k)
            values.append(v)
        # Unpadded text, as when sampling, needs no mask; looking costs a device sync, so not while training.
        return Context(keys, values, mask if self.training or not bool(mask.all()) else None, start)

    def predict(
        self, x_t: torch.Tensor, t: torch.Tensor, context: Context, *, features_at: int | None = None, tubelets: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The clean latents [B, T, C, h, w] that x_t [B, T, C, h, w] at noise level t [B] in 0..1 (1: pure noise) hides.

        With `features_at` = k: the tokens [B, N, D] after block k instead, for the value head. With `tubelets` int64 [K]:
        x_t holds those of the clip's tubelets only, T = K * tubelet (`training/learn/recipes.py` trains on parts of clips).
        """
        c = self.config
        cells = self._cells(x_t)
        if context.start is not None:
            start = self._start_cells(context.start)[:, None].expand(-1, cells.shape[1], -1, -1)
            cells = torch.cat([cells, start.to(cells.dtype)], -1)
        position = self.position
        if tubelets is not None:
            position = position.view(-1, c.cells, c.width)[tubelets].flatten(0, 1)
        tokens = self.embed(cells.flatten(1, 2)) + position
        time = self.time(_fourier(t).to(tokens.dtype))
        modulation = self.time_modulation(time).view(-1, 6, c.width)
        mask = None
        if context.mask is not None:
            mask = F.pad(context.mask, (0, tokens.shape[1]), value=True)[:, None, None]
        for index, block in enumerate(self.blocks):
            tokens, _, _ = block(tokens, modulation, (context.keys[index], context.values[index]), mask)
            if features_at == index:
                return tokens
        shift, scale = self.head_modulation(time).chunk(2, -1)
        out = self.head(torch.addcmul(shift[:, None], F.layer_norm(tokens, (c.width,)), 1 + scale[:, None]))
        latents = self._uncells(out)
        return latents if context.start is None else latents + context.start[:, None]


def _fourier(t: torch.Tensor) -> torch.Tensor:
    """t [B] in 0..1 -> [B, 128]"""
    frequencies = torch.exp(torch.linspace(0, math.log(200), 64, device=t.device))
    angles = t[:, None].float() * frequencies * 2 * math.pi / 4
    return torch.cat([angles.sin(), angles.cos()], -1)
