"""Quality-diversity search over scenario factors, prompts and seeds (MAP-Elites, Mouret & Clune 2015).

The archive keeps the best few start frames of every cell (`rollouts.factors.cell_of`), so the search spreads over the
factors instead of returning one failure a hundred times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rollouts import factors as scene_factors
from rollouts.worlds.household.tasks import train_targets

ELITES = 4
EXPLORE = 0.3
# Below this objective a start frame is no failure and is not proposed: it would rather succeed.
FAILING = 0.5
# Dreams disagree where about half of them fail. In the world it is less sure what happens there than elsewhere: of the fifth of 648 rooms nearest to it,
# in which the policy of a round was played twice, 0.32 ended differently the second time, of all 0.22. The forecast near one half says no more (0.27).
DISAGREE, DISAGREE_MARGIN = 0.5, 0.1
UNSURE_SHARE = 0.25  # of what is proposed
PROMPTS = {"go": "go to the {x}", "bring": "bring the {x} to the mat"}
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Genome:
    """One start frame of the world: what is asked, the factors, and the seed that decides everything else."""

    prompt: str
    factors: dict[str, Any]
    seed: int

    @property
    def cell(self) -> str:
        return scene_factors.cell_of(self.factors)

    def to_spec(self) -> dict[str, Any]:
        """As `StartFrame.world_spec`."""
        return {"world": "household", "prompt": self.prompt, "seed": self.seed, "factors": self.factors}


@dataclass(frozen=True, order=True)
class Tried:
    """A genome, how likely the policy fails there, what it dreamed from it (`Evidence`), and how the room is laid out (`forecast.FACTS`)."""

    objective: float
    genome: Genome = field(compare=False)
    evidence: Any = field(compare=False, default=None)
    facts: tuple[float, ...] | None = field(compare=False, default=None)


class Search:
    """Ask for genomes, tell their objectives.

    strategy "map_elites", or "uniform": every genome drawn uniformly over the cells, the baseline.
    prompts  the kinds of tasks to draw from, keys of `PROMPTS`; or fixed prompts by `fixed_prompts`.

    Raises ValueError for an unknown strategy.
    """

    def __init__(self, seed: int = 0, strategy: str = "map_elites", fixed_prompts: Sequence[str] = (), kinds: Sequence[str] = ("go", "bring")) -> None:
        if strategy not in ("map_elites", "uniform"):
            raise ValueError(f"{strategy=} is not one of map_elites, uniform")
        self.strategy = strategy
        self.rng = np.random.default_rng(seed)
        self.cells = scene_factors.all_cells()
        self.prompts = list(fixed_prompts) or [PROMPTS[kind].format(x=name) for kind in kinds for name in train_targets(kind)]
        self.archive: dict[str, list[Tried]] = defaultdict(list)
        self.tried: list[Tried] = []

    def ask(self, count: int) -> list[Genome]:
        """The next genomes to try."""
        return [self._next() for _ in range(count)]

    def rivals(self, genome: Genome, count: int) -> list[Genome]:
        """A genome and others that differ by their layout alone, `count` in all, of which the worst-looking is to be tried; of a uniform draw just itself."""
        if self.strategy == "uniform":
            return [genome]
        return [genome, *(replace(genome, seed=self._seed()) for _ in range(count - 1))]

    def tell(self, results: Iterable[Tried]) -> None:
        """Keep what was found out."""
        for result in results:
            self.tried.append(result)
            elites = self.archive[result.genome.cell]
            elites.append(result)
            elites.sort(reverse=True)
            del elites[ELITES:]

    def _next(self) -> Genome:
        untried = [cell for cell in self.cells if cell not in self.archive]
        if self.strategy == "uniform" or not self.archive:
            return self._random(self._pick(self.cells))
        if untried and self.rng.random() < 0.5:
            return self._random(self._pick(untried))
        if self.rng.random() < EXPLORE:
            return self._random(self._pick(self.cells))
        return self._mutate(self._parent())

    def _pick(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def _seed(self) -> int:
        return int(self.rng.integers(MAX_SEED))

    def _random(self, cell: str) -> Genome:
        return Genome(self._pick(self.prompts), scene_factors.validate(scene_factors.cell_parse(cell)), self._seed())

    def _parent(self) -> Genome:
        """An elite, drawn by its objective: squared, so that strong ones breed more and weak ones still do."""
        elites = [elite for cell in self.archive.values() for elite in cell]
        weights = np.array([elite.objective**2 + 1e-3 for elite in elites])
        return elites[int(self.rng.choice(len(elites), p=weights / weights.sum()))].genome

    def _mutate(self, genome: Genome) -> Genome:
        """Another layout of the same cell, another task in it, or a neighbouring cell; one change at a time."""
        kind = self.rng.random()
        if kind < 0.5:
            return replace(genome, seed=self._seed())
        if kind < 0.7:
            return replace(genome, prompt=self._pick(self.prompts))
        name = self._pick(scene_factors.CELL_FACTORS)
        values = [value for value in scene_factors.CHOICES[name][1] if value != genome.factors.get(name)]
        changed = {**genome.factors, name: self._pick(values)}
        if changed["dog"] not in scene_factors.PLACELESS and "dog_place" not in changed:
            changed["dog_place"] = self._pick(scene_factors.CHOICES["dog_place"][1])
        return Genome(genome.prompt, scene_factors.validate(changed), self._seed())


def worst_finds(tried: Iterable[Tried], count: int, floor: float = 0.0) -> list[Tried]:
    """At most `count` finds: the worst of every cell, then the worst of what is left, at most `ELITES` of a cell.

    floor: genomes below this objective are no failures and never proposed, so that no place is spent on a cell in which nothing fails.
    """
    return _over_cells(tried, count, lambda one: one.objective, floor)


def unsure_finds(tried: Iterable[Tried], count: int) -> list[Tried]:
    """At most `count` start frames of whose dreamed episodes about half fail, chosen over the cells as the worst are; none where all is clear.

    Where some dreams succeed and some fail there is something to choose between: these are what comparisons teach most about.
    """
    return _over_cells(tried, count, lambda one: -abs(one.evidence.failure - DISAGREE), -DISAGREE_MARGIN)


def proposals(tried: Sequence[Tried], count: int) -> list[tuple[Tried, str]]:
    """What an admin is shown of a search, at most `count`, each with its reason: "fails", up to three in four of them, and "unsure"."""
    failing = worst_finds(tried, count - round(UNSURE_SHARE * count), floor=FAILING)
    taken = {id(one) for one in failing}
    unsure = unsure_finds((one for one in tried if id(one) not in taken), round(UNSURE_SHARE * count))
    return [*((one, "fails") for one in failing), *((one, "unsure") for one in unsure)]


def _over_cells(tried: Iterable[Tried], count: int, key: Callable[[Tried], float], floor: float) -> list[Tried]:
    cells: dict[str, list[Tried]] = defaultdict(list)
    for one in sorted(tried, key=key, reverse=True):
        if key(one) >= floor and len(cells[one.genome.cell]) < ELITES:
            cells[one.genome.cell].append(one)
    first = sorted((group[0] for group in cells.values() if group), key=key, reverse=True)
    others = sorted((one for group in cells.values() for one in group[1:]), key=key, reverse=True)
    return [*first, *others][:count]
