"""How a simulated annotator turns two verdicts into an answer: the teachers of B-Pref (Lee et al., 2021).

mistake   chance of the opposite answer.
equal     two clips whose utilities differ by less than this (of a range of about 2) are a tie.
skip      chance that a pair is passed over although it could be judged; B-Pref skips where both are worthless, which here is "both bad".
myopic    how much the end outweighs the beginning: frame t of T weighs (1 - myopic)^(T - t); 0 weighs all alike.
beta      rationality: P(left) = sigmoid(beta (u_left - u_right)); None always picks the better.
left_bias chance of answering left whatever is shown (no teacher of B-Pref; to test the annotator model).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .judge import Verdict

# Both below this: neither should be done. Standing still is worth 0, so both are worse than that.
BAD = -0.1


@dataclass(frozen=True)
class Utility:
    """A clip's worth: half its (weighted) course, half its end."""

    value: float


@dataclass(frozen=True)
class Teacher:
    mistake: float = 0.1
    equal: float = 0.1
    skip: float = 0.1
    myopic: float = 0.0
    beta: float | None = None
    left_bias: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mistake", "skip", "left_bias", "myopic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1; got {getattr(self, name)}")
        if self.equal < 0:
            raise ValueError(f"equal is 0 or more; got {self.equal=}")
        if self.beta is not None and self.beta <= 0:
            raise ValueError(f"beta is positive; got {self.beta=}")

    def to_dict(self) -> dict:
        return asdict(self)

    def utility(self, verdict: Verdict) -> Utility:
        count = len(verdict.rewards)
        weights = (1 - self.myopic) ** np.arange(count - 1, -1, -1.0)
        course = float((weights * verdict.rewards).sum() / weights.sum())
        return Utility(0.5 * course + 0.5 * float(verdict.rewards[-1]))

    def answer(self, left: Verdict, right: Verdict, rng: np.random.Generator) -> dict:
        """The body of a choice without its lease, or {"skip": reason}. Draws the same numbers whatever it answers."""
        skip, mistake, bias, noise = rng.random(4)
        if skip < self.skip:
            return {"skip": "skipped at random (simulated)"}
        u_left, u_right = self.utility(left).value, self.utility(right).value
        gap = u_left - u_right
        body = {
            "criteria": {
                "task_done": _which(left.success, right.success),
                "plausible": _which(left.plausible, right.plausible),
                "safe": _which(left.safe, right.safe),
            },
            "success_left": left.success,
            "success_right": right.success,
        }
        if bias < self.left_bias:
            return body | {"answer": "left"}
        if abs(gap) < self.equal:
            return body | {"answer": "both_bad" if max(u_left, u_right) < BAD else "tie"}
        better = "left" if (gap > 0 if self.beta is None else noise < 1 / (1 + np.exp(-self.beta * gap))) else "right"
        if mistake < self.mistake:
            return body | {"answer": "right" if better == "left" else "left"}
        worse, loser = ("right", right) if better == "left" else ("left", left)
        strength = 3 if abs(gap) > 1 else 2 if abs(gap) > 0.5 else 1
        return body | {"answer": better, "strength": strength, "segments": _segments(worse, loser)}


def _which(left: bool, right: bool) -> str:
    return {(True, True): "both", (True, False): "left", (False, True): "right", (False, False): "neither"}[left, right]


def _segments(side: str, loser: Verdict) -> list[dict]:
    """Where the worse side is the worse one: from just before its first contact to the end."""
    if not loser.contact.any():
        return []
    first = max(int(loser.contact.argmax()) - 1, 0)
    return [{"side": side, "from": first, "to": len(loser.contact) - 1}]
