"""Real servers and real people for every test.

PostgreSQL and Valkey come out of their wheels into a fresh directory; they start once per run, whatever number of workers shares them.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from core import servers

_running: list[tuple[subprocess.Popen[bytes], servers.ServerCommand]] = []


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has it ignored by what it runs in the background; but these servers and products have to be stopped on Ctrl-C, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        return  # xdist: the controller has started them
    home = Path(os.environ["DREAMFORK_HOME"])
    servers.home_prepare(home)
    for command in (servers.postgres_command(home, durable=False), servers.valkey_command(home)):
        _running.append((servers.start(command, log=home / f"{command.name}.log"), command))


def pytest_unconfigure(config: pytest.Config) -> None:
    for process, command in _running:
        servers.stop(process, command)
    if _running:
        shutil.rmtree(os.environ["DREAMFORK_HOME"], ignore_errors=True)
    _running.clear()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests first: xdist gives a file to one worker, and a slow one that comes last is waited for by all."""
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def new_home() -> Iterator[Callable[[], Path]]:
    """Makes data directories for products of a test's own. As root, PostgreSQL runs as somebody else and has to pass through the directories
    above; pytest's are closed to others again by the next run of pytest that begins."""
    made: list[Path] = []

    def make() -> Path:
        made.append(Path(tempfile.mkdtemp(prefix="dreamfork-product-")))
        return made[-1]

    yield make
    for home in made:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def _clean_cache(request: pytest.FixtureRequest) -> Iterator[None]:
    """Rate limits of one test must not hit the next."""
    yield
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        from django.core.cache import cache

        cache.clear()


def _person(name: str, *roles: str):
    from core.models import User

    user = User.objects.create_user(name)
    user.groups.set(Group.objects.get_or_create(name=role)[0] for role in roles)
    return user


@pytest.fixture
def annotator(db):
    return _person("ann", "annotator")


@pytest.fixture
def second_annotator(db):
    return _person("bea", "annotator")


@pytest.fixture
def researcher(db):
    return _person("rob", "researcher")


@pytest.fixture
def admin_person(db):
    return _person("ada", "admin")


@pytest.fixture
def stranger(db):
    """Signed in, but without any role."""
    return _person("sam")


def _client(user) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    client.user = user
    return client


@pytest.fixture
def annotator_client(annotator) -> Client:
    return _client(annotator)


@pytest.fixture
def second_annotator_client(second_annotator) -> Client:
    return _client(second_annotator)


@pytest.fixture
def researcher_client(researcher) -> Client:
    return _client(researcher)


@pytest.fixture
def admin_client_(admin_person) -> Client:
    return _client(admin_person)


@pytest.fixture
def stranger_client(stranger) -> Client:
    return _client(stranger)


@pytest.fixture
def run_job(db) -> Callable[..., object]:
    """`job = run_job(job)`: run a waiting job in this process, as a worker's child would; returns the fresh row."""

    def run(job):
        from core.jobs.execution import execute
        from core.jobs.services import job_claim

        claimed = job_claim(queue=job.queue, worker="test", job_id=job.pk)
        assert claimed is not None, f"{job} does not wait: {job.state}"
        execute(claimed)
        job.refresh_from_db()
        return job

    return run
