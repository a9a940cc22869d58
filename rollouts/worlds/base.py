"""What a world must offer: any Gymnasium environment with rgb_array frames and a box action space, a prompt and a success.

Another world plugs in by `register_world` (or by its Gymnasium id); `docs/worlds.md` has an example.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np

HOUSEHOLD_ID = "dreamfork/Household-v0"

# MuJoCo picks its renderer when it is first imported, by whatever module that happens to be; all of ours come through here.
# Without a screen only software or EGL can work.
if "mujoco" not in sys.modules and sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "osmesa")

# The CUDA build of torch brings Triton, and Triton as well as Mesa's software renderer bring an LLVM. Whichever is loaded second uses
# symbols of the first: Triton after Mesa crashes the process, Mesa after Triton works.
with contextlib.suppress(ImportError):
    importlib.import_module("triton._C.libtriton")


@runtime_checkable
class World(Protocol):
    """The part of gymnasium.Env that the project uses.

    `reset(seed=, options={"prompt": str, "factors": dict})` and `step(action)` return an `info` with at least
    `prompt` (str) and `success` (bool); `dog_contact` (bool), or whatever the world counts as a harmful contact, is
    optional and taken as false. `render()` returns uint8 [H, W, 3]. Equal seeds and options give equal episodes.
    """

    action_space: gymnasium.Space
    metadata: dict[str, Any]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]: ...

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


_FACTORIES: dict[str, Callable[..., World]] = {}


def register_world(name: str, factory: Callable[..., World]) -> None:
    """`factory(**settings)` builds the world; a name can be registered again, the last one counts."""
    _FACTORIES[name] = factory


def make_world(name: str, **settings: Any) -> World:
    """A registered world, or a Gymnasium id in rgb_array mode. Raises ValueError for an unknown name, TypeError where the
    actions are no box."""
    if name in _FACTORIES:
        world = _FACTORIES[name](**settings)
    elif name in gymnasium.registry:
        world = gymnasium.make(name, render_mode="rgb_array", **settings).unwrapped
    else:
        raise ValueError(f"unknown world {name!r}; known: {', '.join(sorted(_FACTORIES))}, or any registered Gymnasium id")
    if not isinstance(world.action_space, gymnasium.spaces.Box):
        raise TypeError(f"the actions of {name} are {world.action_space}, a policy's are a box")
    return world


def _household(**settings: Any) -> World:
    from .household.env import HouseholdEnv

    return HouseholdEnv(**settings)


register_world("household", _household)
gymnasium.register(HOUSEHOLD_ID, entry_point="rollouts.worlds.household.env:HouseholdEnv")
