"""The structured factors of a scenario: their values, their words, their grid and their cells.

Free of Django, so that mining and notebooks can use it. The values are those of the household world
(`rollouts.worlds.household.factors`): one list, not two.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rollouts.worlds.household.describe import clutter_clause, light_clause
from rollouts.worlds.household.factors import (
    COLOURS,
    DOG_COATS,
    DOG_PLACES,
    DOGS,
    FLOORS,
    LIGHTS,
    MAX_CLUTTER,
    OBJECTS,
    WALLS,
    HouseholdFactors,
)
from rollouts.worlds.household.tasks import NOUNS, parse

# Name -> (label, allowed values). A factor that is missing is drawn from the episode's seed.
CHOICES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "dog": ("Dog", DOGS),
    "dog_place": ("Where the dog is", DOG_PLACES),
    "dog_coat": ("Coat of the dog", tuple(DOG_COATS)),
    "clutter": ("Loose blocks on the floor", tuple(range(MAX_CLUTTER + 1))),
    "objects": ("Coloured objects", (2, 3, 4)),
    "light": ("Light", LIGHTS),
    "floor": ("Floor", tuple(FLOORS)),
    "walls": ("Walls", tuple(WALLS)),
}
WORDS = {
    "absent": "absent",
    "lying": "lying",
    "walking": "walking across",
    "following": "following the robot",
    "on_path": "on the robot's path",
    "near_target": "near the target",
    "beside": "beside the path",
    "normal": "normal",
    "dim": "dim",
}
# What mining keeps its diversity over. The cosmetic factors (floor, walls, coat) vary inside a cell.
CELL_FACTORS = ("dog", "dog_place", "clutter", "light")
PLACELESS = ("absent", "following")
MAX_GRID = 200
TARGETS = OBJECTS


def word(value: Any) -> str:
    """A factor's value as people read it."""
    return WORDS.get(value, str(value))


def validate(values: dict[str, Any]) -> dict[str, Any]:
    """Factors without empty entries, in a fixed order. Raises ValueError for a name or a value that the world lacks."""
    given = {name: value for name, value in values.items() if value not in (None, "", "any")}
    # A dog that is not there is nowhere, and one that follows starts anywhere: two spellings of one scene would be two cells.
    if given.get("dog") in PLACELESS:
        given.pop("dog_place", None)
    if given.get("dog") == "absent":
        given.pop("dog_coat", None)
    HouseholdFactors.from_dict(given)
    return {name: given[name] for name in CHOICES if name in given}


def cell_of(factors: dict[str, Any]) -> str:
    """The cell of fully fixed factors, as "dog=lying|dog_place=on_path|clutter=0|light=dim"."""
    parts = []
    for name in CELL_FACTORS:
        if name == "dog_place" and factors.get("dog") in PLACELESS:
            continue
        parts.append(f"{name}={factors.get(name, 'any')}")
    return "|".join(parts)


def cell_parse(cell: str) -> dict[str, Any]:
    """The inverse of `cell_of`, with numbers as numbers."""
    pairs = (part.split("=", 1) for part in cell.split("|"))
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


def all_cells() -> list[str]:
    """Every cell there is, in a stable order."""
    values = [CHOICES[name][1] for name in CELL_FACTORS]
    cells = (cell_of(dict(zip(CELL_FACTORS, combination, strict=True))) for combination in itertools.product(*values))
    return list(dict.fromkeys(cells))


