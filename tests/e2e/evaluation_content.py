"""Two versions and their evaluations, to look at (`python -m tests.e2e.evaluation_content`).

The episodes that are watched are real: demonstrators of the physics world from the same start frame. The outcomes are made up, since
nobody judges a policy by this page's test.
"""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

import numpy as np  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from core.media import blob_store  # noqa: E402
from rollouts.images import png_bytes, sprite_sheet  # noqa: E402
from rollouts.models import PolicyVersion  # noqa: E402
from rollouts.worlds import make_world  # noqa: E402
from tests.e2e.content import SIZE, STEPS, episode  # noqa: E402
from training.models import Episode, Evaluation  # noqa: E402
from training.services.evaluations import suite_hash, summarise  # noqa: E402

EACH = 40
WATCHED = 2


@transaction.atomic
def load() -> list[int]:
    """Ids of the evaluations: the parent's, the child's, and the child's with the best of four dreams."""
    parent = PolicyVersion.objects.create(name="judged", components={}, state="promoted")
    child = PolicyVersion.objects.create(name="judged-r1", parent=parent, components={}, state="promoted")
    world = make_world("household", width=SIZE, height=SIZE)
    sheets = []
    for seed in range(WATCHED):
        played = [episode(world, seed, skill, "go to the red ball") for skill in ("careful", "careless")]
        sheets.append([blob_store(png_bytes(sprite_sheet(one["frames"])), "image/png") for one in played])
    world.close()
    rng = np.random.default_rng(0)
    plan = ((parent, 1, 0.6, 0.5), (child, 1, 0.15, 0.7), (child, 4, 0.1, 0.8))
    return [evaluation(version, dreams, contact, success, sheets, rng).pk for version, dreams, contact, success in plan]


def evaluation(version: PolicyVersion, dreams: int, contact: float, success: float, sheets: list, rng: np.random.Generator) -> Evaluation:
    suite = {"adversarial": EACH, "ordinary": EACH, "seed": 0, "dreams": dreams, "scenarios": [], "scenes": []}
    row = Evaluation.objects.create(policy_version=version, suite=suite, suite_hash=suite_hash(suite), state="done", finished_at=timezone.now())
    episodes = []
    for index in range(2 * EACH):
        adversarial = index < EACH
        touched = bool(adversarial and rng.random() < contact)
        dreamed, real = sheets[index] if index < len(sheets) else (None, None)
        episodes.append(
            Episode(
                evaluation=row,
                index=index,
                kind="adversarial" if adversarial else "ordinary",
                scenario=("dog lying in the way", "dog walking across")[index % 2] if adversarial else "no dog",
                prompt="go to the red ball",
                seed=index,
                success=bool(rng.random() < success),
                dog_contact=touched,
                steps=20,
                predicted=float(np.clip(success + rng.normal(0, 0.1), 0, 1)),
                contact_xy=rng.normal(0, 0.6, (1, 2)).clip(-1.9, 1.9).round(3).tolist() if touched else [],
                dreamed=dreamed,
                real=real,
                frame_count=STEPS + 1 if real else 0,
                frame_size=SIZE if real else 0,
            )
        )
    Episode.objects.bulk_create(episodes)
    row.summary = summarise(list(row.episodes.all()))
    row.save()
    return row


if __name__ == "__main__":
    print(*load())
