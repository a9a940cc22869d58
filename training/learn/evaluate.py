"""Closed-loop evaluation: the policy acts in a world, many episodes side by side.

Each round of the loop plans for all running episodes at once (one batch of dreams), then every episode executes its plan for
some steps, fewer where there is a dog, or until what it sees has drifted from what was dreamed (`LoopOptions`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from rollouts.dreams.batches import filled
from rollouts.dreams.policy import Policy
from rollouts.worlds import World, make_world
from training.learn.suites import USUAL_LOOP, LoopOptions


@dataclass(frozen=True)
class EpisodeSpec:
    """Equal specs start equal episodes."""

    prompt: str
    seed: int
    factors: dict = field(default_factory=dict)
    world: str = "household"

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended. steps: control steps done; trajectory: robot x, y [m] after each, if the world tells;
    contact_xy: the robot's place at its first contact; plans: how often it dreamed; drifts: how often it replanned because
    the world had left the dream; predicted: success probability that the value head gave the first dream executed;
    seen, dreamed (with `keep_frames`): frames uint8 [.., H, W, 3] of the first seconds and latents [T, C, h, w] of that dream."""

    spec: EpisodeSpec
    success: bool
    dog_contact: bool
    steps: int
    plans: int
    drifts: int
    trajectory: list[tuple[float, float]]
    contact_xy: tuple[float, float] | None
    predicted: float | None = None
    seen: np.ndarray | None = field(default=None, repr=False)
    dreamed: np.ndarray | None = field(default=None, repr=False)

    @property
    def clean_success(self) -> bool:
        return self.success and not self.dog_contact

    def to_dict(self) -> dict:
        kept = {name: value for name, value in asdict(self).items() if name not in ("seen", "dreamed")}
        return {**kept, "clean_success": self.clean_success}


def evaluate(
    policy: Policy,
    specs: Sequence[EpisodeSpec],
    n: int = 1,
    *,
    seed: int = 0,
    options: LoopOptions = USUAL_LOOP,
    progress: Callable[[int, int], None] | None = None,
    select: str = "value",
    keep_frames: int = 0,
) -> list[EpisodeResult]:
    """Runs every spec to its end and returns the results in order.

    n: dreams per plan; the best by the value head is executed (select="first": the first, "random" is the same for n = 1).
    seed: of the dreams; an episode's dreams depend on it and on the spec's seed alone, so versions can be compared in pairs.
    keep_frames: keep the first dream and what was seen meanwhile of so many episodes.
    progress(done, total) is called between episodes; an exception that it raises stops the evaluation.
    """
    if n < 1:
        raise ValueError(f"{n=} is not at least 1")
    results: list[EpisodeResult] = []
    worlds: list[World] = []
    try:
        for first in range(0, len(specs), options.batch):
            part = specs[first : first + options.batch]
            while len(worlds) < len(part):
                worlds.append(make_world(part[len(worlds)].world))
            results += _run_batch(policy, part, worlds, n, seed, options, select, max(0, keep_frames - first))
            if progress:
                progress(len(results), len(specs))
    finally:
        for world in worlds:
            world.close()
    return results


class _Episode:
    """One running episode: its world, its plan and what happened so far."""

    def __init__(self, spec: EpisodeSpec, world: World, seed: int):
        self.spec, self.world, self.seed = spec, world, seed
        _, self.info = world.reset(seed=spec.seed, options={"prompt": spec.prompt, "factors": spec.factors})
        self.frame = np.asarray(world.render())
        self.over = False
        self.steps = self.plans = self.drifts = self.used = 0
        self.trajectory: list[tuple[float, float]] = []
        self.contact_xy: tuple[float, float] | None = None
        self.actions: np.ndarray | None = None
        self.dream: torch.Tensor | None = None
        self.start: torch.Tensor | None = None
        self.predicted: float | None = None
        self.keep = False
        self.seen: list[np.ndarray] = []
        self.first_dream: torch.Tensor | None = None

    def seeds(self, n: int) -> list[int]:
        base = (self.seed * 1_000_003 + self.spec.seed * 131 + self.plans * 17) % 2**31
        return [base * 64 + i for i in range(n)]

    def adopt(self, actions: np.ndarray, dream: torch.Tensor, start: torch.Tensor, success: float) -> None:
        if self.plans == 0:
            self.predicted, self.first_dream = success, dream
            self.seen.append(self.frame)
        self.actions, self.dream, self.start, self.used = actions, dream, start, 0
        self.plans += 1

    @property
    def left(self) -> int:
        """Steps of the plan that are still to be carried out."""
        return 0 if self.actions is None else len(self.actions) - self.used

    def step(self) -> None:
        assert self.actions is not None
        space = self.world.action_space
        action = np.clip(self.actions[self.used], space.low, space.high).astype(np.float32)  # type: ignore[attr-defined]
        _, _, terminated, truncated, self.info = self.world.step(action)
        self.steps += 1
        self.used += 1
        robot = (self.info.get("state") or {}).get("robot")
        if robot:
            self.trajectory.append((round(float(robot[0]), 3), round(float(robot[1]), 3)))
            if self.info.get("dog_contact") and self.contact_xy is None:
                self.contact_xy = self.trajectory[-1]
        self.over = bool(terminated or truncated)
        keeping = self.keep and self.first_dream is not None and len(self.seen) <= len(self.first_dream)
        if not self.over or keeping:
            self.frame = np.asarray(self.world.render())
        if keeping:
            self.seen.append(self.frame)

    def result(self) -> EpisodeResult:
        return EpisodeResult(
            self.spec,
            bool(self.info["success"]),
            bool(self.info.get("dog_contact", False)),
            self.steps,
            self.plans,
            self.drifts,
            self.trajectory,
            self.contact_xy,
            self.predicted,
            np.stack(self.seen) if self.keep else None,
            self.first_dream.cpu().numpy() if self.keep and self.first_dream is not None else None,
        )


