"""Agreement between annotators."""

from __future__ import annotations

from collections.abc import Iterable

import krippendorff
import numpy as np


def krippendorff_alpha(answers: Iterable[tuple[int, int, str]]) -> tuple[float | None, int]:
    """Krippendorff's alpha (nominal) over (annotator, unit, answer); 1 is perfect agreement, 0 what chance gives.

    Returns (alpha, units that two or more annotators answered); alpha is None where it is not defined: fewer than two
    such units, or one single answer everywhere.
    """
    rows = list(answers)
    units: dict[int, dict[int, str]] = {}
    for annotator, unit, answer in rows:
        units.setdefault(unit, {})[annotator] = answer
    shared = {unit: given for unit, given in units.items() if len(given) > 1}
    words = sorted({answer for given in shared.values() for answer in given.values()})
    if len(shared) < 2 or len(words) < 2:
        return None, len(shared)
    people = {person: place for place, person in enumerate(sorted({p for given in shared.values() for p in given}))}
    data = np.full((len(people), len(shared)), np.nan)
    for column, given in enumerate(shared.values()):
        for person, answer in given.items():
            data[people[person], column] = words.index(answer)
    return float(krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")), len(shared)
