"""An answer as the player sends it (left, right), checked, and turned into rollout_a and rollout_b."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from labeling.errors import Invalid

ANSWERS = ("left", "right", "tie", "both_bad", "cant_tell")
CRITERION_ANSWERS = ("left", "right", "both", "neither")
SEGMENTS_AT_MOST = 50
RATIONALE_AT_MOST = 4000
CLIENT_META_AT_MOST = 4000
MS_AT_MOST = 24 * 3600 * 1000
FIELDS = frozenset(
    ["lease", "answer", "strength", "criteria", "success_left", "success_right", "segments", "rationale", "response_ms", "replays", "visible_ms", "client"]
)


@dataclass(frozen=True)
class Answer:
    """One answer in terms of the screen. `digest` is the sha256 of the request, for replays."""

    answer: str
    digest: str
    strength: int | None = None
    criteria: dict[str, str] = field(default_factory=dict)
    success_left: bool | None = None
    success_right: bool | None = None
    segments: list[dict] = field(default_factory=list)
    rationale: str = ""
    response_ms: int = 0
    replays: int = 0
    visible_ms: int = 0
    client: dict = field(default_factory=dict)


@dataclass(frozen=True)
class CanonicalAnswer:
    """The same in terms of rollout_a and rollout_b; the column values of `Choice`."""

    answer: str
    side: str
    success_a: bool | None
    success_b: bool | None
    criteria: dict[str, str]
    segments: list[dict]


def request_digest(body: dict) -> str:
    """sha256 of the canonical JSON of a request body: equal for equal content, whatever the key order."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def answer_parse(body: dict, *, frame_count: int, criteria_keys: list[str]) -> Answer:
    """Check a request body. Raises Invalid with a sentence that names the field."""
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise Invalid(f"Unknown field: {', '.join(unknown)}.")
    answer = body.get("answer")
    if answer not in ANSWERS:
        raise Invalid(f"answer is one of {', '.join(ANSWERS)}.")
    strength = body.get("strength")
    if strength is not None and (isinstance(strength, bool) or strength not in (1, 2, 3)):
        raise Invalid("strength is 1, 2, 3 or null.")
    if strength is not None and answer not in ("left", "right"):
        raise Invalid("strength goes with left or right only.")
    rationale = body.get("rationale") or ""
    if not isinstance(rationale, str) or len(rationale) > RATIONALE_AT_MOST or not storable(rationale):
        raise Invalid(f"rationale is text of at most {RATIONALE_AT_MOST} characters.")
    client = body.get("client") or {}
    if not isinstance(client, dict) or len(json.dumps(client)) > CLIENT_META_AT_MOST or not storable(client):
        raise Invalid("client is a small JSON object.")
    return Answer(
        answer=answer,
        digest=request_digest(body),
        strength=strength,
        criteria=_criteria(body.get("criteria"), criteria_keys),
        success_left=_flag(body, "success_left"),
        success_right=_flag(body, "success_right"),
        segments=_segments(body.get("segments"), frame_count),
        rationale=rationale,
        response_ms=_count(body, "response_ms", MS_AT_MOST),
        replays=_count(body, "replays", 100_000),
        visible_ms=_count(body, "visible_ms", MS_AT_MOST),
        client=client,
    )


def answer_canonical(answer: Answer, *, swapped: bool) -> CanonicalAnswer:
    """Undo the swap: with `swapped`, rollout_b was drawn on the left."""
    of_side = {"left": "b" if swapped else "a", "right": "a" if swapped else "b"}
    success_a, success_b = answer.success_left, answer.success_right
    if swapped:
        success_a, success_b = success_b, success_a
    return CanonicalAnswer(
        answer=of_side.get(answer.answer, answer.answer),
        side=answer.answer if answer.answer in of_side else "neither",
        success_a=success_a,
        success_b=success_b,
        criteria={key: of_side.get(value, value) for key, value in answer.criteria.items()},
        segments=[{"side": of_side[segment["side"]], "from": segment["from"], "to": segment["to"]} for segment in answer.segments],
    )


def storable(value: Any) -> bool:
    """Whether PostgreSQL can keep a text or JSON value: no NUL, no half of a surrogate pair."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text and "\\u0000" not in text


def _criteria(value: Any, keys: list[str]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("criteria is an object or null.")
    given = {key: side for key, side in value.items() if side is not None}
    for key, side in given.items():
        if key not in keys:
            raise Invalid(f"criteria: there is no criterion {key!r}.")
        if side not in CRITERION_ANSWERS:
            raise Invalid(f"criteria: {key} is one of {', '.join(CRITERION_ANSWERS)}.")
    return given


def _segments(value: Any, frame_count: int) -> list[dict]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > SEGMENTS_AT_MOST:
        raise Invalid(f"segments is a list of at most {SEGMENTS_AT_MOST}.")
    for segment in value:
        if not isinstance(segment, dict) or set(segment) != {"side", "from", "to"}:
            raise Invalid('A segment is {"side", "from", "to"}.')
        first, last = segment["from"], segment["to"]
        if segment["side"] not in ("left", "right"):
            raise Invalid("segments: side is left or right.")
        if not all(isinstance(frame, int) and not isinstance(frame, bool) for frame in (first, last)):
            raise Invalid("segments: from and to are frame numbers.")
        if not 0 <= first <= last < frame_count:
            raise Invalid(f"segments: need 0 <= from <= to < {frame_count}; got {first} to {last}.")
    return value


def _flag(body: dict, name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f"{name} is true, false or null.")
    return value


def _count(body: dict, name: str, at_most: int) -> int:
    value = body.get(name, 0)
    value = 0 if value is None else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Invalid(f"{name} is a whole number, 0 or more.")
    return min(value, at_most)
