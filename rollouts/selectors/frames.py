"""Reading start frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from rollouts.models import Scenario, ScenarioVersion, StartFrame

# Bits of 64. Measured on 92 captured and generated frames of five scenarios: noise of 4 levels of 255 flips 2 in 95 % of them, and of
# 1086 pairs of a scenario 3 are as near, two of which a person would call twins.
NEAR_DUPLICATE_BITS = 4
# Near duplicates are looked for among this many of the newest frames of the scenarios on a page.
NEAR_DUPLICATE_POOL = 10_000


def start_frames_filtered(
    *,
    scenario: str = "",
    state: str = "",
    source: str = "",
    disagrees: str = "",
    version: str = "",
    seed: str = "",
    q: str = "",
) -> QuerySet[StartFrame]:
    """Start frames, newest first. `disagrees` = "yes" or "no": whether the probe contradicts the words."""
    rows = StartFrame.objects.select_related("scenario_version__scenario", "policy_version", "image").order_by("-id")
    if scenario:
        # By the scenario's versions' ids: then the index on (scenario_version, state, -id) serves the list.
        rows = rows.filter(scenario_version__scenario__slug=scenario)
    if state in StartFrame.State.values:
        rows = rows.filter(state=state)
    if source in StartFrame.Source.values:
        rows = rows.filter(source=source)
    if disagrees == "yes":
        rows = rows.filter(probe__agrees=False)
    elif disagrees == "no":
        rows = rows.filter(probe__agrees=True)
    if version.isdigit():
        rows = rows.filter(scenario_version__number=int(version))
    if seed.lstrip("-").isdigit() and len(seed) < 19:
        rows = rows.filter(seed=int(seed))
    for term in q.split()[:8]:
        named = ScenarioVersion.objects.filter(scenario__name__icontains=term).values("pk")  # of few scenarios, not once more for each frame
        rows = rows.filter(Q(scene_text__icontains=term) | Q(scenario_version__in=named) | Q(reason__icontains=term))
    return rows


def frame_counts(*, scenario: Scenario | None = None) -> dict[str, int]:
    """Start frames per state, all states present."""
    rows = StartFrame.objects.order_by()
    if scenario:
        rows = rows.filter(scenario_version__scenario=scenario)
    counts = dict.fromkeys(StartFrame.State.values, 0)
    counts.update(rows.values_list("state").annotate(n=Count("pk")))
    return counts


def near_duplicates(frames: Iterable[StartFrame], bits: int = NEAR_DUPLICATE_BITS) -> dict[int, list[int]]:
    """For each frame the ids of other frames of its scenario whose perceptual hash differs in at most `bits` bits.

    Rejected frames are not compared with: what is out cannot be doubled.
    """
    rows = list(frames)
    scenarios = {frame.scenario_version.scenario_id for frame in rows}
    pool = list(
        StartFrame.objects.filter(scenario_version__scenario__in=scenarios)
        .exclude(state=StartFrame.State.REJECTED)
        .order_by("-id")
        .values_list("pk", "phash", "scenario_version__scenario_id")[:NEAR_DUPLICATE_POOL]
    )
    if not pool:
        return {}
    ids, hashes, homes = (np.array(column, dtype=np.int64) for column in zip(*pool, strict=True))
    found: dict[int, list[int]] = {}
    for frame in rows:
        differs = np.bitwise_count((hashes ^ np.int64(frame.phash)).view(np.uint64))
        near = ids[(differs <= bits) & (homes == frame.scenario_version.scenario_id) & (ids != frame.pk)]
        if len(near):
            found[frame.pk] = sorted(int(pk) for pk in near)
    return found


def frame_card(frame: StartFrame, twins: list[int] | None = None) -> dict[str, Any]:
    """One frame as the grid island takes it."""
    notes = list(frame.probe.get("disagreements", []))
    if not frame.probe:
        notes.append("Not read by the probe yet.")
    if twins:
        shown = ", ".join(f"#{pk}" for pk in twins[:3])
        notes.append(f"Near twin of {shown}{' and more' if len(twins) > 3 else ''}")
    if frame.reason and frame.reason != " ".join(frame.probe.get("disagreements", [])):
        notes.append(f"{frame.get_state_display()}: {frame.reason}")
    place = {"captured": "world", "uploaded": "upload", "continued": "rollout seed"}.get(frame.source, "seed")
    return {
        "id": frame.pk,
        "image_url": frame.image.url,
        "label": f"#{frame.pk} · {place} {frame.seed}" if frame.seed is not None else f"#{frame.pk} · {place}",
        "state": frame.state,
        "url": reverse("rollouts:start_frame", args=[frame.pk]),
        "notes": notes,
        "agrees": frame.probe.get("agrees"),
    }


def seen_words(probe: dict[str, Any]) -> list[dict[str, Any]]:
    """What the probe saw, for a table: name, probability, what was expected, whether that fits.

    The probability of an object that was promised and is not seen is None: a reading lists only objects that are there (0.5 or more).
    """
    reading, expected = probe.get("reading", {}), probe.get("expected", {})
    rows = []
    for name in ("robot", "dog"):
        present = reading.get(name, {}).get("present")
        if present is not None:
            rows.append({"name": name, "present": present, "expected": expected.get(name)})
    seen, promised = reading.get("objects", {}), expected.get("objects", [])
    for name in sorted({*seen, *promised}):
        rows.append({"name": name, "present": seen.get(name, {}).get("present"), "expected": True if name in promised else None})
    for row in rows:
        row["ok"] = row["expected"] is None or ((row["present"] or 0) >= 0.5) == row["expected"]
    return rows
