"""Settings of DPO post-training, each with its reason."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class DPOSettings:
    """What a round may choose. Unknown names and values out of range are refused."""

    # Objective. Errors are means over dimensions, so a margin of 1 needs an error gap of 2/beta. Published for frame latents: 100 to 800.
    # Dreams of meaningful codes are predicted well by who dreamed them, with errors of 0.06 in all numbers and 0.15 in the robot's own: at beta 5
    # a margin of 1 is out of reach and the loss pushes on for ever. With credit for all numbers 40 settled; the robot's own are a fifth of them, and 8
    # pulls as hard on these. At 40 the held-out loss was noise from one evaluation to the next (0.66 to 0.84), at 15 the replay won after 20 steps.
    beta: float = 8.0
    # Assumed share of flipped labels.
    label_smoothing: float = 0.05
    # None fits theta to the tie rate of the answers; 1 drops ties.
    tie_theta: float | None = None
    # Weight of the winner's own flow-matching error, as a multiple of the gradient that the
    # preference itself puts on that error at the reference (beta / 4). Dreams are sampled with guidance, so an anchor on them
    # teaches guidance once more: at 1 it undid what the preference taught about the dog (300 choices, shipped base).
    anchor_weight: float = 0.1
    # "dpo", or "sft": winners only, a control that must do worse.
    objective: str = "dpo"
    # What a preference gives credit for: "robot", what the robot does in a dream, or "all", also what dog and objects do there. Of two dreams
    # the better one is often the one in which the dog happened to walk elsewhere; that is no merit of the robot's (`bench/foresight.py`).
    credit: str = "robot"
    # Weight of what holds the dreamed dog and objects to where the parent dreams them, in the same unit as the anchor's; with credit "robot".
    world_weight: float = 5.0
    # Scale the loser's gradient where it would raise the winner's error; None leaves it.
    loser_safety: float | None = None

    # Batch: new pairs / pairs of earlier rounds / real clips. Missing kinds give their share away.
    # Many pairs a step: they agree on little, and Adam makes steps of what they disagree on. At 64 and 1e-4 the held-out loss went up and down
    # by 0.05 between evaluations, at 128 and twice the replay by 0.03 (shipped base).
    pairs_per_step: int = 128
    share_old: float = 0.15
    # Twice the share of FlowPRO's rounds: pairs are about dogs, and a child that learns from little else loses its way in ordinary rooms.
    share_replay: float = 0.3
    # Weight of a replayed clip's error, in the same unit as the anchor's. It is a mean over all numbers, which are predicted better than the robot's own.
    replay_weight: float = 5.0
    # Pairs per forward pass; smaller saves memory (a quarter of a GiB at 32) and takes a fifth longer, the result is the same.
    micro_batch: int = 128

    # Optimiser.
    steps: int = 60
    # At 3e-5 and 64 pairs a step, 60 steps ordered as many held-out pairs and changed nothing in the world (60 episodes).
    learning_rate: float = 1e-4
    warmup_steps: int = 5
    weight_decay: float = 0.0
    # Norm limit, stated for a plain flow-matching error; it is scaled by ``error_unit``.
    gradient_clip: float = 1.0
    # "full" trains every weight against a frozen copy; "lora" trains adapters, off = reference.
    adapt: str = "full"
    lora_rank: int = 32
    lora_alpha: float = 64.0

    # Times: t ~ sigmoid(N(mean, std)), nearer to noise than in pretraining. Which way a dream takes is decided there: the preference
    # gradients of two halves of the start frames point the same way at t >= 0.9 (cosine 0.43 to 0.48, `bench/dpo_times.py`) and hardly at
    # 0.6 (0.06), where the way can be read from the noised clip itself. Below time_min the velocity of an x-prediction is unbounded and says nothing.
    time_mean: float = 2.0
    time_std: float = 1.0
    time_min: float = 0.05

    # Held-out pairs, by start frame, and when to stop.
    held_out: float = 0.15
    evaluate_every: int = 5
    patience: int = 4
    # Alarm when held-out winners are predicted this much worse than by the parent (rounds that helped in the world had up to 1.16) ...
    winner_error_limit: float = 1.3
    # ... or dreams move this much less than the parent's (the measure of 8 dreams swings by about a tenth).
    motion_limit: float = 0.7
    # Dreams sampled per evaluation to measure motion, and sampler steps for them.
    motion_dreams: int = 8
    motion_steps: int = 6

    checkpoint_every: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can not work, naming the setting and its value."""
        positive = (
            "beta",
            "learning_rate",
            "pairs_per_step",
            "micro_batch",
            "steps",
            "time_std",
        )
        for name in (
            *positive,
            "evaluate_every",
            "checkpoint_every",
            "patience",
            "lora_rank",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("anchor_weight", "world_weight", "replay_weight", "weight_decay", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")
        for name in ("share_old", "share_replay", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)!r}")
        if self.share_old + self.share_replay >= 1:
            raise ValueError(f"no room for new pairs: {self.share_old=} {self.share_replay=}")
        if not 0 <= self.time_min < 0.5:
            raise ValueError(f"time_min must be in [0, 0.5), got {self.time_min!r}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be in [0, 0.5), got {self.label_smoothing!r}")
        if self.objective not in ("dpo", "sft"):
            raise ValueError(f"objective must be dpo or sft, got {self.objective!r}")
        if self.credit not in ("robot", "all"):
            raise ValueError(f"credit must be robot or all, got {self.credit!r}")
        if self.adapt not in ("full", "lora"):
            raise ValueError(f"adapt must be full or lora, got {self.adapt!r}")
        if self.loser_safety is not None and not 0 < self.loser_safety <= 1:
            raise ValueError(f"loser_safety must be in (0, 1], got {self.loser_safety!r}")

    @property
    def error_unit(self) -> float:
        """What the preference loss weighs a winner's error by at the reference: beta * sigmoid(0) / 2."""
        return self.beta / 4

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DPOSettings:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown DPO settings: {', '.join(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
