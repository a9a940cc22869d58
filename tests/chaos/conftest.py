import pytest

from tests.chaos.stack import Stack

# As in production, only sooner, so that a lost job is noticed within seconds.
QUICK = {
    "DREAMFORK_JOB_HEARTBEAT_SECONDS": "1",
    "DREAMFORK_JOB_STALE_SECONDS": "5",
    "DREAMFORK_JOB_SWEEP_SECONDS": "1",
    "DREAMFORK_JOB_CANCEL_GRACE_SECONDS": "3",
}


@pytest.fixture(scope="package")
def stack(tmp_path_factory):
    """One running product for all tests that leave it whole."""
    running = Stack(tmp_path_factory.mktemp("up"), **QUICK)
    try:
        yield running.wait_up()
    finally:
        running.stop()
        print("\n".join(running.lines[-200:]))  # shown when a test failed
        assert running.family() == []
