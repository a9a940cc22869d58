"""A policy's files: one safetensors per part and `config.json`, which says how to build each part. Nothing is unpickled.

Weights are stored as float16 and used as float32.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .codec import Codec, CodecConfig
from .grounding import Grounder
from .idm import InverseDynamics
from .motion import MotionCodec, MotionConfig
from .probe import ProbeNet
from .scenes import Renderer, RendererConfig
from .transformer import TransformerConfig, VideoTransformer
from .value_head import ValueHead

PARTS = ("codec", "motion", "world_model", "layouts", "renderer", "idm", "value_head", "probe")


def build_part(name: str, settings: dict) -> nn.Module:
    """A part with fresh weights. Raises KeyError for an unknown part, TypeError or ValueError for wrong settings."""
    builders = {
        "codec": lambda s: Codec(CodecConfig(**{key: tuple(value) if isinstance(value, list) else value for key, value in s.items()})),
        "motion": lambda s: MotionCodec(MotionConfig(**s)),
        "grounder": lambda s: Grounder(**s),
        "world_model": lambda s: VideoTransformer(TransformerConfig(**s)),
        "layouts": lambda s: VideoTransformer(TransformerConfig(**s)),
        "renderer": lambda s: Renderer(RendererConfig(**s)),
        "idm": lambda s: InverseDynamics(**s),
        "value_head": lambda s: ValueHead(**s),
        "probe": lambda s: ProbeNet(**s),
    }
    return builders[name](settings)


def part_settings(module: nn.Module) -> dict:
    return module.config.to_dict() if hasattr(module, "config") else module.settings


def save_part(directory: Path, name: str, module: nn.Module, **notes) -> None:
    """Writes `<name>.safetensors` and the part's entry in `config.json`; `notes` are merged into the top of it."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in module.state_dict().items()}
    save_file(tensors, directory / f"{name}.safetensors")
    path = directory / "config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    config[name] = part_settings(module)
    path.write_text(json.dumps({**config, **notes}, indent=2, sort_keys=True) + "\n")


def read_config(directory: Path) -> dict:
    """Raises FileNotFoundError with what is missing."""
    path = directory / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: this is not a directory of policy weights")
    return json.loads(path.read_text())


def load_part(directory: Path, name: str, device: torch.device | str = "cpu") -> nn.Module:
    """Raises FileNotFoundError where the part is missing and RuntimeError where its tensors do not fit its settings."""
    path = directory / f"{name}.safetensors"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    module = build_part(name, read_config(directory)[name])
    module.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return module.to(device).eval()
