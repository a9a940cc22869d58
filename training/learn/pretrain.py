"""Pretraining: every part of the base policy from demonstrations, one resumable stage each.

    python -m training.learn.pretrain --data data/household --out var/pretrain --stages codec,world_model
    torchrun --nproc-per-node 2 -m training.learn.pretrain --data data/household --out var/pretrain --stages world_model

Stages read the parts of earlier ones from `--out`. The value head has a command of its own (`value.py`), since it is
trained again after every round.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from rollouts.dreams import weights
from rollouts.dreams.codec import Codec, CodecConfig
from rollouts.dreams.grounding import Grounder
from rollouts.dreams.idm import InverseDynamics
from rollouts.dreams.motion import MotionCodec
from rollouts.dreams.policy import base_config
from rollouts.dreams.precision import native_bfloat16
from rollouts.dreams.probe import ProbeNet
from rollouts.dreams.scenes import Renderer, layout_config
from rollouts.dreams.text import MiniLM, tabulate
from rollouts.dreams.transformer import TransformerConfig, VideoTransformer
from rollouts.worlds.household.describe import all_plan_clauses, all_scene_clauses
from rollouts.worlds.household.factors import OBJECTS
from rollouts.worlds.household.tasks import all_prompts
from rollouts.worlds.household.tokens import ENTITIES

from .clips import ClauseTable, Clips, load_clips
from .distributed import World, join_world
from .loop import Loop, LoopSettings
from .monitor import Monitor, WorldModelMonitor
from .recipes import CodecRecipe, GroundingRecipe, IdmRecipe, LayoutRecipe, MotionRecipe, ProbeRecipe, RendererRecipe, WorldModelRecipe

STAGES = ("codec", "renderer", "motion", "tracker", "grounder", "world_model", "layouts", "idm", "probe")
# These see single frames or the first ones of clips, encoded as they come; fresh episodes cost no more.
FEW_PICTURES = ("tracker", "grounder", "world_model", "probe")
HELDOUT_SHARE = 0.02  # of the shards, the last ones, are never trained on

# Batch, steps, AdamW rate, Muon rate; what was tried is in docs/pretraining.md.
DEFAULTS = {
    "codec": LoopSettings(steps=6_000, lr=1.5e-3, ema=0.999, warmup=200),
    "motion": LoopSettings(steps=6_000, lr=1e-3, muon_lr=1e-3, ema=0.995, warmup=60, decay=0.5),
    "world_model": LoopSettings(steps=60_000, lr=6e-4, muon_lr=2e-3, ema=0.995, warmup=60, decay=0.5),
    "grounder": LoopSettings(steps=12_000, lr=1e-3, ema=0.998, warmup=60),
    "renderer": LoopSettings(steps=6_000, lr=1e-3, muon_lr=2e-3, ema=0.998, warmup=60, decay=0.5),
    "layouts": LoopSettings(steps=20_000, lr=6e-4, muon_lr=2e-3, ema=0.998, warmup=60, decay=0.5),
    "idm": LoopSettings(steps=12_000, lr=1e-3, ema=0.999),
    "tracker": LoopSettings(steps=12_000, lr=1e-3, ema=0.999),
    "probe": LoopSettings(steps=12_000, lr=1e-3, ema=0.999),
}
BATCHES = {"codec": 64, "motion": 48, "tracker": 64, "world_model": 48, "grounder": 128, "renderer": 128, "layouts": 256, "idm": 16, "probe": 64}


def clause_table(path: Path | None, device: torch.device | str = "cpu") -> ClauseTable:
    """All clauses of the training grammar, encoded; kept in `path` (npz) when given, and read from there next time."""
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as stored:
            names = json.loads(stored["names"].tobytes())
            parts = np.split(stored["states"], np.cumsum(stored["lengths"])[:-1])
        return ClauseTable(dict(zip(names, parts, strict=True)), device)
    from rollouts.dreams.text import split

    texts = all_prompts() + all_scene_clauses() + all_plan_clauses(OBJECTS)
    table = tabulate([clause for text in texts for clause in split(text)], MiniLM())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        names = np.frombuffer(json.dumps(list(table)).encode(), np.uint8)
        np.savez_compressed(path, names=names, states=np.concatenate(list(table.values())), lengths=[len(v) for v in table.values()])
    return ClauseTable(table, device)


def split_shards(data: Path) -> tuple[list[Path], list[Path]]:
    """Training and held-out shards."""
    shards = sorted(data.glob("shard-*.npz"))
    held = max(1, round(len(shards) * HELDOUT_SHARE)) if len(shards) > 1 else 0
    return shards[: len(shards) - held], shards[len(shards) - held :]


def train_stage(
    name: str,
    clips: Clips,
    out: Path,
    settings: LoopSettings,
    *,
    batch: int,
    held: Clips | None = None,
    compiled: bool = False,
    warm: bool = False,
    world: World | None = None,
    publish: Callable[[str, int, dict], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> None:
    """Trains one part to `out/<name>.safetensors`; its checkpoints and logs lie in `out/runs/<name>`.

    With `warm` the part starts from the one that lies in `out`, as far as their shapes agree; the rest of it starts fresh.
    With `held`, clips that are not trained on, the world model is validated on them as it trains. `publish(part, step,
    metrics)` is called with every line of the log.
    """
    if name not in FEW_PICTURES and not clips.whole:
        raise ValueError(f"stage {name} needs pictures of all frames, and these episodes have some (collect --pictures)")
    device = clips.device
    torch.manual_seed(settings.seed)  # the initial weights
    muon: list[torch.nn.Module] = []
    if name == "codec":
        model: torch.nn.Module = Codec(CodecConfig(size=clips.frames.shape[1])).to(device)
        recipe: torch.nn.Module = CodecRecipe(model, clips, batch)  # type: ignore[arg-type]
    else:
        codec = weights.load_part(out, "codec", device)
        clips.codec = codec
        if clips.latents is None and name not in FEW_PICTURES:
            clips.encode(codec, cache=out / "latents.safetensors")
        if name == "motion":
            model = MotionCodec().to(device)
            begin_as(model.renderer, weights.load_part(out, "renderer", device))
            recipe = MotionRecipe(model, clips, batch)
            muon = [model.renderer.blocks]
        elif name == "tracker":
            motion: MotionCodec = weights.load_part(out, "motion", device)  # type: ignore[assignment]
            model = motion.tracker
            recipe = ProbeRecipe(model, clips, batch)
        elif name == "world_model":
            motion = weights.load_part(out, "motion", device)  # type: ignore[assignment]
            things, width = 2 + motion.config.objects, motion.config.tracker_width
            model = VideoTransformer(TransformerConfig(frames=clips.horizon, channels=motion.config.code, things=things, tracker_width=width)).to(device)
            if not warm:  # else the grounder comes with the rest
                model.grounder.load_state_dict(weights.load_part(out, "grounder", device).state_dict())  # type: ignore[union-attr]
            recipe = WorldModelRecipe(model, clips, batch)
            muon = list(model.blocks)
        elif name == "grounder":
            model = Grounder().to(device)
            recipe = GroundingRecipe(model, clips, batch)
        elif name == "renderer":
            model = Renderer().to(device)
            recipe = RendererRecipe(model, clips, batch)
            muon = list(model.blocks)
        elif name == "layouts":
            assert clips.words is not None
            model = VideoTransformer(layout_config(len(ENTITIES))).to(device)
            recipe = LayoutRecipe(model, clips.words, batch)
            muon = list(model.blocks)
        elif name == "idm":
            model = InverseDynamics().to(device)
            recipe = IdmRecipe(model, clips, batch)
        elif name == "probe":
            model = ProbeNet(entities=2 + len(OBJECTS)).to(device)
            recipe = ProbeRecipe(model, clips, batch)
        else:
            raise ValueError(f"stage {name!r} is not one of {', '.join(STAGES)}")
    if warm and name != "tracker":  # which always goes on from the motion codec's
        warm_start(model, out / f"{name}.safetensors")
    if name == "world_model":
        model.tracker.load_state_dict(motion.tracker.state_dict())  # type: ignore[union-attr]
    directory = out / "runs" / name
    loop = Loop(recipe, model, directory, settings, muon_modules=muon, should_stop=should_stop, world=world)
    if loop.world.is_main:
        loop.log = Monitor(directory, publish=publish)
        if name == "world_model" and held is not None:
            held.codec = codec
            every = settings.log_every * 10
            loop.log = WorldModelMonitor(directory, held, codec, motion, lambda: loop.average, every=every, publish=publish)  # type: ignore[arg-type]
    if compiled:
        compile_parts(model)
    average = loop.run()
    if not loop.world.is_main:
        return
    if isinstance(recipe, CodecRecipe):
        recipe.normalise(average)  # type: ignore[arg-type]
    if name == "tracker":  # a part of the motion codec
        motion.tracker = average  # type: ignore[assignment]
        weights.save_part(out, "motion", motion, **base_config())
    else:
        weights.save_part(out, name, average, **base_config())
    notes = out / f"{name}.json"
    notes.write_text(
        json.dumps(
            {
                "steps": loop.step,
                "seconds": round(loop.elapsed, 1),
                "batch": batch,
                "device": str(device),
                "episodes": len(clips.meta),
                "frames": len(clips.picture),
                "settings": vars(settings),
            },
            indent=2,
        )
        + "\n"
    )


def begin_as(renderer: Renderer, trained: torch.nn.Module) -> None:
    """Loads the weights of a renderer of whole scenes into one that is told of the first things of a scene only."""
    state = trained.state_dict()
    renderer.load_state_dict({**state, "entity": state["entity"][: renderer.config.entities]})


def warm_start(model: torch.nn.Module, path: Path) -> None:
    """Loads what fits from a part's file. Raises FileNotFoundError where there is none."""
    mine = model.state_dict()
    before = {key: value.to(mine[key].dtype) for key, value in load_file(path).items() if key in mine and value.shape == mine[key].shape}
    rest = model.load_state_dict(before, strict=False).missing_keys
    print(f"goes on from {path}: {len(before)} of {len(mine)} tensors{', not ' if rest else ''}{', '.join(rest)}", flush=True)


