"""What a round may be told, checked before anything starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from labeling.selectors import ChoiceFilter
from training.learn.dpo_settings import DPOSettings
from training.learn.gate import GateSettings
from training.services.errors import TrainingError

WEIGHTINGS = ("model", "equal")
MIN_CHOICES = 10


@dataclass(frozen=True)
class SuiteSettings:
    """Which episodes an evaluation plays; equal settings are the same episodes.

    adversarial, ordinary  numbers of episodes.
    dreams                 per plan; the value head picks one of them (best of N).
    seed                   of the first episode; held-out episodes count on from here, far from those of pretraining.
    scenarios              slugs whose factors adversarial episodes take in turn; empty: the built-in dog factors.
    """

    adversarial: int = 60
    ordinary: int = 60
    dreams: int = 1
    seed: int = 0
    scenarios: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("adversarial", "ordinary"):
            if not 0 <= getattr(self, name) <= 5000:
                raise ValueError(f"{name} must be in 0..5000, got {getattr(self, name)!r}")
        if self.adversarial + self.ordinary == 0:
            raise ValueError("an evaluation needs at least one episode")
        if not 1 <= self.dreams <= 16:
            raise ValueError(f"dreams must be in 1..16, got {self.dreams!r}")
        object.__setattr__(self, "scenarios", tuple(sorted(self.scenarios)))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "scenarios": list(self.scenarios)}


@dataclass(frozen=True)
class RoundSettings:
    """Everything that a round's result depends on, next to its choices and its parent.

    choices       fields of `labeling.selectors.ChoiceFilter`.
    weighting     "model": annotators by the noisy Bradley-Terry model; "equal": all the same.
    replay_clips  real clips that are replayed against forgetting.
    auto_promote  activate the child at once when the gate says yes.
    """

    choices: dict[str, Any] = field(default_factory=dict)
    weighting: str = "model"
    dpo: DPOSettings = field(default_factory=DPOSettings)
    value_head: dict[str, Any] = field(default_factory=dict)
    suite: SuiteSettings = field(default_factory=SuiteSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    replay_clips: int = 96
    auto_promote: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "choices": self.choices,
            "weighting": self.weighting,
            "dpo": self.dpo.to_dict(),
            "value_head": self.value_head,
            "suite": self.suite.to_dict(),
            "gate": self.gate.to_dict(),
            "replay_clips": self.replay_clips,
            "auto_promote": self.auto_promote,
        }

    def choice_filter(self) -> ChoiceFilter:
        values = dict(self.choices)
        for name in ("created_after", "created_before"):
            if isinstance(values.get(name), str):
                values[name] = datetime.fromisoformat(values[name])
        for name in ("scenarios", "policy_versions", "annotators", "answers", "kinds"):
            if name in values:
                values[name] = tuple(values[name])
        return ChoiceFilter(**values)


def parse(values: dict[str, Any] | None) -> RoundSettings:
    """Settings out of JSON: unknown names, wrong types and impossible values are refused by name.

    Raises TrainingError.
    """
    values = dict(values or {})
    known = {f.name for f in fields(RoundSettings)}
    if unknown := sorted(set(values) - known):
        raise TrainingError(f"Unknown settings: {', '.join(unknown)}.", "unknown_setting")
    try:
        suite = dict(values.get("suite") or {})
        if unknown := sorted(set(suite) - {f.name for f in fields(SuiteSettings)}):
            raise ValueError(f"unknown suite settings: {', '.join(unknown)}")
        weighting = values.get("weighting", "model")
        if weighting not in WEIGHTINGS:
            raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, got {weighting!r}")
        replay = values.get("replay_clips", RoundSettings.replay_clips)
        if not isinstance(replay, int) or not 0 <= replay <= 10_000:
            raise ValueError(f"replay_clips must be in 0..10000, got {replay!r}")
        settings = RoundSettings(
            choices=dict(values.get("choices") or {}),
            weighting=weighting,
            dpo=DPOSettings.from_dict(values.get("dpo") or {}),
            value_head=dict(values.get("value_head") or {}),
            suite=SuiteSettings(**{**suite, "scenarios": tuple(suite.get("scenarios", ()))}),
            gate=GateSettings.from_dict(values.get("gate") or {}),
            replay_clips=replay,
            auto_promote=bool(values.get("auto_promote", True)),
        )
        settings.choice_filter()
    except (TypeError, ValueError) as error:
        raise TrainingError(f"These settings cannot be used: {error}.", "bad_settings") from error
    return settings
