"""Fill an empty database with real pairs: two robots of the physics world that leave from the same start frame.

Runs as a program of its own (`python -m tests.e2e.content PAIRS`), because the site that it fills is another process. The frames are
rendered by MuJoCo; what differs between the two sides of a pair is the demonstrator's skill.
"""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import numpy as np  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.media import blob_store  # noqa: E402
from labeling.models import Project  # noqa: E402
from labeling.services.comparisons import NewPair, comparisons_create  # noqa: E402
from rollouts.images import png_bytes, sprite_sheet  # noqa: E402
from rollouts.models import PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame  # noqa: E402
from rollouts.services.frames import start_frame_create  # noqa: E402
from rollouts.worlds import World, make_world  # noqa: E402
from rollouts.worlds.household.camera import to_frame  # noqa: E402
from rollouts.worlds.household.demonstrators import Demonstrator  # noqa: E402

SKILLS = ("careful", "careless", "clumsy", "play")  # six pairs a start frame
STEPS = 12
SIZE = 96
PROMPTS = ("go to the red ball", "go to the green can", "bring the yellow ball to the mat")


def episode(env: World, seed: int, skill: str, prompt: str) -> dict:
    """13 frames of one demonstrator, from the start frame that belongs to `seed`."""
    _, info = env.reset(seed=seed, options={"prompt": prompt, "factors": {"dog": "lying", "dog_place": "on_path"}})
    actor = Demonstrator(info["task"], skill, np.random.default_rng([seed, SKILLS.index(skill)]))
    frames, path, actions = [env.render()], [info["state"]["robot"][:2]], []
    for _ in range(STEPS):
        action = actor.act(info["state"])
        _, _, _, _, info = env.step(action)
        frames.append(env.render())
        path.append(info["state"]["robot"][:2])
        actions.append([round(float(value), 4) for value in action])
    return {
        "frames": np.stack(frames), "path": np.asarray(path), "actions": actions,
        "success": float(info["success"]), "contact": bool(info["dog_contact"]), "prompt": prompt,
    }  # fmt: skip


@transaction.atomic
def load(pairs: int) -> int:
    """Make at least `pairs` open comparisons. Returns how many there are."""
    env = make_world("household", width=SIZE, height=SIZE)
    version = PolicyVersion.objects.create(name="demonstrators", components={}, state="candidate")
    scenario = Scenario.objects.create(slug="dog-on-the-way", name="Dog on the way", state="active")
    text = ScenarioVersion.objects.create(scenario=scenario, number=1, prompt=PROMPTS[0], scene_text="a dog lies on the way")
    Project.current()
    made: list[NewPair] = []
    seed = 0
    while len(made) < pairs:
        played = [episode(env, seed, skill, PROMPTS[seed % len(PROMPTS)]) for skill in SKILLS]
        frame = start_frame_create(scenario_version=text, frame=played[0]["frames"][0], source="captured", seed=seed, world_spec={"seed": seed})
        StartFrame.objects.filter(pk=frame.pk).update(state="approved", reviewed_at=timezone.now())
        rows = [rollout(frame, version, one, number) for number, one in enumerate(played)]
        made += [NewPair((a.pk, b.pk), frame.pk, "uniform") for place, a in enumerate(rows) for b in rows[place + 1 :]]
        seed += 1
    env.close()
    return len(comparisons_create(pairs=made))


def rollout(frame: StartFrame, version: PolicyVersion, one: dict, seed: int) -> Rollout:
    sprite = blob_store(png_bytes(sprite_sheet(one["frames"])), "image/png")
    latents = blob_store(b"the physics world has no latents", "application/octet-stream", audience="researchers")
    keeps_away = {"name": "dog_contact", "value": float(one["contact"]), "limit": 0.5, "margin": 0.5 - one["contact"], "ok": not one["contact"]}
    return Rollout.objects.create(
        start_frame=frame, policy_version=version, prompt=one["prompt"], seed=seed, sampler={"world": "household"}, sampler_hash="0" * 64,
        sprite=sprite, latents=latents, frame_count=STEPS + 1, fps=3.0, width=SIZE, height=SIZE, actions=one["actions"],
        path=one["path"].round(4).tolist(), path_pixels=to_frame(one["path"]).round(4).tolist(),
        verdict={"accepted": not one["contact"], "checks": [keeps_away]}, accepted=not one["contact"], value=one["success"], success=one["success"],
    )  # fmt: skip


if __name__ == "__main__":
    print(load(int(sys.argv[1])), "comparisons")
