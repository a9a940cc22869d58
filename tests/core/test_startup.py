"""Starting a process must stay quick: every command, web server and worker pays for it."""

import subprocess
import sys

from tests.chaos.stack import ROOT, clean_environment

_SCRIPT = """
import sys, django
django.setup()
from django.urls import get_resolver
get_resolver().url_patterns
print(sorted({"torch", "mujoco", "transformers", "scipy", "sklearn", "tensorboard"} & set(sys.modules)))
"""


def test_pages_and_commands_do_not_import_what_learns(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=ROOT, env=clean_environment(tmp_path, DJANGO_SETTINGS_MODULE="config.settings"), capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_server_has_loaded_its_pages_before_it_answers(tmp_path):
    """Otherwise the first person after a start waits for the imports."""
    script = "import sys, config.asgi; print([name for name in ('rollouts.views.frames', 'labeling.api_urls', 'training.views') if name not in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=clean_environment(tmp_path), capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_named_hosts_come_on_top_of_the_address(tmp_path):
    """`up` advises DREAMFORK_HOSTS=robot.lan; it then still has to reach itself, and so has a browser on the machine."""
    script = "from django.conf import settings; print(settings.ALLOWED_HOSTS)"
    environment = clean_environment(
        tmp_path, DJANGO_SETTINGS_MODULE="config.settings", DREAMFORK_HOSTS="robot.lan,lab.lan", DREAMFORK_URL="https://dreams.example"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "['127.0.0.1', 'dreams.example', 'lab.lan', 'localhost', 'robot.lan']", done.stderr
