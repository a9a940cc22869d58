"""The video transformer: noisy future latents in, clean future latents out, conditioned on a start frame and text.

Shapes: B batch, T future frames, C latent channels, h x w latent grid, N future tokens, M context tokens, L text tokens,
D width. For the world model the latents are the motion codec's codes (`motion.py`; h = w = 1, a token is a frame), for
the start-frame generator a scene's code in 16 pieces. Two streams share the weights of every block:

    context stream   tokens of the start frame and of the text, attend to themselves only; they know no noise
                     level, so their keys and values are computed once and shared by all rollouts and sampler steps
    future stream    `patch` x `patch` latents of a frame, attend to the context and to themselves

A summary of the start frame, where in it the thing is that the text names, and where everything is that a tracker sees (`grounding.py`), are
also added to every future token: a plain token prefix learned far slower. The network
predicts the clean latents x; the flow's velocity follows from it (`flow.py`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .grounding import FEATURES, Grounder, sights, sights_width
from .probe import TRACKED_POSES, ProbeNet


@dataclass(frozen=True)
class TransformerConfig:
    """frames: T. channels, grid, patch: of the latents that are dreamed. start: whether there is a start frame (a start-frame
    generator has none); start_channels, start_grid, start_patch: of its latents. things: that the tracker of the start frame knows, 0 for no tracker, as
    in world models up to version 6; tracker_width: of it. Other sizes as in the module text."""

    frames: int = 12
    patch: int = 1
    channels: int = 35
    grid: int = 1
    width: int = 256
    layers: int = 6
    heads: int = 4
    text_width: int = 384
    text_tokens: int = 16
    start: bool = True
    start_channels: int = 12
    start_grid: int = 8
    start_patch: int = 2
    things: int = 0
    tracker_width: int = 128

    def __post_init__(self) -> None:
        if self.grid % self.patch or self.start_grid % self.start_patch or self.width % self.heads:
            raise ValueError(f"{self.grid=} {self.patch=} {self.start_grid=} {self.start_patch=} {self.width=} {self.heads=} do not divide")

    @property
    def tokens(self) -> int:
        return self.frames * (self.grid // self.patch) ** 2

    @property
    def start_tokens(self) -> int:
        return (self.start_grid // self.start_patch) ** 2 if self.start else 0

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(T, C, h, w) of a rollout."""
        return self.frames, self.channels, self.grid, self.grid

    def to_dict(self) -> dict:
        return asdict(self)


