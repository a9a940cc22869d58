"""Make a policy of random weights the active one (`python -m tests.e2e.story_policy`): it dreams nonsense, but in a hundredth of a second.

The story in the browser is about what people do and see; how well a policy dreams is measured elsewhere.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import transaction  # noqa: E402

from core.jobs import job_cancel  # noqa: E402
from core.models import Job  # noqa: E402
from rollouts import services  # noqa: E402
from rollouts.dreams.policy import Policy  # noqa: E402

NAME = "tiny"


@transaction.atomic
def register() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Policy.tiny(seed=0).save(Path(directory))
        version = services.policy_version_create(name=NAME, directory=directory, state="promoted")
    services.policy_version_activate(version=version, by=None, reason="the story is told with a small policy")
    # The search that follows every activation would keep the one worker busy for minutes.
    for job in Job.objects.filter(kind="rollouts.mine", state=Job.State.QUEUED):
        job_cancel(job=job, by=None)


if __name__ == "__main__":
    register()
    print(NAME)
