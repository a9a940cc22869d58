"""Caption upsampling: a short task becomes a plan of one clause per second, which conditions the dream.

"go to the red ball" -> "go to the red ball | walk back left | walk back left | stand still | stand still"

Two planners: a template planner for the household world, which reads the start frame through the probe, and a client for
any OpenAI-compatible endpoint that takes images.
"""

from __future__ import annotations

import base64
import io
import time
from dataclasses import dataclass

import httpx
import numpy as np
from PIL import Image

from ..worlds.household.demonstrators import direction_words
from ..worlds.household.describe import PLAN_PHASES
from ..worlds.household.tasks import parse
from .probe import Probe

SECONDS = 4
_STRIDE = 0.62  # metres that a demonstrator walks in a second
_GESTURES = {
    "raise_left": "raise the left hand",
    "raise_right": "raise the right hand",
    "raise_both": "raise both hands",
    "wave": "wave",
}


class CaptionError(RuntimeError):
    """The endpoint did not give a usable plan; the message says why."""


def join(prompt: str, clauses: list[str]) -> str:
    return " | ".join([prompt, *clauses[:SECONDS]])


def template_plan(probe: Probe, frame: np.ndarray, prompt: str) -> str:
    """A plan from what the probe sees in the start frame uint8 [H, W, 3]: straight to the target, then stand.

    Returns the prompt as it is where the target is not seen. Raises ValueError for a task that the world does not know.
    """
    task = parse(prompt)
    if task.kind in _GESTURES:
        return join(prompt, [_GESTURES[task.kind]] * SECONDS)
    reading = probe.read(frame[None])[0]
    present, target = reading.objects[task.target]
    if present < 0.5:
        return prompt
    way = np.array(target) - np.array(reading.robot_xy)
    walking = int(np.clip(round((np.hypot(*way) - 0.5) / _STRIDE), 0, SECONDS))
    then = f"pick up the {task.target}" if task.kind == "bring" else "stand still"
    return join(prompt, [f"walk {direction_words(way)}"] * walking + [then] * (SECONDS - walking))


_INSTRUCTION = (
    "You see the start frame of a robot's video. Say what the robot should do in each of the next {seconds} seconds so that it does "
    "its task and touches no person or animal. Answer with exactly {seconds} lines, one clause of at most six words each, such as: {examples}. Task: {task}"
)


@dataclass(frozen=True)
class CaptionClient:
    """Plans from an OpenAI-compatible chat endpoint: `url` up to and without /chat/completions. timeout in seconds, for each
    of `tries` tries; network errors, 429 and 5xx are tried again after 1, 2, 4 ... seconds times `backoff`."""

    url: str
    model: str
    key: str = ""
    timeout: float = 30.0
    tries: int = 3
    backoff: float = 1.0

    def plan(self, frame: np.ndarray, prompt: str) -> str:
        """Raises CaptionError when no try gave a plan."""
        examples = "; ".join([*PLAN_PHASES[:2], "walk back left", "pick up the red ball"])
        words = _INSTRUCTION.format(seconds=SECONDS, examples=examples, task=prompt)
        content = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": _data_url(frame)}}]
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], "temperature": 0}
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        reason = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.backoff * 2 ** (attempt - 1))
            try:
                answer = httpx.post(f"{self.url.rstrip('/')}/chat/completions", json=body, headers=headers, timeout=self.timeout)
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
                continue
            if answer.status_code == 429 or answer.status_code >= 500:
                reason = f"it answered {answer.status_code}"
                continue
            return join(prompt, self._clauses(answer))
        raise CaptionError(f"the caption endpoint {self.url} gave no plan in {self.tries} tries; the last time {reason}")

    def _clauses(self, answer: httpx.Response) -> list[str]:
        if answer.status_code != 200:
            raise CaptionError(f"the caption endpoint {self.url} refused: {answer.status_code} {answer.text[:200]}")
        try:
            text = answer.json()["choices"][0]["message"]["content"]
            lines = [line.strip(" -*.0123456789").lower() for line in text.splitlines()]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise CaptionError(f"the caption endpoint {self.url} answered something that is no chat completion") from error
        clauses = [line.replace("|", " ") for line in lines if line]
        if len(clauses) < SECONDS:
            raise CaptionError(f"the caption endpoint {self.url} answered {len(clauses)} clauses, expected {SECONDS}")
        return clauses[:SECONDS]


def _data_url(frame: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).resize((frame.shape[1] * 4, frame.shape[0] * 4), Image.Resampling.NEAREST).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