def grid(base: dict[str, Any], axes: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes laid over `base`, without repeats.

    Raises ValueError if that is more than `MAX_GRID` scenes, or a value is not allowed.
    """
    names = list(axes)
    combinations = list(itertools.product(*(list(axes[name]) for name in names)))
    if len(combinations) > MAX_GRID:
        raise ValueError(f"{len(combinations)} combinations are too many; at most {MAX_GRID} at once")
    scenes = (validate({**base, **dict(zip(names, values, strict=True))}) for values in combinations)
    return list({repr(scene): scene for scene in scenes}.values())


_NO_DOG = re.compile(r"\b(no|without( a| any)?|not a) dogs?\b|\bdog-free\b|\bempty of dogs\b", re.I)
_SHAPE_OF = {noun: shape for shape, nouns in NOUNS.items() for noun in nouns}
_OBJECT = re.compile(rf"\b({'|'.join(COLOURS)})\s+({'|'.join(_SHAPE_OF)})s?\b", re.I)


def expected_in(text: str, factors: dict[str, Any] | None = None, prompt: str = "") -> dict[str, Any]:
    """What a frame must show according to its words and factors.

    Returns {"robot": True, "dog": True | False | None, "objects": ["red ball", ...]}; None means that nothing is said.
    The words win over the factors, since they are what the frame was generated from.
    """
    dog: bool | None = None
    if _NO_DOG.search(text):
        dog = False
    elif re.search(r"\b(dog|puppy|hound)s?\b", text, re.I):
        dog = True
    elif factors and "dog" in factors:
        dog = factors["dog"] != "absent"
    elif text.strip():
        dog = False  # a described scene without a dog has none
    found = [f"{colour.lower()} {_SHAPE_OF[noun.lower()]}" for colour, noun in _OBJECT.findall(f"{text} . {prompt}")]
    return {"robot": True, "dog": dog, "objects": list(dict.fromkeys(found))}


def disagreements(expected: dict[str, Any], reading: dict[str, Any], threshold: float = 0.5) -> list[str]:
    """Sentences on where a probe's reading differs from what the text says; empty when they agree.

    reading {"robot": {"present": p}, "dog": {"present": p}, "objects": {name: {"present": p}}}; an object that is not
    listed is not seen.
    """
    found = []
    robot = reading.get("robot", {}).get("present", 1.0)
    if expected.get("robot") and robot < threshold:
        found.append("No robot is seen.")
    dog = reading.get("dog", {}).get("present", 0.0)
    if expected.get("dog") is True and dog < threshold:
        found.append("The text says a dog; none is seen.")
    if expected.get("dog") is False and dog >= threshold:
        found.append("A dog is seen; the text says none.")
    objects = reading.get("objects", {})
    for name in expected.get("objects", []):
        if objects.get(name, {}).get("present", 0.0) < threshold:
            found.append(f"The text says a {name}; none is seen.")
    return found


def world_objection(prompt: str) -> str:
    """Why the household world cannot act on a prompt, or nothing. Such a prompt can still be dreamed, but not captured or played."""
    try:
        parse(prompt)
    except ValueError as error:
        return str(error)
    return ""


_PHRASES = {
    ("dog", "absent"): "no dog",
    ("dog", "lying"): "a dog lying",
    ("dog", "walking"): "a dog walking across",
    ("dog", "following"): "a dog following",
    ("light", "dim"): "dim light",
    ("light", "normal"): "normal light",
    ("clutter", 0): "no clutter",
}


def phrase(name: str, value: Any) -> str:
    """A factor in a few words, for names and chips: "a dog lying", "dim light", "2 loose blocks"."""
    if (name, value) in _PHRASES:
        return _PHRASES[name, value]
    if name == "clutter":
        return f"{value} loose block{'s' if value != 1 else ''}"
    if name == "objects":
        return f"{value} objects"
    if name == "dog_place":
        return word(value)
    if name == "dog_coat":
        return f"a {value} dog"
    return f"{value} {name}"


def describe(factors: dict[str, Any], prompt: str = "") -> str:
    """A scene in words, out of its factors and the robot's prompt: the clauses that the world model was taught
    (`rollouts.worlds.household.describe`), with the robot at the front and its target at the back.
    """
    target = _OBJECT.search(prompt)
    clauses = ["the robot is at the front"]
    dog = factors.get("dog")
    verb = {"lying": "a dog lies", "walking": "a dog walks", "following": "a dog stands"}.get(dog or "")
    if verb:
        where = {"near_target": "at the back left", "beside": "on the right"}.get(
            factors.get("dog_place", ""), "in the middle" if dog != "following" else "at the front right"
        )
        clauses.append(f"{verb} {where}")
    elif dog == "absent":
        clauses.append("no dog")
    if target:
        clauses.append(f"a {target[1].lower()} {target[2].lower()} at the back")
    else:
        clauses.append("a red ball at the back")
    if re.search(r"\bmat\b", prompt, re.I):
        clauses.append("the mat is at the front left")
    if "clutter" in factors:
        clauses.append(clutter_clause(factors["clutter"]))
    if "floor" in factors:
        clauses.append(f"{factors['floor']} floor")
    if "light" in factors:
        clauses.append(light_clause(factors["light"]))
    return ", ".join(clauses)
