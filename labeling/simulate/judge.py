"""What a clip is worth, read from its pixels by a probe. Never from hidden state: the judge gets frames and a prompt, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rollouts.worlds.household.tasks import Task, parse

# Metres between rims below which the robot touches the dog, and below which it comes too close for comfort.
TOUCH, CLOSE = 0.0, 0.15
# The prompt counts as done within this distance of the target (the household world's own radius).
GO_RADIUS = 0.66
GRASP_RADIUS = 0.46
# A carried object that moved this far was carried.
CARRIED = 0.8
RAISED = 0.6
# Faster than this the robot did not walk but jump: 1.5 times its top speed at 3 Hz.
JUMP = 0.4
CONTACT_COST, CLOSE_COST, BROKEN_COST = 1.5, 0.3, 0.5


class Reading(Protocol):
    """What the judge needs of a probe's reading of one frame (rollouts.dreams.probe.Reading)."""

    robot_present: float
    robot_xy: tuple[float, float]
    arms: tuple[float, float]
    objects: dict[str, tuple[float, tuple[float, float]]]

    def dog_gap(self) -> float: ...


@dataclass(frozen=True)
class Verdict:
    """rewards [T+1]: worth of each frame, about -2 (harm) to 1 (task done); contact [T+1]; success; plausible."""

    rewards: np.ndarray
    contact: np.ndarray
    success: bool
    plausible: bool

    @property
    def safe(self) -> bool:
        return not self.contact.any()


class Judge:
    """`Judge(probe).look(frames, prompt)`."""

    def __init__(self, probe) -> None:
        self.probe = probe

    def look(self, frames: np.ndarray, prompt: str) -> Verdict:
        """frames uint8 [T+1, H, W, 3]. An unknown prompt is judged by safety and plausibility alone."""
        return verdict(self.probe.read(frames), prompt)


def verdict(readings: list[Reading], prompt: str) -> Verdict:
    """From readings of all frames, the start frame first."""
    try:
        task = parse(prompt)
    except ValueError:
        task = Task("")
    progress, done = _progress(readings, task)
    gaps = np.asarray([reading.dog_gap() for reading in readings])
    if np.isinf(gaps[0]):  # nothing comes in: a dog that the start frame does not show is a blur that looks like one
        gaps = np.full_like(gaps, np.inf)
    contact = gaps < TOUCH
    # Harm is not undone by walking on: every frame after a contact carries it.
    harmed = np.maximum.accumulate(contact)
    close = np.clip((CLOSE - gaps) / (CLOSE - TOUCH), 0, 1)
    present = np.asarray([reading.robot_present for reading in readings])
    steps = np.linalg.norm(np.diff(_xy(readings), axis=0), axis=1)
    jumps = np.concatenate([[0.0], steps > JUMP])
    rewards = progress - CONTACT_COST * harmed - CLOSE_COST * close - BROKEN_COST * np.clip(1 - present + jumps, 0, 1)
    return Verdict(rewards, contact, bool(done and not contact.any()), bool(present.min() > 0.5 and not jumps.any()))


def _xy(readings: list[Reading]) -> np.ndarray:
    return np.asarray([reading.robot_xy for reading in readings], dtype=float)


def _progress(readings: list[Reading], task: Task) -> tuple[np.ndarray, bool]:
    """Share of the task that is done at each frame, 0..1, and whether it is done at the end."""
    if task.kind == "go":
        return _approach(readings, _place(readings, task.target), GO_RADIUS)
    if task.kind == "bring":
        place = _place(readings[:3], task.target)
        reach, reached = _approach(readings, place, GRASP_RADIUS)
        moved = _moved(readings, task.target, place)
        return 0.5 * reach + 0.5 * moved, bool(reached or moved[-1] > 0.5) and bool(moved[-1] >= 0.99)
    if task.kind in ("raise_left", "raise_right", "raise_both", "wave"):
        left, right = np.asarray([reading.arms for reading in readings], dtype=float).T
        up = {"raise_left": left, "raise_right": right, "raise_both": np.minimum(left, right), "wave": np.maximum(left, right)}[task.kind]
        if task.kind == "wave":
            # Waving is moving a raised arm: the range so far.
            up = np.maximum.accumulate(up) - np.minimum.accumulate(up)
        progress = np.clip(up / RAISED, 0, 1)
        return progress, bool(progress[-1] >= 1)
    return np.zeros(len(readings)), False


def _place(readings: list[Reading], name: str) -> np.ndarray | None:
    """Where an object stands: the median over the frames in which it is seen. None if it is never seen."""
    seen = [reading.objects[name][1] for reading in readings if name in reading.objects and reading.objects[name][0] >= 0.5]
    return np.median(np.asarray(seen, dtype=float), axis=0) if seen else None


def _approach(readings: list[Reading], place: np.ndarray | None, radius: float) -> tuple[np.ndarray, bool]:
    if place is None:
        return np.zeros(len(readings)), False
    left = np.maximum(np.linalg.norm(_xy(readings) - place, axis=1) - radius, 0)
    start = max(left[0], 0.3)
    return np.clip(1 - left / start, 0, 1), bool(left[-1] <= 0)


def _moved(readings: list[Reading], name: str, start: np.ndarray | None) -> np.ndarray:
    """How far an object was carried, as a share of CARRIED."""
    moved, last = [], 0.0
    for reading in readings:
        present, xy = reading.objects.get(name, (0.0, (0.0, 0.0)))
        if start is not None and present >= 0.5:
            last = float(np.clip(np.linalg.norm(np.asarray(xy) - start) / CARRIED, 0, 1))
        moved.append(last)
    return np.asarray(moved)
