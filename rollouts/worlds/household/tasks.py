"""The text tasks of the household world: a small grammar of prompts, its inverse, and what is held out of training.

Held out, to measure generalisation: two (task, object) compositions for each of `go` and `bring`, and a set of
paraphrase templates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .factors import COLOURS, OBJECTS, SHAPES

KINDS = ("go", "bring", "raise_left", "raise_right", "raise_both", "wave")
GESTURES = KINDS[2:]

NOUNS = {"ball": ("ball", "sphere"), "cube": ("cube", "block", "box"), "can": ("can", "cylinder")}
_SHAPE_OF = {noun: shape for shape, nouns in NOUNS.items() for noun in nouns}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "go": (
        "go to the {x}",
        "walk to the {x}",
        "move to the {x}",
        "approach the {x}",
        "walk up to the {x}",
        "head over to the {x}",
        "please go to the {x}",
        "drive to the {x}",
        "go and stand by the {x}",
        "travel to the {x}",
        "robot, go to the {x}",
        "make your way to the {x}",
        "stand next to the {x}",
        "go over to the {x}",
        "reach the {x}",
        "come to the {x}",
    ),
    "bring": (
        "bring the {x} to the mat",
        "carry the {x} to the mat",
        "take the {x} to the mat",
        "put the {x} on the mat",
        "move the {x} onto the mat",
        "fetch the {x} and put it on the mat",
        "deliver the {x} to the mat",
        "place the {x} on the mat",
        "please bring the {x} to the mat",
        "pick up the {x} and take it to the mat",
        "grab the {x} and carry it to the mat",
        "bring the {x} over to the mat",
        "drop the {x} on the mat",
        "transport the {x} to the mat",
        "lift the {x} and bring it to the mat",
        "return the {x} to the mat",
    ),
    "raise_left": ("raise the left hand", "raise your left arm", "lift your left hand", "put your left hand up", "left hand up"),
    "raise_right": ("raise the right hand", "raise your right arm", "lift your right hand", "put your right hand up", "right hand up"),
    "raise_both": ("raise both hands", "raise both arms", "lift both hands", "put both hands up", "hands up"),
    "wave": ("wave", "wave your hand", "wave hello", "give a wave", "wave at me"),
}

HELDOUT_TEMPLATES: dict[str, tuple[str, ...]] = {
    "go": ("could you walk over to where the {x} is", "get close to the {x}", "navigate to the {x}", "your goal is the {x}"),
    "bring": (
        "set the {x} down on the mat",
        "haul the {x} over to the mat",
        "the {x} belongs on the mat, take it there",
        "get the {x} and leave it on the mat",
    ),
}
HELDOUT_TARGETS = {"go": ("purple can", "yellow cube"), "bring": ("green ball", "red can")}


@dataclass(frozen=True)
class Task:
    """One of KINDS; `target` is the name of an object ("red ball") for go and bring, else empty."""

    kind: str
    target: str = ""


def train_targets(kind: str) -> tuple[str, ...]:
    return tuple(name for name in OBJECTS if name not in HELDOUT_TARGETS.get(kind, ()))


def say(task: Task, rng: np.random.Generator, *, heldout: bool = False) -> str:
    """A prompt for a task, drawn from the training or the held-out templates."""
    templates = (HELDOUT_TEMPLATES if heldout else TEMPLATES)[task.kind]
    template = templates[rng.integers(len(templates))]
    if not task.target:
        return template
    colour, shape = task.target.split()
    nouns = NOUNS[shape]
    noun = nouns[0] if rng.random() < 0.7 else nouns[rng.integers(len(nouns))]
    return template.format(x=f"{colour} {noun}")


def all_prompts() -> list[str]:
    """Every prompt of the training grammar."""
    prompts = []
    for _kind, templates in TEMPLATES.items():
        for template in templates:
            if "{x}" not in template:
                prompts.append(template)
                continue
            prompts += [template.format(x=f"{colour} {noun}") for colour in COLOURS for noun in _SHAPE_OF]
    return prompts


def parse(prompt: str) -> Task:
    """The task that a prompt asks for. Raises ValueError with what this world understands."""
    text = prompt.lower()
    words = set(re.findall(r"[a-z]+", text))
    if words & {"wave", "waving"}:
        return Task("wave")
    if words & {"hand", "hands", "arm", "arms"}:
        if words & {"both", "hands", "arms"} and not words & {"left", "right"}:
            return Task("raise_both")
        for side in ("left", "right"):
            if side in words:
                return Task(f"raise_{side}")
    target = _find_object(text)
    if target is None:
        raise ValueError(
            f"“{prompt}” names no object of this world. Objects: a colour ({', '.join(COLOURS)}) and a shape ({', '.join(SHAPES)}); "
            "or a gesture: raise the left hand, the right hand, both hands, wave."
        )
    return Task("bring" if "mat" in words else "go", target)


def holds_in_mirror(prompt: str) -> bool:
    """Whether a prompt asks for the same thing in a room that is turned over, left to right. Gestures do not (one hand is orange), and of what
    this world does not understand nobody knows."""
    try:
        return parse(prompt).kind in ("go", "bring")
    except ValueError:
        return False


def _find_object(text: str) -> str | None:
    nouns = "|".join(_SHAPE_OF)
    match = re.search(rf"\b({'|'.join(COLOURS)})\s+({nouns})s?\b", text)
    return f"{match[1]} {_SHAPE_OF[match[2]]}" if match else None
