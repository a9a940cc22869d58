"""What a person watches while a part trains: TensorBoard curves, validation error by noise level, strips of dreams.

tensorboard --logdir OUT/runs
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from rollouts.dreams import flow
from rollouts.dreams.codec import Codec
from rollouts.dreams.motion import MotionCodec
from rollouts.dreams.transformer import VideoTransformer

from .clips import Clips, clip_text
from .recipes import WorldModelRecipe

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
STRIP_ROWS = 6


class Monitor:
    """A log for `Loop`: prints, writes TensorBoard and `log.jsonl`, and hands each line on to `publish`, if given."""

    def __init__(self, directory: Path, *, publish: Callable[[str, int, dict], None] | None = None, name: str = ""):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.publish, self.name = directory, publish, name or directory.name
        self.writer = SummaryWriter(directory)

    def __call__(self, step: int, metrics: dict) -> None:
        for key, value in metrics.items():
            self.writer.add_scalar(f"{self.name}/{key}", value, step)
        self.writer.flush()
        with (self.directory / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        print(f"{self.name} {step} " + " ".join(f"{key}={value:.4g}" for key, value in metrics.items()), flush=True)
        if self.publish:
            self.publish(self.name, step, metrics)

    def image(self, step: int, name: str, pixels: np.ndarray) -> Path:
        """Keeps uint8 [H, W, 3] as a PNG and in TensorBoard."""
        self.writer.add_image(f"{self.name}/{name}", pixels, step, dataformats="HWC")
        path = self.directory / f"{name}-{step:07d}.png"
        Image.fromarray(pixels).save(path)
        return path


class WorldModelMonitor(Monitor):
    """Also judges the averaged world model on held-out clips every `every` steps."""

    def __init__(
        self, directory: Path, held: Clips, codec: Codec, motion: MotionCodec, average: Callable[[], nn.Module], *, every: int, clips: int = 64, publish=None
    ):
        super().__init__(directory, publish=publish)
        self.held, self.codec, self.motion, self.average, self.every, self.clips = held, codec, motion, average, every, clips

    def __call__(self, step: int, metrics: dict) -> None:
        if step % self.every == 0:
            model: VideoTransformer = self.average()  # type: ignore[assignment]
            metrics = metrics | validation(model, self.held, self.clips)
            if self.held.whole:
                self.image(step, "dreams", strips(model, self.codec, self.motion, self.held))
        super().__call__(step, metrics)


@torch.no_grad()
def validation(model: VideoTransformer, held: Clips, count: int) -> dict[str, float]:
    """Mean velocity error on `count` held-out clips at each of LEVELS; the same clips and noise every time."""
    device = held.device
    recipe = WorldModelRecipe(model, held, count, drop_text=0.0, plan=0.0).eval()
    starts = held.draw(count, torch.Generator(device).manual_seed(1))
    found = {}
    for level in LEVELS:
        generator = torch.Generator(device).manual_seed(2)
        error = recipe.errors(starts, generator, times=torch.full((count,), level, device=device))
        found[f"held_out/t{level}"] = float(error.mean())
    found["held_out/flow"] = float(np.mean(list(found.values())))
    return found


@torch.no_grad()
def strips(model: VideoTransformer, codec: Codec, motion: MotionCodec, held: Clips, *, steps: int = 10) -> np.ndarray:
    """uint8 [H, W, 3]: for STRIP_ROWS held-out clips the real future above the dreamed one, every other frame."""
    starts = held.draw(STRIP_ROWS, torch.Generator(held.device).manual_seed(3))
    window = held.window(starts)
    text, mask = clip_text(held, starts, model.config.text_tokens, plan=0.0)
    start = held.seen(starts)
    context = model.encode_context(start, text, mask)
    noise = torch.randn(STRIP_ROWS, *model.config.latent_shape, generator=torch.Generator().manual_seed(4)).to(held.device)
    dreamed = codec.decode_uint8(motion.decode(flow.sample(model, context, noise, steps=steps), start)).cpu().numpy()
    real = held.frames[held.picture[window]].cpu().numpy()
    rows = []
    for row in range(STRIP_ROWS):
        rows.append(np.concatenate(list(real[row, ::2]), 1))
        rows.append(np.concatenate([real[row, 0], *dreamed[row, 1::2]], 1))
    return np.concatenate(rows)