def cells(latents: torch.Tensor, patch: int) -> torch.Tensor:
    """[B, T, C, h, w] -> [B, T * cells, C * patch * patch]"""
    b, t, c, h, w = latents.shape
    x = latents.reshape(b, t, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, t * (h // patch) * (w // patch), -1)


def uncells(tokens: torch.Tensor, shape: tuple[int, int, int, int], patch: int) -> torch.Tensor:
    """The inverse of `cells`; shape is (T, C, h, w)."""
    t, c, h, w = shape
    x = tokens.reshape(len(tokens), t, h // patch, w // patch, c, patch, patch)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(len(tokens), *shape)


@dataclass
class Context:
    """What the future stream needs of the context: per layer keys and values [B, heads, M, D / heads], a mask [B, M] that
    is true where a token counts (None: all do), and the start frame's summary [B, D] (None without a start frame). For the value head there is also
    what grounder and tracker see in the start frame [B, FEATURES + sights_width] (None without a tracker)."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    mask: torch.Tensor | None
    summary: torch.Tensor | None
    sights: torch.Tensor | None = None

    def repeat(self, n: int) -> Context:
        """The same context for n rollouts each: B becomes B * n (views where B is 1)."""

        def spread(x: torch.Tensor | None) -> torch.Tensor | None:
            if x is None:
                return None
            return x.expand(n, *x.shape[1:]) if len(x) == 1 else x.repeat_interleave(n, 0)

        keys, values = [spread(key) for key in self.keys], [spread(value) for value in self.values]
        return Context(keys, values, spread(self.mask), spread(self.summary), spread(self.sights))  # type: ignore[arg-type]


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
        # The exact GELU: its approximation by tanh, with which weights up to version 9 were trained, differs by less than rounding and takes longer.
        return torch.addcmul(x_BND, gate2[:, None], self.down(F.gelu(self.up(normed)))), k, v


class VideoTransformer(nn.Module):
    """See the module. With `config.start` False it generates scenes from text (`scenes.layout_config`)."""

    def __init__(self, config: TransformerConfig = TransformerConfig()):
        super().__init__()
        self.config = c = config
        cell = c.channels * c.patch**2
        self.embed = nn.Linear(cell, c.width)
        self.position = nn.Parameter(torch.randn(c.tokens, c.width) * 0.02)
        if c.start:
            start_cell = c.start_channels * c.start_patch**2
            self.start_embed = nn.Linear(start_cell, c.width)
            self.start_position = nn.Parameter(torch.randn(c.start_tokens, c.width) * 0.02)
            self.grounder = Grounder(c.start_channels, c.start_grid, text_width=c.text_width)
            self.goal = nn.Sequential(nn.Linear(FEATURES, c.width), nn.GELU(), nn.Linear(c.width, c.width))
            if c.things:
                self.tracker = ProbeNet(entities=c.things, channels=c.start_channels, width=c.tracker_width, poses=TRACKED_POSES)
                self.sight = nn.Sequential(nn.Linear(sights_width(c.things), c.width), nn.GELU(), nn.Linear(c.width, c.width))
            self.start_summary = nn.Sequential(nn.Linear(start_cell * c.start_tokens, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.text_embed = nn.Linear(c.text_width, c.width)
        self.text_position = nn.Parameter(torch.randn(c.text_tokens, c.width) * 0.02)
        self.no_text = nn.Parameter(torch.randn(c.width) * 0.02)
        self.time = nn.Sequential(nn.Linear(128, c.width), nn.SiLU(), nn.Linear(c.width, c.width), nn.SiLU())
        self.time_modulation = nn.Linear(c.width, 6 * c.width)
        self.context_modulation = nn.Parameter(torch.zeros(6, c.width))
        self.blocks = nn.ModuleList(Block(c.width, c.heads) for _ in range(c.layers))
        self.head_modulation = nn.Linear(c.width, 2 * c.width)
        self.head = nn.Linear(c.width, cell)
        for zero in (self.time_modulation, self.head_modulation, self.head, *([self.goal[-1]] if c.start else []), *([self.sight[-1]] if c.things else [])):
            nn.init.zeros_(zero.weight)
            nn.init.zeros_(zero.bias)
        with torch.no_grad():
            for block in self.blocks:
                block.modulation[[2, 5]] = 0.3  # open gates a little, so that the context stream is not empty at the start

    def frozen(self) -> list[nn.Module]:
        """Parts that are trained apart, and not here: what reads the start frame."""
        return [getattr(self, name) for name in ("grounder", "tracker") if hasattr(self, name)]

    def encode_context(self, start: torch.Tensor | None, text: torch.Tensor, text_mask: torch.Tensor, drop_text: torch.Tensor | None = None) -> Context:
        """start: latents [B, C, h, w] of the start frame (None without one); text [B, L, text_width], text_mask bool [B, L];
        drop_text bool [B].

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
        summary = seen = None
        if self.config.start:
            assert start is not None
            flat = cells(start[:, None], self.config.start_patch)
            tokens = torch.cat([self.start_embed(flat) + self.start_position, words], 1)
            mask = torch.cat([mask.new_ones(len(mask), flat.shape[1]), mask], 1)
            goal = self.grounder.features(start, text, text_mask)
            summary = self.start_summary(flat.flatten(1)) + self.goal(goal)
            if self.config.things:
                things = sights(self.tracker, start)
                summary = summary + self.sight(things)
                seen = torch.cat([goal, things], -1)
        modulation = self.context_modulation[None].to(tokens.dtype)
        keys, values = [], []
        for block in self.blocks:
            tokens, k, v = block(tokens, modulation, None, mask[:, None, None])
            keys.append(k)
            values.append(v)
        # Unpadded text, as when sampling, needs no mask; looking costs a device sync, so not while training.
        return Context(keys, values, mask if self.training or not bool(mask.all()) else None, summary, seen)

    def predict(self, x_t: torch.Tensor, t: torch.Tensor, context: Context, *, features_at: int | None = None) -> torch.Tensor:
        """The clean latents [B, T, C, h, w] that x_t [B, T, C, h, w] at noise level t [B] in 0..1 (1: pure noise) hides.

        With `features_at` = k: the tokens [B, N, D] after block k instead, for the value head.
        """
        c = self.config
        tokens = self.embed(cells(x_t, c.patch)) + self.position
        if context.summary is not None:
            tokens = tokens + context.summary[:, None]
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
        return uncells(out, c.latent_shape, c.patch)


def _fourier(t: torch.Tensor) -> torch.Tensor:
    """t [B] in 0..1 -> [B, 128]"""
    frequencies = torch.exp(torch.linspace(0, math.log(200), 64, device=t.device))
    angles = t[:, None].float() * frequencies * 2 * math.pi / 4
    return torch.cat([angles.sin(), angles.cos()], -1)
