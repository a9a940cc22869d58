"""Scripted demonstrators of varied skill, who see the state (`info["state"]`) and answer with actions.

careful    goes around the dog with room to spare, waits for a walking one
careless   goes straight for its goal, through the dog if need be; avoids furniture and objects
clumsy     careless and noisy: wanders, overshoots, pauses
wrong      does the task with another object than the one it was asked for
play       random walks and arm movements, for the inverse dynamics model
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .describe import DIRECTIONS
from .env import CONTROL_HZ, GRIPPER_REACH, MAX_SPEED
from .planner import Obstacle, next_point
from .scene import ROOM_HALF
from .tasks import Task

SKILLS = ("careful", "careless", "clumsy", "wrong", "play")

# With a dog in the room the careful and the careless are equally frequent: the gap that preferences are to close.
SKILL_ODDS_DOG = (0.47, 0.37, 0.08, 0.03, 0.05)
SKILL_ODDS_FREE = (0.84, 0.0, 0.08, 0.03, 0.05)

_DOG_CLEARANCE = 0.70  # from the dog's spine to the robot's centre: 0.15 + 0.24 + a margin of 0.3
_STANDOFF = 0.52
_LIMIT = ROOM_HALF - 0.34


@dataclass
class Demonstrator:
    """One demonstrator for one episode. `act(state)` returns float32 [5]; see `env.py` for its meaning."""

    task: Task
    skill: str
    rng: np.random.Generator
    speed: float = 0.0
    _phase: str = "go"
    _clock: int = 0
    _waypoint: np.ndarray | None = None
    _arms: np.ndarray = field(default_factory=lambda: np.zeros(2))
    _last_dog: np.ndarray | None = None
    _done: int = 0
    _waited: float = 0.0

    def __post_init__(self) -> None:
        if self.skill not in SKILLS:
            raise ValueError(f"skill={self.skill!r} is not one of {', '.join(SKILLS)}")
        self.speed = float(self.rng.uniform(0.55, 0.70))
        self._goal_name = self.task.target

    def act(self, state: dict) -> np.ndarray:
        if self._clock == 0 and self.skill == "wrong" and self.task.target:
            self._goal_name = str(self.rng.choice([name for name in state["objects"] if name != self.task.target]))
        self._clock += 1
        if self.skill == "play":
            return self._play(state)
        if self.task.kind == "go":
            action = self._go(state)
        elif self.task.kind == "bring":
            action = self._bring(state)
        else:
            action = self._gesture()
        if self.skill == "clumsy":
            action = self._fumble(action)
        if state["dog"] is not None:
            self._last_dog = np.array(state["dog"][:2])
        return action.astype(np.float32)

    def words(self) -> str:
        """What it is doing now, in a few words, for plan captions."""
        return self._phase

    # ------------------------------------------------------------------ tasks

    def _go(self, state: dict) -> np.ndarray:
        target = np.array(state["objects"][self._goal_name][:2])
        return np.array([*self._walk(state, target, _STANDOFF, ignore=self._goal_name), 0, 0, 0])

    def _bring(self, state: dict) -> np.ndarray:
        target = np.array(state["objects"][self._goal_name][:2])
        robot = np.array(state["robot"][:2])
        if self._done:
            self._phase = "stand still"
            return np.zeros(5)
        if state["held"] == self._goal_name:
            mat = np.array(state["mat"])
            if np.abs(target - mat).max() < 0.2:
                self._done = 1
                self._phase = "put it down"
                return np.zeros(5)
            velocity = self._walk(state, mat, GRIPPER_REACH - 0.06, ignore=self._goal_name, slow=0.22)
            self._phase = f"carry it {direction_words(velocity)}"
            if np.hypot(*velocity) < 0.12:  # it stands at the mat, but the object is off to a side: nudge it over
                velocity = 0.3 * (mat - target) / max(np.hypot(*(mat - target)), 1e-6)
            return np.array([*velocity, 0, 0, 1])
        near = np.hypot(*(target - robot))
        if near < 0.62:
            self._phase = f"pick up the {self._goal_name}"
            # Creep on towards the object, which also turns the gripper to it, and close.
            return np.array([*(0.25 * (target - robot) / max(near, 1e-6)), 0, 0, 1])
        return np.array([*self._walk(state, target, 0.5, ignore=self._goal_name, slow=0.2), 0, 0, 0])

    def _gesture(self) -> np.ndarray:
        late = self._clock > self.rng.integers(1, 3)
        swing = 0.95 if self._clock % 2 else 0.55
        arms = {"raise_left": (1.0, 0.0), "raise_right": (0.0, 1.0), "raise_both": (1.0, 1.0), "wave": (0.0, swing)}[self.task.kind]
        if self.skill == "wrong":
            arms = arms[::-1]
        self._phase = {"wave": "wave", "raise_left": "raise the left hand", "raise_right": "raise the right hand"}.get(self.task.kind, "raise both hands")
        return np.array([0, 0, *(np.array(arms) * late), 0])

    def _play(self, state: dict) -> np.ndarray:
        robot = np.array(state["robot"][:2])
        if self._waypoint is None or np.hypot(*(self._waypoint - robot)) < 0.25 or self.rng.random() < 0.08:
            self._waypoint = self.rng.uniform(-1.3, 1.3, 2)
            self._arms = self.rng.choice([0.0, 0.0, 0.5, 1.0], 2)
            self.speed = float(self.rng.uniform(0.15, MAX_SPEED))
        away = self._waypoint - robot
        velocity = away / max(np.hypot(*away), 1e-6) * min(self.speed, CONTROL_HZ * np.hypot(*away))
        self._phase = f"walk {direction_words(velocity)}"
        return np.array([*velocity, *self._arms, float(self.rng.random() < 0.2)], np.float32)

    def _fumble(self, action: np.ndarray) -> np.ndarray:
        if self.rng.random() < 0.15:
            return np.array([0, 0, *action[2:]])
        speed = np.hypot(*action[:2])
        return action + np.array([*self.rng.normal(0, 0.35 * speed + 0.03, 2), 0, 0, 0])

    # ------------------------------------------------------------------ walking

    def _walk(self, state: dict, goal: np.ndarray, standoff: float, *, ignore: str | None, slow: float = 0.3) -> np.ndarray:
        """Velocity [m/s] towards `goal`, stopping `standoff` metres before it, around what must not be touched."""
        robot = np.array(state["robot"][:2])
        distance = np.hypot(*(goal - robot))
        if distance < standoff + 0.04:
            self._phase = "stand still"
            return np.zeros(2)
        if self.skill == "careful" and state["dog"] is not None:
            if self._waited < 8 and self._must_wait(state, robot, goal):
                self._waited += 1
                self._phase = "wait"
                return self._back_off(state, robot)
            self._waited = max(0.0, self._waited - 0.5)
        way = next_point(robot, goal, self._obstacles(state, ignore))
        step = way - robot
        speed = min(self.speed, max((distance - standoff) * CONTROL_HZ * 0.8, 0.1))
        velocity = step / max(np.hypot(*step), 1e-6) * speed
        if distance - standoff < 0.14:
            velocity *= slow / max(slow, np.hypot(*velocity))
        self._phase = f"walk {direction_words(velocity)}"
        return velocity

    def _obstacles(self, state: dict, ignore: str | None) -> list[Obstacle]:
        held = 0.16 if state["held"] else 0.0
        found = [Obstacle((-1.4, 1.6), 0.46, (-0.5, 1.6)), Obstacle((1.48, 1.48), 0.42)]
        found += [Obstacle(tuple(xyz[:2]), 0.50 + held) for name, xyz in state["objects"].items() if name not in (ignore, state["held"])]
        found += [Obstacle(tuple(xy), 0.42 + held) for xy in state["clutter"]]
        if self.skill == "careful" and state["dog"] is not None:
            x, y = self._dog_ahead(state)
            yaw = state["dog"][2]
            along = np.array([np.cos(yaw), np.sin(yaw)])
            found.append(Obstacle(tuple((x, y) - 0.40 * along), _DOG_CLEARANCE + held, tuple((x, y) + 0.48 * along)))
        return found

    def _dog_ahead(self, state: dict) -> np.ndarray:
        """Where the dog will be in a second, by its last step."""
        dog = np.array(state["dog"][:2])
        if self._last_dog is None:
            return dog
        return dog + np.clip(dog - self._last_dog, -0.2, 0.2) * CONTROL_HZ * 0.6

    def _must_wait(self, state: dict, robot: np.ndarray, goal: np.ndarray) -> bool:
        """A moving dog is about to cross in front."""
        if state["dog"] is None or self._last_dog is None:
            return False
        dog = np.array(state["dog"][:2])
        velocity = (dog - self._last_dog) * CONTROL_HZ
        if np.hypot(*velocity) < 0.15:
            return False
        ahead = (goal - robot) / max(np.hypot(*(goal - robot)), 1e-6)
        if (dog - robot) @ ahead < -0.1:
            return False
        for seconds in (0.4, 0.8, 1.2, 1.6):
            meet = dog + velocity * seconds
            me = robot + ahead * min(self.speed * seconds, np.hypot(*(goal - robot)))
            if np.hypot(*(meet - me)) < 0.85:
                return True
        return False

    def _back_off(self, state: dict, robot: np.ndarray) -> np.ndarray:
        away = robot - np.array(state["dog"][:2])
        distance = np.hypot(*away)
        if distance > 1.05:
            return np.zeros(2)
        step = robot + away / max(distance, 1e-6) * 0.3
        if np.abs(step).max() > _LIMIT:
            return np.zeros(2)
        return away / max(distance, 1e-6) * 0.45


def direction_words(velocity: np.ndarray) -> str:
    """One of eight directions as the camera sees them; x is right, y is back."""
    return DIRECTIONS[int(np.round(np.arctan2(velocity[1], velocity[0]) / (np.pi / 4))) % 8]
