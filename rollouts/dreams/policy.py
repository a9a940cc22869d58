"""The policy: text and a frame in, rollouts out. World model + motion and frame codecs + IDM + kinematic check + value head.

`dream` samples futures, `imagine` samples start frames from words, `choose` takes the best of N. Nothing here knows Django,
and nothing is unpickled.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from . import flow, kinematics, weights
from .codec import Codec, CodecConfig
from .geometry import company
from .idm import InverseDynamics
from .motion import MotionCodec, MotionConfig
from .precision import autocast
from .probe import Probe, ProbeNet
from .scenes import Renderer, RendererConfig, layout_config, tidy
from .text import TextEncoder
from .transformer import Context, TransformerConfig, VideoTransformer
from .value_head import ValueHead, shared_noise

VALUE_DRAWS = 2
IMAGINE_GUIDANCE = 2.0


@dataclass(frozen=True)
class SamplerSettings:
    """steps: Euler steps. guidance: of the text, 1 for none. shift: where the steps lie (`flow.sampler_times`)."""

    steps: int = 10
    guidance: float = 1.5
    shift: float = 1.5

    def __post_init__(self) -> None:
        if self.steps < 1 or self.guidance < 0 or self.shift <= 0:
            raise ValueError(f"bad sampler: {self.steps=} {self.guidance=} {self.shift=}")


DEFAULT_SAMPLER = SamplerSettings()


@dataclass(frozen=True)
class Dream:
    """One rollout. frames uint8 [T+1, H, W, 3], the first is the start frame; latents float16 [T, Z, 1, 1]: its motion codes; actions
    float32 [T, A] in the world's units; path float32 [T+1, 2] in metres; path_pixels float32 [T+1, 2] in 0..1 of the frame;
    value: preference score (any real, higher is better); success: probability 0..1."""

    frames: np.ndarray
    latents: np.ndarray
    actions: np.ndarray
    path: np.ndarray
    path_pixels: np.ndarray
    verdict: kinematics.Verdict
    value: float
    success: float
    seed: int


@dataclass(frozen=True)
class Plan:
    """Dreams without their pictures, for acting: latents [B, T, Z, 1, 1] as the world model dreams them, frames [B, T, C, h, w]:
    the frame codec's latents that they decode to, actions [B, T, A], values and successes [B], company bool [B]: whether there is a dog in
    the start frame."""

    latents: torch.Tensor
    frames: torch.Tensor
    actions: np.ndarray
    paths: np.ndarray
    verdicts: list[kinematics.Verdict]
    values: np.ndarray
    successes: np.ndarray
    company: np.ndarray


class Policy:
    """See the module. Build it with `load` or, for tests, `tiny`."""

    def __init__(self, parts: dict[str, torch.nn.Module], config: dict, text: TextEncoder | None = None):
        self.codec: Codec = parts["codec"]  # type: ignore[assignment]
        self.motion: MotionCodec = parts["motion"]  # type: ignore[assignment]
        self.world_model: VideoTransformer = parts["world_model"]  # type: ignore[assignment]
        self.layouts: VideoTransformer = parts["layouts"]  # type: ignore[assignment]
        self.renderer: Renderer = parts["renderer"]  # type: ignore[assignment]
        self.idm: InverseDynamics = parts["idm"]  # type: ignore[assignment]
        self.value_head: ValueHead = parts["value_head"]  # type: ignore[assignment]
        self.probe = Probe(parts["probe"], self.codec, tuple(config["probe_objects"]))  # type: ignore[arg-type]
        self.config = config
        self.text = text or _shared_text()
        self.sampler = SamplerSettings(**config.get("sampler", {}))
        self.limits = kinematics.Limits(**config.get("limits", {}))
        self.homography = np.array(config["floor_homography"])
        self.fps = float(config["fps"])
        for part in parts.values():
            part.eval().requires_grad_(False)

    # ------------------------------------------------------------------ files

    @classmethod
    def load(cls, directory: Path | str, device: str | torch.device = "cpu") -> Policy:
        """Raises FileNotFoundError where a file is missing and RuntimeError where weights do not fit `config.json`."""
        directory = Path(directory)
        config = weights.read_config(directory)
        return cls({name: weights.load_part(directory, name, device) for name in weights.PARTS}, config)

    def save(self, directory: Path | str) -> None:
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        parts = self.parts()
        for name, part in parts.items():
            weights.save_part(directory, name, part)
        written = weights.read_config(directory)
        (directory / "config.json").write_text(json.dumps({**self.config, **{name: written[name] for name in parts}}, indent=2, sort_keys=True) + "\n")

    def parts(self) -> dict[str, torch.nn.Module]:
        return {
            "codec": self.codec,
            "motion": self.motion,
            "world_model": self.world_model,
            "layouts": self.layouts,
            "renderer": self.renderer,
            "idm": self.idm,
            "value_head": self.value_head,
            "probe": self.probe.net,
        }

    @classmethod
    def tiny(cls, seed: int = 0) -> Policy:
        """Random weights in the shapes of the real thing, but small and instantly built; for tests."""
        from ..worlds.household.factors import OBJECTS  # the debug configuration is of the household world

        torch.manual_seed(seed)
        codec = Codec(CodecConfig(encoder_widths=(8, 8), decoder_widths=(8, 8)))
        motion = MotionCodec(MotionConfig(width=16, layers=1, tracker_width=8))
        world_model = VideoTransformer(TransformerConfig(channels=motion.config.code, width=32, layers=2, heads=1, things=14, tracker_width=8))
        layouts = VideoTransformer(replace(layout_config(), width=32, layers=1, heads=1))
        renderer = Renderer(RendererConfig(width=16, layers=1))
        for network in (world_model.head, layouts.head):
            torch.nn.init.normal_(network.weight, std=0.1)
        parts = {
            "codec": codec,
            "motion": motion,
            "world_model": world_model,
            "layouts": layouts,
            "renderer": renderer,
            "idm": InverseDynamics(width=16),
            "value_head": ValueHead(width=32, layer=0, geometric=True),
            "probe": ProbeNet(entities=2 + len(OBJECTS), width=8),
        }
        return cls(parts, base_config(sampler=SamplerSettings(steps=2)))

    @property
    def device(self) -> torch.device:
        return self.codec.shift.device

    def sampler_settings(self) -> dict:
        return asdict(self.sampler)

    # ------------------------------------------------------------------ dreaming

    def dream(self, frame: np.ndarray, prompt: str, *, n: int, seed: int = 0) -> list[Dream]:
        """n rollouts of one start frame uint8 [H, W, 3]. The i-th has seed `seed + i` and, up to rounding, does not depend on n.

        Raises ValueError for a frame of another shape or type, or n < 1.
        """
        self._check_frame(frame)
        if n < 1:
            raise ValueError(f"{n=} is not at least 1")
        seeds = [seed + i for i in range(n)]
        plan = self.plan(frame[None], [prompt], seeds=[seeds])
        return [self._picture(frame, plan, i, seeds[i]) for i in range(n)]

    @torch.no_grad()
    def plan(self, frames: np.ndarray, prompts: list[str], *, seeds: list[list[int]]) -> Plan:
        """Dreams of B start frames uint8 [B, H, W, 3] at once, n for each: seeds is B lists of n. Rows are frame by frame."""
        n = len(seeds[0])
        start = self.encode(frames)
        context = self.context(start, prompts)
        unconditional = self.context(start, [""] * len(prompts)).repeat(n) if self.sampler.guidance != 1 else None
        noise = torch.stack([self._noise(seed) for row in seeds for seed in row])
        with autocast(self.device):
            latents = flow.sample(
                self.world_model,
                context.repeat(n),
                noise,
                steps=self.sampler.steps,
                guidance=self.sampler.guidance,
                unconditional=unconditional,
                shift=self.sampler.shift,
            )
        starts = start.repeat_interleave(n, 0)
        pictured = self.motion.decode(latents, starts)
        actions, _seen, paths, verdicts = self.infer_actions(torch.cat([starts[:, None], pictured], 1))
        values, successes = self.judge(latents, self.motion.encode(pictured, starts), context.repeat(n))
        dog = company(context).repeat_interleave(n).cpu().numpy()
        return Plan(latents, pictured, actions, paths, verdicts, values, successes, dog)

    @torch.no_grad()
    def encode(self, frames: np.ndarray) -> torch.Tensor:
        """uint8 [..., H, W, 3] -> latents float32 [..., C, h, w]."""
        return self.codec.encode(torch.from_numpy(np.ascontiguousarray(frames)).to(self.device))

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """latents [..., C, h, w] -> uint8 [..., H, W, 3]."""
        return self.codec.decode_uint8(latents).cpu().numpy()

    def context(self, start: torch.Tensor, prompts: list[str]) -> Context:
        """start latents [B, C, h, w] and B prompts, or one prompt for all."""
        limit = self.world_model.config.text_tokens
        if len(set(prompts)) == 1:  # no padding, and so no mask
            text, mask = self.text.encode(prompts[:1], limit)
            text, mask = text.expand(len(start), -1, -1), mask.expand(len(start), -1)
        else:
            text, mask = self.text.encode(prompts, limit)
        with autocast(self.device):
            return self.world_model.encode_context(start, text.to(self.device), mask.to(self.device))

    @torch.no_grad()
    def infer_actions(self, latents: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[kinematics.Verdict]]:
        """latents [B, T+1, C, h, w] -> actions [B, T, A], places seen and integrated paths [B, T+1, 2], verdicts.

        Paths and verdicts are of the motion that can be seen, actions are what to command for it.
        """
        actions, velocities, seen = (x.float().cpu().numpy() for x in self.idm(latents))
        paths, verdicts = [], []
        for row, raw, places in zip(actions, velocities, seen, strict=True):
            achieved = kinematics.fuse(raw, places, self.fps)
            row[:, :2] += achieved - raw
            paths.append(kinematics.integrate(places[0], achieved, self.fps))
            verdicts.append(kinematics.check(achieved, row[:, 2:4], paths[-1], places, fps=self.fps, limits=self.limits))
        return actions, seen, np.stack(paths), verdicts

    @torch.no_grad()
    def judge(self, latents: torch.Tensor, seen: torch.Tensor, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Preference scores and success probabilities [B] of rollouts [B, T, Z, 1, 1] and what is seen of them (`MotionCodec.seen`), each the
        mean of VALUE_DRAWS noises that all rollouts share."""
        scores, successes = [], []
        for noise in shared_noise(tuple(latents.shape[1:]), draws=VALUE_DRAWS):
            with autocast(self.device):
                success, score = self.value_head(self.value_head.read(self.world_model, latents, seen, context, noise.to(latents.device)))
            scores.append(score.float())
            successes.append(success.float().sigmoid())
        return torch.stack(scores).mean(0).cpu().numpy(), torch.stack(successes).mean(0).cpu().numpy()

    def choose(self, plan: Plan, n: int) -> np.ndarray:
        """Row index [B] of the best of each frame's n dreams: the highest value among the kinematically accepted ones, or
        among all where none is."""
        values = plan.values.reshape(-1, n)
        accepted = np.array([verdict.accepted for verdict in plan.verdicts]).reshape(-1, n)
        ranked = np.where(accepted | ~accepted.any(1, keepdims=True), values, -np.inf)
        return ranked.argmax(1) + np.arange(len(values)) * n

    # ------------------------------------------------------------------ start frames

    def imagine(self, scene: str, *, n: int, seed: int = 0) -> np.ndarray:
        """n start frames uint8 [n, H, W, 3] from a scene description alone; the i-th has seed `seed + i`.

        Raises ValueError for an empty description or n < 1.
        """
        shape = self.layouts.config.latent_shape
        return self.imagine_from(scene, torch.stack([_seeded(seed + i, shape) for i in range(n)]) if n > 0 else torch.zeros(0, *shape))

    @torch.no_grad()
    def imagine_from(self, scene: str, noise: torch.Tensor, *, steps: int = 24, guidance: float = IMAGINE_GUIDANCE) -> np.ndarray:
        """Start frames uint8 [n, H, W, 3] of a scene description, one for each noise [n, E, FACTS, 1, 1].

        Raises ValueError for an empty description or no noise.
        """
        if not scene.strip() or not len(noise):
            raise ValueError("a scene description and n >= 1 are needed")
        contexts = []
        for words in (scene, ""):
            text, mask = self.text.encode_scenes([words], self.layouts.config.text_tokens)
            with autocast(self.device):
                contexts.append(self.layouts.encode_context(None, text.to(self.device), mask.to(self.device)).repeat(len(noise)))
        with autocast(self.device):
            scenes = flow.sample(self.layouts, contexts[0], noise.to(self.device), steps=steps, guidance=guidance, unconditional=contexts[1])
            latents = self.renderer(tidy(scenes.flatten(2)))
        return self.decode(latents)

    # ------------------------------------------------------------------ helpers

    def _noise(self, seed: int) -> torch.Tensor:
        return _seeded(seed, self.world_model.config.latent_shape).to(self.device)

    def _picture(self, frame: np.ndarray, plan: Plan, index: int, seed: int) -> Dream:
        future = self.decode(plan.frames[index])
        path = plan.paths[index].astype(np.float32)
        return Dream(
            frames=np.concatenate([frame[None], future]),
            latents=plan.latents[index].cpu().numpy().astype(np.float16),
            actions=plan.actions[index].astype(np.float32),
            path=path,
            path_pixels=self.to_frame(path),
            verdict=plan.verdicts[index],
            value=float(plan.values[index]),
            success=float(plan.successes[index]),
            seed=seed,
        )

    def to_frame(self, xy: np.ndarray) -> np.ndarray:
        """Floor points [N, 2] in metres -> [N, 2] in 0..1 of the frame."""
        mapped = np.concatenate([xy, np.ones((len(xy), 1))], -1) @ self.homography.T
        return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)

    def _check_frame(self, frame: np.ndarray) -> None:
        size = self.codec.config.size
        if frame.shape != (size, size, 3) or frame.dtype != np.uint8:
            raise ValueError(f"expected a uint8 frame [{size}, {size}, 3], got {frame.dtype} {list(frame.shape)}")


def base_config(sampler: SamplerSettings = DEFAULT_SAMPLER, limits: kinematics.Limits = kinematics.DEFAULT_LIMITS) -> dict:
    """What a policy of the household world carries beside its weights."""
    from ..worlds.household import camera
    from ..worlds.household.env import CONTROL_HZ
    from ..worlds.household.factors import OBJECTS

    return {
        "world": "household",
        "fps": CONTROL_HZ,
        "sampler": asdict(sampler),
        "limits": asdict(limits),
        "floor_homography": camera.floor_homography().tolist(),
        "probe_objects": list(OBJECTS),
    }


def _seeded(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@functools.cache
def _shared_text() -> TextEncoder:
    """One encoder for all policies of a process: it is frozen, and loading it takes seconds."""
    return TextEncoder()
