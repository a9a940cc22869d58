"""What can vary in the household world: the structured factors of a scenario.

A factor is either fixed by the scenario or ``None``: then it is drawn from the episode's seed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.12),
    "green": (0.10, 0.62, 0.20),
    "yellow": (0.98, 0.82, 0.08),
    "purple": (0.55, 0.16, 0.72),
}
SHAPES = ("ball", "cube", "can")
OBJECTS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)

FLOORS: dict[str, tuple[float, float, float]] = {
    "grey": (0.72, 0.73, 0.74),
    "linen": (0.86, 0.84, 0.80),
    "sand": (0.84, 0.76, 0.60),
    "mint": (0.66, 0.80, 0.72),
}
WALLS: dict[str, tuple[float, float, float]] = {
    "cream": (0.95, 0.91, 0.82),
    "sky": (0.70, 0.80, 0.90),
    "rose": (0.90, 0.77, 0.77),
}
DOG_COATS: dict[str, tuple[float, float, float]] = {
    "brown": (0.42, 0.25, 0.12),
    "dark": (0.24, 0.15, 0.09),
    "tan": (0.62, 0.42, 0.22),
}

DOGS = ("absent", "lying", "walking", "following")
DOG_PLACES = ("on_path", "near_target", "beside")
LIGHTS = ("normal", "dim")
MAX_CLUTTER = 2
MAX_OBJECTS = 3

_ALLOWED: dict[str, tuple] = {
    "dog": DOGS,
    "dog_place": DOG_PLACES,
    "dog_coat": tuple(DOG_COATS),
    "light": LIGHTS,
    "floor": tuple(FLOORS),
    "walls": tuple(WALLS),
}


@dataclass(frozen=True)
class HouseholdFactors:
    """Adversarial and cosmetic factors of one episode; ``None`` means "draw it from the seed".

    dog: absent, lying, walking (across the robot's way) or following the robot.
    dog_place: where it starts: on the robot's path to the target, near the target, or beside the path.
    clutter: number of loose grey blocks on the floor, 0..2.
    objects: number of coloured objects, 2..3 (the target included), no two of one colour.
    """

    dog: str | None = None
    dog_place: str | None = None
    dog_coat: str | None = None
    clutter: int | None = None
    objects: int | None = None
    light: str | None = None
    floor: str | None = None
    walls: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise ValueError(f"{name}={value!r} is not one of {', '.join(allowed)}")
        for name, low, high in (("clutter", 0, MAX_CLUTTER), ("objects", 2, MAX_OBJECTS)):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and low <= value <= high):
                raise ValueError(f"{name}={value!r} is not a whole number in {low}..{high}")

    @classmethod
    def from_dict(cls, values: dict) -> HouseholdFactors:
        """Raises ValueError for a name or a value that this world does not have."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown factor {', '.join(sorted(unknown))}")
        return cls(**values)

    def to_dict(self) -> dict:
        return {name: value for name, value in asdict(self).items() if value is not None}