def compile_parts(model: torch.nn.Module) -> None:
    """torch.compile the methods that recipes call; a minute once, worth it on a GPU only."""
    for method in ("predict", "encode_context", "picture", "forward"):
        if (method != "forward" or not isinstance(model, (VideoTransformer, MotionCodec))) and hasattr(model, method):
            setattr(model, method, torch.compile(getattr(model, method)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory of episode shards")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stages", default=",".join(STAGES), help="names, each with its own time limit if wanted: codec:480,idm")
    parser.add_argument("--steps", type=int, default=0, help="instead of each stage's own")
    parser.add_argument("--seconds", type=float, default=0.0, help="time limit of each stage")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1.0, help="times each stage's own learning rates")
    parser.add_argument("--seed", type=int, default=0, help="of data and noise; another one when a part goes on with --warm")
    parser.add_argument("--clauses", type=Path, default=None, help="cache of encoded clauses")
    parser.add_argument("--max-shards", type=int, default=0)
    parser.add_argument("--warm", action="store_true", help="each part starts from the one in --out, if no run is under way")
    parser.add_argument("--compile", action="store_true")
    with join_world() as world:
        run(parser.parse_args(), world)


def run(options: argparse.Namespace, world: World) -> None:
    """All the stages asked for, in this process of `world`."""
    if world.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    words = clause_table(options.clauses, world.device)
    shards, held_shards = split_shards(options.data)
    began = time.monotonic()
    clips = load_clips(shards[: options.max_shards or None], words).to(world.device)
    held = load_clips(held_shards[-2:], words).to(world.device) if held_shards else None
    print(f"{len(clips.meta)} episodes, {len(clips.picture)} frames, read in {time.monotonic() - began:.0f} s", flush=True)
    for stage in options.stages.split(","):
        name, _, seconds = stage.partition(":")
        if name not in DEFAULTS:
            raise SystemExit(f"stage {name!r} is not one of {', '.join(STAGES)}")
        base = DEFAULTS[name]
        limits = {"steps": options.steps or base.steps, "seconds": float(seconds or options.seconds)}
        rates = {"lr": base.lr * options.rate, "muon_lr": base.muon_lr * options.rate, "seed": options.seed}
        settings = LoopSettings(**{**vars(base), **limits, **rates, "bf16": native_bfloat16(world.device)})
        batch = options.batch or BATCHES[name]
        train_stage(name, clips, options.out, settings, batch=batch, held=held, compiled=options.compile, warm=options.warm, world=world)


if __name__ == "__main__":
    main()
