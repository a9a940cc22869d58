"""The choices that count: not taken back, not excluded. What a round learns from, and what an export holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from labeling.models import AnnotatorEstimate, Choice, Exclusion

ANSWERS = ("a", "b", "tie", "both_bad", "cant_tell")
WEIGHTINGS = ("model", "equal")
# Weight of an annotator whom no fit has seen yet: between a coin (0) and certainty (1), near what a new, attentive person turns out to have.
UNKNOWN_WEIGHT = 0.7


@dataclass(frozen=True)
class ChoiceFilter:
    """Which choices. Every field narrows; None (or an empty sequence) does not."""

    scenarios: Sequence[int] = ()
    """Scenario ids."""
    policy_versions: Sequence[int] = ()
    """Both rollouts come from one of these policy version ids."""
    annotators: Sequence[int] = ()
    """User ids."""
    answers: Sequence[str] = ("a", "b", "tie", "both_bad")
    """Of a, b, tie, both_bad, cant_tell."""
    kinds: Sequence[str] = ("normal",)
    """Of normal, gold, repeat. A round leaves gold and repeats out: they measure people."""
    simulated: bool | None = None
    """True: only simulated annotators; False: only people."""
    created_after: datetime | None = None
    created_before: datetime | None = None
    qualified_only: bool = False
    """Only annotators who passed the qualifying set (or were waived)."""
    min_response_ms: int = 0
    include_excluded: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.answers) - set(ANSWERS))
        if unknown:
            raise ValueError(f"answers are of {ANSWERS}; got {unknown}")
        unknown = sorted(set(self.kinds) - {"normal", "gold", "repeat"})
        if unknown:
            raise ValueError(f"kinds are of normal, gold, repeat; got {unknown}")


@dataclass(frozen=True)
class ChoiceRow:
    """One choice as a round sees it. `answer`, `success_*` and `segments` speak of rollout_a and rollout_b.

    weight    0..1, of the annotator (see `choices_for_round`).
    strength  1..3 or None.
    segments  [{"side": "a"|"b", "from": i, "to": j}]: frames (inclusive) in which that side is worse.
    """

    choice: UUID
    comparison: int
    annotator: int
    is_simulated: bool
    weight: float
    rollout_a: int
    rollout_b: int
    start_frame: int
    scenario: int
    prompt: str
    policy_version_a: int
    policy_version_b: int
    answer: str
    side: str
    strength: int | None
    success_a: bool | None
    success_b: bool | None
    criteria: dict = field(default_factory=dict)
    segments: list[dict] = field(default_factory=list)
    response_ms: int = 0
    strategy: str = ""
    created_at: datetime | None = None


def live_choices(where: ChoiceFilter | None = None) -> QuerySet[Choice]:
    """Choices that count, narrowed by `where`, in the one stable order: (created_at, id)."""
    where = where or ChoiceFilter()
    choices = Choice.objects.filter(undone_by__isnull=True, answer__in=where.answers, comparison__kind__in=where.kinds)
    if not where.include_excluded:
        excluded = Exclusion.objects.filter(
            Q(until_at__isnull=True) | Q(until_at__gt=OuterRef("created_at")),
            annotator_id=OuterRef("annotator_id"),
            lifted_at__isnull=True,
            from_at__lte=OuterRef("created_at"),
        )
        choices = choices.filter(~Exists(excluded))
    if where.scenarios:
        choices = choices.filter(comparison__start_frame__scenario_version__scenario__in=where.scenarios)
    if where.policy_versions:
        choices = choices.filter(
            comparison__rollout_a__policy_version__in=where.policy_versions,
            comparison__rollout_b__policy_version__in=where.policy_versions,
        )
    if where.annotators:
        choices = choices.filter(annotator__in=where.annotators)
    if where.simulated is not None:
        choices = choices.filter(is_simulated=where.simulated)
    if where.created_after is not None:
        choices = choices.filter(created_at__gte=where.created_after)
    if where.created_before is not None:
        choices = choices.filter(created_at__lt=where.created_before)
    if where.qualified_only:
        choices = choices.filter(annotator__labeling_profile__qualification__in=["passed", "waived"])
    if where.min_response_ms:
        choices = choices.filter(response_ms__gte=where.min_response_ms)
    return choices.order_by("created_at", "id")


def annotator_weights() -> dict[int, float]:
    """user id -> weight of the latest fit of the annotator model."""
    latest = AnnotatorEstimate.objects.order_by("annotator_id", "-fitted_at").distinct("annotator_id")
    return dict(latest.values_list("annotator_id", "weight"))


def choices_for_round(where: ChoiceFilter | None = None, *, weighting: str = "model") -> list[ChoiceRow]:
    """The choices that a round learns from, in the stable order (created_at, id).

    Taken-back and excluded choices are left out; the same filter over the same data gives the same rows, so their hash
    names a snapshot.

    weighting: "model": the weight of the annotator by the latest noisy Bradley-Terry fit (UNKNOWN_WEIGHT without one);
    "equal": 1 for everyone. Raises ValueError for another word.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting is one of {WEIGHTINGS}; got {weighting!r}")
    weights = annotator_weights() if weighting == "model" else {}
    unknown = UNKNOWN_WEIGHT if weighting == "model" else 1.0
    return [ChoiceRow(**row, weight=weights.get(row["annotator"], unknown)) for row in _rows(live_choices(where))]


def _rows(choices: QuerySet[Choice]) -> Iterator[Any]:
    return choices.values(
        "comparison",
        "annotator",
        "is_simulated",
        "answer",
        "side",
        "strength",
        "success_a",
        "success_b",
        "criteria",
        "segments",
        "response_ms",
        "created_at",
        choice=F("id"),
        rollout_a=F("comparison__rollout_a"),
        rollout_b=F("comparison__rollout_b"),
        start_frame=F("comparison__start_frame"),
        scenario=F("comparison__start_frame__scenario_version__scenario"),
        prompt=F("comparison__rollout_a__prompt"),
        policy_version_a=F("comparison__rollout_a__policy_version"),
        policy_version_b=F("comparison__rollout_b__policy_version"),
        strategy=F("comparison__strategy"),
    ).iterator(chunk_size=2000)
