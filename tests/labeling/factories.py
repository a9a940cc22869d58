"""Rows that labeling stands on, made directly: scenario -> start frame -> rollouts, without pixels."""

from __future__ import annotations

import hashlib
import itertools

from django.utils import timezone

from core.models import Blob
from rollouts.models import PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame

_numbers = itertools.count(1)


def blob(content_type: str = "image/png") -> Blob:
    sha = hashlib.sha256(f"labeling-test-{next(_numbers)}".encode()).hexdigest()
    return Blob.objects.create(sha256=sha, size=1, content_type=content_type)


def policy_version(name: str | None = None) -> PolicyVersion:
    return PolicyVersion.objects.create(name=name or f"version-{next(_numbers)}", components={}, state="candidate")


def start_frame(scenario: Scenario | None = None, **fields) -> StartFrame:
    number = next(_numbers)
    if scenario is None:
        scenario = Scenario.objects.create(slug=f"scenario-{number}", name=f"Scenario {number}", state="active")
    version = scenario.versions.first() or ScenarioVersion.objects.create(
        scenario=scenario, number=1, prompt="go to the red ball", scene_text="a dog lies on a plain floor"
    )
    values = {"state": "approved", "source": "uploaded", "width": 96, "height": 96, "phash": number, "reviewed_at": timezone.now(), **fields}
    return StartFrame.objects.create(scenario_version=version, image=blob(), **values)


def rollouts(
    count: int,
    *,
    frame: StartFrame | None = None,
    version: PolicyVersion | None = None,
    sprite: Blob | None = None,
    latents_blob: Blob | None = None,
    **fields,
) -> list[Rollout]:
    """`count` rollouts of one start frame, 13 frames of 96 x 96 at 3 Hz, as the shipped world model makes them."""
    frame = frame or start_frame()
    version = version or policy_version()
    values = {
        "prompt": "go to the red ball",
        "sampler": {},
        "sampler_hash": "0" * 64,
        "frame_count": 13,
        "fps": 3.0,
        "width": 96,
        "height": 96,
        "actions": [[0.0] * 5] * 12,
        "path": [[0.1 * step, 0.0] for step in range(13)],
        "path_pixels": [[0.5, 0.5]] * 13,
        "verdict": {"accepted": True, "checks": []},
        "accepted": True,
        "success": 0.5,
        **fields,
    }
    made = []
    for _ in range(count):
        number = next(_numbers)
        row = {"value": number % 7 - 3.0, "seed": number, **values}
        made.append(Rollout.objects.create(start_frame=frame, policy_version=version, sprite=sprite or blob(), latents=latents_blob or blob(), **row))
    return made
