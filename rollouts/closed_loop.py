"""Where the studio learns what really happens: closed-loop episodes in the world.

The loop itself is above this app (it belongs to training, which depends on rollouts), so it is handed down:
training registers it when the site starts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# run(policy, specs, n, seed, progress) -> outcomes; specs as `StartFrame.world_spec`.
Runner = Callable[..., "list[Outcome]"]
_runner: Runner | None = None


@dataclass(frozen=True)
class Outcome:
    """How one real episode ended. `contact_xy` in metres on the floor, None without contact; `steps` of 1/3 s."""

    success: bool
    dog_contact: bool
    steps: int = 0
    contact_xy: tuple[float, float] | None = None

    @property
    def failed(self) -> bool:
        """Not a clean success."""
        return not self.success or self.dog_contact

    def to_dict(self) -> dict[str, Any]:
        return {"success": self.success, "dog_contact": self.dog_contact, "steps": self.steps, "failed": self.failed}


def register(runner: Runner) -> None:
    """Hand the closed loop down; called once, from an AppConfig.ready()."""
    global _runner
    _runner = runner


def available() -> bool:
    return _runner is not None


def run(*, policy: Any, specs: Sequence[dict[str, Any]], n: int = 1, progress: Callable[[int, int], None] | None = None) -> list[Outcome]:
    """Run the policy in the world from each spec. `n` dreams per plan; `progress(done, total)` between episodes.

    Raises RuntimeError if nothing was registered (training is not installed).
    """
    if _runner is None:
        raise RuntimeError("no closed loop is registered: the training app is not installed")
    return _runner(policy=policy, specs=list(specs), n=n, progress=progress)
