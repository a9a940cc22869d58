"""The product's own settings in a fresh data directory; `tests/conftest.py` starts its servers.

Only the environment differs from a real installation. Under xdist the workers inherit the controller's directory.
"""

import os
import tempfile

_PREFIX = os.path.join(tempfile.gettempdir(), "dreamfork-test-")

if not os.environ.get("DREAMFORK_HOME", "").startswith(_PREFIX):
    # What the shell sets for a real installation must not leak into a test, nor a test into it.
    for _name in list(os.environ):
        if _name.startswith("DREAMFORK_") or _name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY"):
            del os.environ[_name]
    os.environ["DREAMFORK_HOME"] = tempfile.mkdtemp(prefix="dreamfork-test-")

from config.settings import *  # noqa: E402, F403

# One round of PBKDF2 costs 0.3 s; hundreds of tests sign in.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
