"""Run simulated annotators against an installation: accounts that are marked, judges that look, and the HTTP API between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from django.conf import settings

from core.models import User
from core.people import person_ensure, sign_in_link_create
from labeling.models import AnnotatorProfile
from labeling.simulate import Judge, Outcome, SimulatedAnnotator, Teacher
from labeling.simulate.client import Clips


@dataclass
class Simulation:
    """Outcomes by user name, and the seconds that it took."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        return sum(len(outcome.answered) for outcome in self.outcomes.values())


def simulated_annotator_ensure(*, name: str, teacher: Teacher, seed: int) -> User:
    """An account of a simulated annotator. Every choice it makes is marked; it needs no qualifying set.

    Raises ValueError if the name belongs to a person.
    """
    user = person_ensure(username=name, roles=("annotator",))
    profile, made = AnnotatorProfile.objects.get_or_create(user=user, defaults={"is_simulated": True})
    if not made and not profile.is_simulated:
        raise ValueError(f"{name} is a person, not a simulated annotator.")
    profile.simulation = {**teacher.to_dict(), "seed": seed}
    profile.qualification = AnnotatorProfile.Qualification.WAIVED
    profile.save(update_fields=["simulation", "qualification"])
    return user


def judge_load(*, weights: Path | None = None) -> Judge:
    """A judge that reads frames through the probe of a policy's weights (the shipped base by default)."""
    from rollouts.dreams.policy import Policy

    return Judge(Policy.load(weights or settings.BASE_DIR / "rollouts" / "weights" / "base").probe)


def simulation_run(
    *,
    judge: Judge,
    teacher: Teacher,
    annotators: int = 1,
    choices: int | None = None,
    seconds: float | None = None,
    url: str | None = None,
    in_process: bool = False,
    seed: int = 0,
    prefix: str = "simulated",
    wait: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Simulation:
    """`annotators` at once, `choices` in all (or as many as fit into `seconds`), through HTTP at `url`.

    in_process: through the same HTTP stack without a socket, for a server that does not run yet.
    Raises httpx.TransportError or TimeoutError when the server does not answer.
    """
    if choices is None and seconds is None:
        raise ValueError("give choices or seconds")
    users = [simulated_annotator_ensure(name=f"{prefix}-{n + 1}", teacher=teacher, seed=seed + n) for n in range(annotators)]
    links = {user.username: sign_in_link_create(user=user) for user in users}
    shares = [None] * annotators if choices is None else [choices // annotators + (n < choices % annotators) for n in range(annotators)]
    base = (url or settings.SITE_URL).rstrip("/")
    simulation = Simulation()
    began = time.monotonic()

    async def one(name: str, share: int | None, number: int, clips: Clips) -> None:
        async with _http(base, in_process) as http:
            annotator = SimulatedAnnotator(http, links[name], teacher, clips, seed + number)
            simulation.outcomes[name] = annotator.outcome
            await annotator.sign_in()
            await annotator.work(choices=share, until=None if seconds is None else began + seconds, wait=wait)

    async def watch() -> None:
        while True:
            if progress is not None:
                progress(simulation.answered)
            await asyncio.sleep(0.5)

    async def run() -> None:
        clips = Clips(judge)
        watcher = asyncio.create_task(watch())
        try:
            await asyncio.gather(*(one(name, share, n, clips) for n, (name, share) in enumerate(zip(links, shares, strict=True))))
        finally:
            watcher.cancel()

    asyncio.run(run())
    simulation.seconds = time.monotonic() - began
    if progress is not None:
        progress(simulation.answered)
    return simulation


def _http(base: str, in_process: bool) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=2, max_keepalive_connections=2)
    headers = {"Referer": base + "/"}
    if not in_process:
        return httpx.AsyncClient(base_url=base, timeout=30, limits=limits, headers=headers)
    from django.core.asgi import get_asgi_application

    return httpx.AsyncClient(base_url=base, timeout=60, headers=headers, transport=httpx.ASGITransport(app=cast(Any, get_asgi_application())))
