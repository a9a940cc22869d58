"""Policy versions ranked by the choices of annotators."""

from __future__ import annotations

from dataclasses import dataclass

from labeling.quality import Standing, leaderboard
from rollouts.models import PolicyVersion

from .rounds import ChoiceFilter, choices_for_round

# "Both bad" prefers neither: for a ranking it is a tie.
RESULTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}


@dataclass(frozen=True)
class Place:
    """One line of the leaderboard. Neighbours whose intervals overlap share a rank."""

    rank: int
    version: PolicyVersion
    standing: Standing
    both_bad: int

    @property
    def rating(self) -> str:
        return f"{self.standing.rating:.0f}"


@dataclass(frozen=True)
class Leaderboard:
    places: list[Place]
    comparisons: int
    """Choices between two different versions: those that count here."""
    choices: int


def versions_ranked(where: ChoiceFilter | None = None, *, bootstrap: int = 200) -> Leaderboard:
    """Bradley-Terry with ties over the choices that compare two versions, with 95% bootstrap intervals."""
    rows = choices_for_round(where, weighting="equal")
    across = [row for row in rows if row.policy_version_a != row.policy_version_b and row.answer in RESULTS]
    standings = leaderboard([(row.policy_version_a, row.policy_version_b, RESULTS[row.answer]) for row in across], bootstrap=bootstrap)
    versions = PolicyVersion.objects.in_bulk([standing.version for standing in standings])
    places = []
    for standing in standings:
        # Ranked below everyone who is better for sure.
        rank = 1 + sum(other.low > standing.high for other in standings)
        bad = sum(row.answer == "both_bad" and standing.version in (row.policy_version_a, row.policy_version_b) for row in across)
        places.append(Place(rank, versions[standing.version], standing, bad))
    return Leaderboard(places, len(across), len(rows))
