"""What a round may be told, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from django.utils import timezone

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
    mirror        learn from every choice also as it looks in a room that is turned over, left to right.
    auto_promote  activate the child at once when the gate says yes.
    """

    choices: dict[str, Any] = field(default_factory=dict)
    weighting: str = "model"
    dpo: DPOSettings = field(default_factory=DPOSettings)
    value_head: dict[str, Any] = field(default_factory=dict)
    suite: SuiteSettings = field(default_factory=SuiteSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    replay_clips: int = 512
    mirror: bool = True
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
            "mirror": self.mirror,
            "auto_promote": self.auto_promote,
        }

    def choice_filter(self) -> ChoiceFilter:
        """Raises ValueError or TypeError, naming the field, for what a filter cannot be: it comes out of JSON that anybody wrote."""
        values = dict(self.choices)
        for name in ("created_after", "created_before"):
            if name in values and values[name] is not None:
                values[name] = moment(name, values[name])
        for name in ("scenarios", "policy_versions", "annotators"):
            if name in values:
                values[name] = tuple(listed(name, values[name], lambda one: type(one) is int and 0 < one < 2**63, "ids"))
        for name in ("answers", "kinds"):
            if name in values:
                values[name] = tuple(listed(name, values[name], lambda one: isinstance(one, str), "words"))
        for name in ("simulated", "qualified_only", "include_excluded"):
            if not isinstance(values.get(name, False), bool) and not (name == "simulated" and values[name] is None):
                raise ValueError(f"{name} must be true or false, got {values[name]!r}")
        least = values.get("min_response_ms", 0)
        if type(least) is not int or not 0 <= least < 2**31:
            raise ValueError(f"min_response_ms must be a number of milliseconds, got {least!r}")
        return ChoiceFilter(**values)


def truth(name: str, value: Any) -> bool:
    """Raises ValueError for anything but true and false: "false" in quotes must not promote."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, got {str(value)[:80]!r}")
    return value


def listed(name: str, values: Any, fits: Callable[[Any], bool], what: str) -> list[Any]:
    """`values` if it is a list of what fits. Raises ValueError."""
    if not isinstance(values, list | tuple) or len(values) > 1000 or not all(map(fits, values)):
        raise ValueError(f"{name} must be a list of {what}, got {str(values)[:80]}")
    return list(values)


def moment(name: str, value: Any) -> datetime:
    """ISO 8601, or a datetime; without a time zone it is in the site's. Raises ValueError."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(found, datetime):
        raise ValueError(f"{name} must be a time in ISO 8601, got {value!r}")
    return timezone.make_aware(found) if timezone.is_naive(found) else found


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
        if type(replay) is not int or not 0 <= replay <= 10_000:
            raise ValueError(f"replay_clips must be in 0..10000, got {replay!r}")
        settings = RoundSettings(
            choices=dict(values.get("choices") or {}),
            weighting=weighting,
            dpo=DPOSettings.from_dict(values.get("dpo") or {}),
            value_head=dict(values.get("value_head") or {}),
            suite=SuiteSettings(**{**suite, "scenarios": tuple(suite.get("scenarios", ()))}),
            gate=GateSettings.from_dict(values.get("gate") or {}),
            replay_clips=replay,
            mirror=truth("mirror", values.get("mirror", True)),
            auto_promote=truth("auto_promote", values.get("auto_promote", True)),
        )
        settings.choice_filter()
    except (TypeError, ValueError, OverflowError) as error:
        raise TrainingError(f"These settings cannot be used: {error}.", "bad_settings") from error
    return settings
