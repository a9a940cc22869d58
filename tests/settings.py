"""The product's own settings in a fresh data directory; `tests/conftest.py` starts its servers.

Only the environment differs from a real installation. Under xdist the controller runs the servers, and each worker has a directory, a
database (pytest-django names it after the worker) and a Valkey database of its own: one worker's files, rates and locks are nobody else's.
"""

import os
import tempfile
from pathlib import Path

from core import servers

_PREFIX = os.path.join(tempfile.gettempdir(), "dreamfork-test-")

if not os.environ.get("DREAMFORK_HOME", "").startswith(_PREFIX):
    # What the shell sets for a real installation must not leak into a test, nor a test into it.
    for _name in list(os.environ):
        if _name.startswith("DREAMFORK_") or _name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY"):
            del os.environ[_name]
    os.environ["DREAMFORK_HOME"] = tempfile.mkdtemp(prefix="dreamfork-test-")
elif (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and "DATABASE_URL" not in os.environ:
    _home = Path(os.environ["DREAMFORK_HOME"])
    os.environ["DATABASE_URL"] = servers.postgres_url(_home)
    os.environ["REDIS_URL"] = f"{servers.valkey_url(_home)}?db={int(_worker.removeprefix('gw')) + 1}"
    os.environ["DREAMFORK_HOME"] = str(_home / _worker)

from config.settings import *  # noqa: E402, F403

# One round of PBKDF2 costs 0.3 s; hundreds of tests sign in.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