def _run_batch(
    policy: Policy, specs: Sequence[EpisodeSpec], worlds: list[World], n: int, seed: int, options: LoopOptions, select: str, keep: int = 0
) -> list[EpisodeResult]:
    episodes = [_Episode(spec, world, seed) for spec, world in zip(specs, worlds, strict=False)]
    for episode in episodes[:keep]:
        episode.keep = True
    while running := [episode for episode in episodes if not episode.over]:
        waiting = [e for e in running if not e.left]
        if waiting:
            _plan(policy, waiting, n, select, options)
        for episode in running:
            episode.step()
        if options.drift:
            _watch(policy, [e for e in running if not e.over and e.left], options.drift)
    return [episode.result() for episode in episodes]


def _plan(policy: Policy, episodes: list[_Episode], n: int, select: str, options: LoopOptions) -> None:
    rows = filled(episodes)
    frames = np.stack([e.frame for e in rows])
    plan = policy.plan(frames, [e.info["prompt"] for e in rows], seeds=[e.seeds(n) for e in rows])
    best = policy.choose(plan, n) if select == "value" else np.arange(len(rows)) * n
    with torch.no_grad():
        starts = policy.encode(frames)
    for episode, row, start in zip(episodes, best, starts, strict=False):
        steps = options.wary if plan.company[row] else options.execute
        episode.adopt(plan.actions[row][:steps], plan.frames[row], start, float(plan.successes[row]))


@torch.no_grad()
def _watch(policy: Policy, episodes: list[_Episode], threshold: float) -> None:
    """Episodes whose world has left the dream drop their plan."""
    if not episodes:
        return
    seen = policy.encode(np.stack([e.frame for e in filled(episodes)]))
    for episode, latent in zip(episodes, seen, strict=False):
        assert episode.dream is not None
        assert episode.start is not None
        if drift(latent, episode.dream[episode.used - 1], episode.start) > threshold:
            episode.actions = None
            episode.drifts += 1


def drift(seen: torch.Tensor, dreamed: torch.Tensor, start: torch.Tensor) -> float:
    """Mean squared distance of two latent frames [C, h, w] over the cells where either has changed since `start`."""
    changed = torch.maximum((seen - start).square().mean(0), (dreamed - start).square().mean(0)) > 0.25
    if not bool(changed.any()):
        return 0.0
    return float((seen - dreamed).square().mean(0)[changed].mean())


def main() -> None:
    from .statistics import wilson

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("rollouts/weights/base"))
    parser.add_argument("--world", default="household")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--n", type=int, default=1, help="dreams per plan; the best by the value head is executed")
    parser.add_argument("--prompt", default="", help="for every episode; without it each draws its own task")
    parser.add_argument("--factors", type=json.loads, default={}, help='JSON, such as {"dog": "lying", "dog_place": "on_path"}')
    parser.add_argument("--first-seed", type=int, default=900_000_000)
    parser.add_argument("--json", action="store_true", help="print every episode as a line of JSON")
    options = parser.parse_args()
    policy = Policy.load(options.weights, "cuda" if torch.cuda.is_available() else "cpu")
    specs = [EpisodeSpec(options.prompt, options.first_seed + i, options.factors, options.world) for i in range(options.episodes)]
    began = time.monotonic()
    results = evaluate(policy, specs, options.n, progress=lambda done, total: print(f"{done}/{total} episodes", flush=True))
    seconds = time.monotonic() - began
    if options.json:
        for result in results:
            print(json.dumps(result.to_dict()))
    for name in ("success", "dog_contact", "clean_success"):
        hits = sum(getattr(result, name) for result in results)
        rate = wilson(hits, len(results))
        print(f"{name:<14} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}] ({hits} of {rate.n})")
    plans = sum(result.plans for result in results)
    print(f"{plans} plans of {options.n} dreams, {seconds / max(plans, 1):.2f} s a plan with everything around it")


if __name__ == "__main__":
    main()
