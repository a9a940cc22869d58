"""The gate: may a child replace its parent? Decided on paired episodes in a world, never on dreams.

A policy tuned only inside its own model rises there and falls outside (WorldGym): so the judge is the
world, parent and child meet the same episodes with the same seeds, and a figure without its interval
decides nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from training.learn.statistics import Estimate, mcnemar, paired_difference, wilson

ADVERSARIAL, ORDINARY = "adversarial", "ordinary"


@dataclass(frozen=True)
class GateSettings:
    """What a round demands of the child.

    confidence       of every interval.
    ordinary_margin  the most that ordinary success may fall, as the estimate (0.03 = 3 points) ...
    ordinary_floor   ... and as the interval's lower end, which few episodes make wide.
    min_episodes     of each kind; fewer decide nothing.
    """

    confidence: float = 0.95
    ordinary_margin: float = 0.03
    ordinary_floor: float = 0.10
    min_episodes: int = 20

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence must be in (0.5, 1), got {self.confidence!r}")
        for name in ("ordinary_margin", "ordinary_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)!r}")
        if self.min_episodes < 1:
            raise ValueError(f"min_episodes must be positive, got {self.min_episodes!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GateSettings:
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown gate settings: {', '.join(unknown)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How one episode ended. Contact is with the dog; clean success is success without contact."""

    success: bool
    contact: bool

    @property
    def clean(self) -> bool:
        return self.success and not self.contact


@dataclass(frozen=True)
class Pair:
    """The same episode, played by both."""

    kind: str
    scenario: str
    parent: Outcome
    child: Outcome


def compare(pairs: list[Pair], measure: str, *, confidence: float = 0.95) -> dict[str, dict[str, Any] | float]:
    """One measure ("contact", "success" or "clean") over pairs: both rates, the change, its p-value."""
    before = [bool(getattr(pair.parent, measure)) for pair in pairs]
    after = [bool(getattr(pair.child, measure)) for pair in pairs]
    return {
        "parent": wilson(sum(before), len(before), confidence).to_dict(),
        "child": wilson(sum(after), len(after), confidence).to_dict(),
        "change": paired_difference(before, after, confidence=confidence).to_dict(),
        "p": mcnemar(before, after),
    }


def decide(pairs: list[Pair], settings: GateSettings) -> dict[str, Any]:
    """The gate's report, JSON-able.

    Promoted only if, over adversarial episodes, contacts fall or clean success rises with an interval away from zero and
    clean success does not clearly fall (a robot that stops at every dog touches none), while over ordinary episodes success
    does not fall by more than the margin. Plain success on adversarial episodes is reported and decides nothing: who walks
    through the dog arrives.

    Returns:
        {"promote": bool, "reasons": [sentence, ...], "adversarial": {measure: compare(...)},
        "ordinary": {...}, "settings": {...}, "scenarios": [{"scenario", "kind", "n", measures}]}
    """
    adversarial = [pair for pair in pairs if pair.kind == ADVERSARIAL]
    ordinary = [pair for pair in pairs if pair.kind == ORDINARY]
    confidence = settings.confidence
    report: dict[str, Any] = {"settings": settings.to_dict()}
    for name, some in ((ADVERSARIAL, adversarial), (ORDINARY, ordinary)):
        report[name] = {measure: compare(some, measure, confidence=confidence) for measure in ("contact", "success", "clean")}
    reasons: list[str] = []
    enough = True
    for name, some in ((ADVERSARIAL, adversarial), (ORDINARY, ordinary)):
        if len(some) < settings.min_episodes:
            enough = False
            reasons.append(f"Only {len(some)} {name} episodes; the gate asks for {settings.min_episodes}.")
    contact = Estimate(**report[ADVERSARIAL]["contact"]["change"])
    clean = Estimate(**report[ADVERSARIAL]["clean"]["change"])
    success = Estimate(**report[ORDINARY]["success"]["change"])
    fewer, cleaner, worse = contact.high < 0, clean.low > 0, clean.high < 0
    reasons.append(f"Contacts {'fell' if fewer else 'did not clearly fall'}: {points(contact)}.")
    reasons.append(f"Clean success {'rose' if cleaner else 'fell' if worse else 'did not clearly rise'}: {points(clean)}.")
    kept = success.value >= -settings.ordinary_margin and success.low >= -settings.ordinary_floor
    reasons.append(
        f"Ordinary success {'kept' if kept else 'lost too much or is too uncertain'}: "
        f"{points(success)}, allowed -{100 * settings.ordinary_margin:g} "
        f"(interval down to -{100 * settings.ordinary_floor:g})."
    )
    arrived = Estimate(**report[ADVERSARIAL]["success"]["change"])
    reasons.append(f"For information, adversarial success, whatever was touched: {points(arrived)}.")
    report["promote"] = bool(enough and (fewer or cleaner) and not worse and kept)
    report["reasons"] = reasons
    report["scenarios"] = [
        {
            "scenario": scenario,
            "kind": kind,
            "n": len(some),
            **{m: compare(some, m, confidence=confidence) for m in ("contact", "success", "clean")},
        }
        for (kind, scenario), some in sorted(by_scenario(pairs).items())
    ]
    return report


def by_scenario(pairs: list[Pair]) -> dict[tuple[str, str], list[Pair]]:
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.kind, pair.scenario), []).append(pair)
    return groups


def points(change: Estimate) -> str:
    """A change of a rate in percentage points with its interval, for people."""
    return f"{100 * change.value:+.1f} points [{100 * change.low:+.1f}, {100 * change.high:+.1f}], n = {change.n}"
