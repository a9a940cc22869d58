"""Words for scenes and for what a robot does: the captions that the world model learns from.

A scene description is a list of clauses ("a dog lies in the middle"); a clause's words come from a finite grammar, a
scene is any combination of them. Places are the cells of a 3 x 3 grid over the floor as the camera sees it.
"""

from __future__ import annotations

import numpy as np

from .factors import COLOURS, FLOORS
from .tasks import NOUNS

_COLUMNS = ("left", "", "right")
_ROWS = ("front", "", "back")
CELL_EDGE = 0.45  # metres from the middle of the room to the border of the middle cell

_NUMBERS = ("no", "one", "two")


def place(x: float, y: float) -> str:
    """The grid cell of a floor point [m], in words: "back left", ..., "middle"."""
    column = _COLUMNS[0 if x < -CELL_EDGE else 2 if x > CELL_EDGE else 1]
    row = _ROWS[0 if y < -CELL_EDGE else 2 if y > CELL_EDGE else 1]
    return f"{row} {column}".strip() or "middle"


PLACES = ("front left", "front", "front right", "left", "middle", "right", "back left", "back", "back right")


def _at(where: str, style: int) -> str:
    if where == "middle":
        return ("in the middle", "in the middle of the room", "in the centre")[style % 3]
    if where in ("left", "right"):
        return (f"on the {where}", f"at the {where}", f"on the {where} side")[style % 3]
    return (f"at the {where}", f"in the {where}", f"at the {where} of the room")[style % 3]


_DOG_VERBS = {
    "lying": ("a dog lies", "a dog is lying", "there is a dog lying"),
    "walking": ("a dog walks", "a dog is walking", "a dog stands"),
    "following": ("a dog stands", "a dog walks", "a dog is standing"),
}


def scene_clauses(state: dict, factors: dict, rng: np.random.Generator) -> list[str]:
    """Clauses that describe a start frame: `state` as in the environment's info, `factors` all decided."""

    def style() -> int:
        return int(rng.integers(3))

    x, y, _ = state["robot"]
    clauses = [f"the robot is {_at(place(x, y), style())}"]
    if state["dog"] is None:
        if rng.random() < 0.6:
            clauses.append(("no dog", "there is no dog", "without a dog")[style()])
    else:
        verb = _DOG_VERBS[factors["dog"]][style()]
        where = _at(place(*state["dog"][:2]), style())
        clauses.append(f"{verb} {where}" if rng.random() < 0.85 else verb)
    for name, xyz in state["objects"].items():
        colour, shape = name.split()
        noun = NOUNS[shape][0] if rng.random() < 0.7 else NOUNS[shape][style() % len(NOUNS[shape])]
        clauses.append(f"a {colour} {noun} {_at(place(*xyz[:2]), style())}")
    clauses.append(f"the mat is {_at(place(*state['mat']), style())}")
    clauses.append(clutter_clause(factors["clutter"]))
    clauses.append(f"{factors['floor']} floor")
    clauses.append(light_clause(factors["light"]))
    kept = [clause for clause in clauses if rng.random() < 0.85 or "dog" in clause]
    return [kept[i] for i in rng.permutation(len(kept))] if rng.random() < 0.3 else kept


def clutter_clause(count: int) -> str:
    return "no clutter" if count == 0 else f"{_NUMBERS[count]} grey block{'s' * (count > 1)} on the floor"


def light_clause(light: str) -> str:
    return "dim light" if light == "dim" else "bright light"


def all_scene_clauses() -> list[str]:
    """Every clause of the grammar."""
    spots = [_at(where, style) for where in PLACES for style in range(3)]
    clauses = [f"the robot is {spot}" for spot in spots] + [f"the mat is {spot}" for spot in spots]
    clauses += ["no dog", "there is no dog", "without a dog"]
    verbs = sorted({verb for verbs in _DOG_VERBS.values() for verb in verbs})
    clauses += verbs + [f"{verb} {spot}" for verb in verbs for spot in spots]
    nouns = [noun for names in NOUNS.values() for noun in names]
    clauses += [f"a {colour} {noun} {spot}" for colour in COLOURS for noun in nouns for spot in spots]
    clauses += [clutter_clause(count) for count in range(3)] + [f"{floor} floor" for floor in FLOORS]
    return [*clauses, light_clause("normal"), light_clause("dim")]


PLAN_PHASES = ("stand still", "wait", "put it down", "wave", "raise the left hand", "raise the right hand", "raise both hands")
DIRECTIONS = ("right", "back right", "back", "back left", "left", "front left", "front", "front right")


def all_plan_clauses(objects: tuple[str, ...]) -> list[str]:
    """Every phase a demonstrator can name (`Demonstrator.words`)."""
    walks = [f"{verb} {direction}" for verb in ("walk", "carry it") for direction in DIRECTIONS]
    return list(PLAN_PHASES) + walks + [f"pick up the {name}" for name in objects]
