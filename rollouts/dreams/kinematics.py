"""Kinematic check: is the motion that the IDM infers from a dream one that the robot could make?

Finite differences at the frame rate; each constraint has a threshold, a worst value and a margin (threshold - value).
Thresholds were chosen by hand; `bench/idm.py` prints the 99.5th percentiles of real clips beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Limits:
    """speed m/s, acceleration m/s2, jerk m/s3, workspace: |x| and |y| of the robot's centre in metres, arm: 0..1 with
    slack, arm_speed 1/s, teleport: metres between the place that the IDM reads in a frame and the integrated path."""

    speed: float = 0.95
    acceleration: float = 3.2
    jerk: float = 16.0
    workspace: float = 1.65
    arm: float = 1.2
    arm_speed: float = 3.9
    teleport: float = 0.55

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name}={value!r} must be positive")


DEFAULT_LIMITS = Limits()

# Errors of the IDM on held-out real video (`bench/idm.py`), m/s and m.
VELOCITY_ERROR = 0.04
PLACE_ERROR = 0.03


@dataclass(frozen=True)
class Check:
    name: str
    value: float
    limit: float

    @property
    def margin(self) -> float:
        return self.limit - self.value

    @property
    def ok(self) -> bool:
        return self.margin >= 0

    def to_dict(self) -> dict:
        return {"name": self.name, "value": round(self.value, 4), "limit": self.limit, "margin": round(self.margin, 4), "ok": self.ok}


@dataclass(frozen=True)
class Verdict:
    checks: tuple[Check, ...] = field(default_factory=tuple)

    @property
    def accepted(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def violated(self) -> list[str]:
        return [check.name for check in self.checks if not check.ok]

    def to_dict(self) -> dict:
        return {"accepted": self.accepted, "checks": [check.to_dict() for check in self.checks]}


def integrate(start_xy: np.ndarray, velocities_T2: np.ndarray, fps: float) -> np.ndarray:
    """Path [T + 1, 2] in metres from the first place and the velocities [T, 2] in m/s."""
    return np.concatenate([start_xy[None], start_xy + np.cumsum(velocities_T2, 0) / fps])


def fuse(velocities_T2: np.ndarray, places_T2: np.ndarray, fps: float) -> np.ndarray:
    """Velocities [T, 2] in m/s that agree with the places [T + 1, 2] seen in the frames too.

    Velocities alone drift when integrated; places alone jitter when differenced. The path p that minimises
    |diff(p) fps - velocities|^2 / VELOCITY_ERROR^2 + |p - places|^2 / PLACE_ERROR^2 is what a Rauch-Tung-Striebel smoother
    (1965) would give.
    """
    slopes = np.diff(np.eye(len(places_T2)), axis=0) * fps
    left = slopes.T @ slopes / VELOCITY_ERROR**2 + np.eye(len(places_T2)) / PLACE_ERROR**2
    right = slopes.T @ velocities_T2 / VELOCITY_ERROR**2 + places_T2 / PLACE_ERROR**2
    return slopes @ np.linalg.solve(left, right)


def check(velocity: np.ndarray, arms: np.ndarray, path: np.ndarray, seen: np.ndarray, *, fps: float, limits: Limits = DEFAULT_LIMITS) -> Verdict:
    """Velocities [T, 2] in m/s, arms [T, 2], the integrated path [T + 1, 2] and the places [T + 1, 2] seen in the frames, m."""
    acceleration = np.diff(velocity, axis=0) * fps
    jerk = np.diff(acceleration, axis=0) * fps
    return Verdict(
        (
            Check("speed", _worst(np.hypot(*velocity.T)), limits.speed),
            Check("acceleration", _worst(np.hypot(*acceleration.T)), limits.acceleration),
            Check("jerk", _worst(np.hypot(*jerk.T)), limits.jerk),
            Check("workspace", _worst(np.abs(path)), limits.workspace),
            Check("arm", _worst(np.abs(arms - 0.5)) + 0.5, limits.arm),
            Check("arm_speed", _worst(np.abs(np.diff(arms, axis=0))) * fps, limits.arm_speed),
            Check("teleport", _worst(np.hypot(*(path - seen).T)), limits.teleport),
        )
    )


def _worst(values: np.ndarray) -> float:
    return float(values.max()) if values.size else 0.0
