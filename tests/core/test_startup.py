"""Starting a process must stay quick: every command, web server and worker pays for it."""

import subprocess
import sys

from tests.chaos.stack import ROOT, clean_environment

_SCRIPT = """
import sys, django
django.setup()
from django.urls import get_resolver
get_resolver().url_patterns
print(sorted({"torch", "mujoco", "transformers", "sklearn", "tensorboard"} & set(sys.modules)))
"""


def test_pages_and_commands_do_not_import_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=ROOT, env=clean_environment(tmp_path, DJANGO_SETTINGS_MODULE="config.settings"), capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
