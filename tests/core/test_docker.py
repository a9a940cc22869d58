"""docker/ says what `manage.py up` does, in another language: nothing may be in one and missing in the other. (The images themselves need an engine.)"""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from core.models import Job
from core.views.media import ACCEL_PREFIX

DOCKER = settings.BASE_DIR / "docker"
UP = (settings.BASE_DIR / "core" / "supervisor" / "up.py").read_text()


@pytest.fixture(scope="module")
def services() -> dict[str, dict]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


@pytest.fixture(scope="module")
def commands() -> dict[str, list[str]]:
    """The command of each image that the Dockerfile makes."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    stages = re.split(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE)[1:]
    found = {}
    for name, lines in zip(stages[::2], stages[1::2], strict=True):
        if command := re.search(r"^CMD (\[.*\])$", lines, re.MULTILINE):
            found[name] = yaml.safe_load(command[1])
    return found


def workers(services: dict[str, dict], commands: dict[str, list[str]]) -> dict[str, list[str]]:
    """The commands of the services that are Celery workers."""
    every = {name: service.get("command") or commands.get((service.get("build") or {}).get("target", ""), []) for name, service in services.items()}
    return {name: command for name, command in every.items() if command[:1] == ["celery"]}


def test_it_prepares_the_database_as_up_does(services):
    steps = [shlex.split(step) for step in services["migrate"]["command"][-1].split("&&")]
    asked = [step[step.index("manage.py") + 1] for step in steps]
    assert asked == re.findall(r'self\._manage\("(?:migrate|weights)", "(\w+)"', UP) == ["migrate", "base_weights"]
    assert set(asked) <= set(get_commands())


def test_every_queue_has_a_worker(services, commands):
    queues = {name: command[command.index("-Q") + 1] for name, command in workers(services, commands).items()}
    assert set(queues.values()) == {*Job.Queue.values, settings.CELERY_TASK_DEFAULT_QUEUE}
    # `docker compose up` without a profile starts no dreamer: the words on how to start have to name one.
    told = next(line for line in (DOCKER / "compose.yaml").read_text().splitlines() if "docker compose" in line)
    profiles = {profile for name, queue in queues.items() if queue == "gpu" for profile in services[name]["profiles"]}
    assert re.search(r"--profile (\w+)", told)[1] in profiles


def test_workers_and_web_are_started_as_up_does(services, commands):
    for command in (*workers(services, commands).values(), commands["web"]):
        for option in (word for word in command if word.startswith("--")):
            assert f'"{option}"' in UP or option in ("--proxy-headers", "--forwarded-allow-ips"), option
    assert re.findall(r'"--ws", "([\w-]+)"', UP) == [commands["web"][commands["web"].index("--ws") + 1]]
    assert [name for name, command in workers(services, commands).items() if "-B" in command] == ["beat"]


def test_the_image_has_what_the_product_is_made_of():
    text = (DOCKER / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert all((settings.BASE_DIR / source).exists() for source in sources), sources
    ours = {app for app in settings.INSTALLED_APPS if (settings.BASE_DIR / app).is_dir()} | {"config", "manage.py"}
    assert ours <= sources
    ignored = (settings.BASE_DIR / ".dockerignore").read_text().split()
    assert not [source for source in sources if source.split("/")[0] in ignored]


def test_compose_names_settings_and_secrets_that_exist(services):
    text = (settings.BASE_DIR / "config" / "settings.py").read_text()
    secrets = yaml.safe_load((DOCKER / "compose.yaml").read_text())["secrets"]
    for name, value in services["web"]["environment"].items():
        assert f'"{name.removesuffix("_FILE")}"' in text, name
        if name.endswith("_FILE"):
            assert Path(value).name in secrets
    assert services["postgres"]["secrets"] == ["postgres_password"]


def test_nginx_finds_the_web_server_and_the_media(services):
    text = (DOCKER / "nginx.conf").read_text()
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert re.search(r"server (\w+):(\d+);", text).groups() == ("web", re.search(r"EXPOSE (\d+)", dockerfile)[1])
    home = re.search(r"DREAMFORK_HOME=(\S+)", dockerfile)[1]
    assert f"location {ACCEL_PREFIX} {{" in text
    assert f"alias {home}/{settings.BLOB_DIR.relative_to(settings.HOME)}/;" in text
    assert f"data:{home}" in services["web"]["volumes"]
    assert f"data:{home}:ro" in services["nginx"]["volumes"]


OSMESA, EGL, NVIDIA, MESA, GALLIUM = (
    f"\t{name} (libc6,x86-64) => /lib/{name}" for name in ("libOSMesa.so.8", "libEGL.so.1", "libEGL_nvidia.so.0", "libEGL_mesa.so.0", "libgallium-25.0.so")
)


@pytest.fixture
def libraries(tmp_path):
    """Runs docker/system-libraries.sh on a Linux that has some libraries, as a person who may not install any."""

    def run(*present: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for name, lines in (("ldconfig", ["cat <<EOF", *present, "EOF"]), ("uname", ["echo Linux"]), ("id", ["echo 1000"])):
            (tmp_path / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
            (tmp_path / name).chmod(0o755)
        plain = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "DISPLAY")}
        return subprocess.run(
            ["sh", DOCKER / "system-libraries.sh", "--strict"],
            env={**plain, "PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True,
            text=True,
        )

    return run


def test_libraries_for_software_rendering_are_asked_for_where_there_is_only_egl(libraries):
    found = libraries(EGL, MESA, GALLIUM)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.strip().endswith("sudo apt-get install libosmesa6")
    assert libraries(OSMESA).returncode == 0


def test_libraries_for_egl_are_asked_for_where_that_is_chosen(libraries):
    assert libraries(OSMESA, MUJOCO_GL="egl").stderr.strip().endswith("sudo apt-get install libegl1 libgl1-mesa-dri")
    assert libraries(EGL, MUJOCO_GL="egl").returncode == 1, "a loader without a driver draws nothing"
    assert libraries(EGL, MESA, MUJOCO_GL="egl").returncode == 1, "nor does Mesa without its renderers"
    assert libraries(EGL, MESA, GALLIUM, MUJOCO_GL="EGL").returncode == 0
    assert libraries(EGL, NVIDIA, MUJOCO_GL="egl").returncode == 0


def test_no_library_is_asked_for_where_a_screen_draws(libraries):
    assert libraries(DISPLAY=":0").returncode == 0
    assert libraries(DISPLAY=":0", MUJOCO_GL="osmesa").returncode == 1


def test_libraries_are_found_by_people_without_sbin_in_their_path(libraries, tmp_path):
    ldconfig = shutil.which("ldconfig", path="/usr/sbin:/sbin:/usr/bin:/bin")
    here = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout if ldconfig else ""
    libraries()  # which stands in for `id` and `uname`: nothing is installed here
    (tmp_path / "ldconfig").unlink()
    run = subprocess.run(["sh", DOCKER / "system-libraries.sh"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert ("libosmesa6" in run.stderr) == ("libOSMesa.so" not in here)


def test_the_readme_names_the_library_that_the_script_installs(libraries):
    package = libraries().stderr.split()[-1]
    assert f"`{package}`" in (settings.BASE_DIR / "README.md").read_text()
