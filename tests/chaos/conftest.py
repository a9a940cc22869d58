import pytest

from tests.chaos.issuer import Issuer
from tests.chaos.stack import Stack

# As in production, only sooner, so that a lost job is noticed within seconds.
QUICK = {
    "DREAMFORK_JOB_HEARTBEAT_SECONDS": "1",
    "DREAMFORK_JOB_STALE_SECONDS": "5",
    "DREAMFORK_JOB_SWEEP_SECONDS": "1",
    "DREAMFORK_JOB_CANCEL_GRACE_SECONDS": "3",
}


@pytest.fixture(scope="package")
def issuer():
    one = Issuer()
    yield one
    one.close()


@pytest.fixture(scope="package")
def product(new_home, issuer):
    running = Stack(
        new_home(), DREAMFORK_OIDC_ISSUER=issuer.url, DREAMFORK_OIDC_CLIENT_ID="dreamfork", DREAMFORK_OIDC_CLIENT_SECRET="s",
        DREAMFORK_OIDC_ROLES_CLAIM="groups", DREAMFORK_OIDC_NAME="Robots Ltd", **QUICK,
    )  # fmt: skip
    try:
        yield running.wait_up()
    finally:
        running.stop()
        print("\n".join(running.lines[-200:]))  # shown when a test failed
        assert running.family() == []


@pytest.fixture
def stack(product):
    """One running product for all tests, with an issuer of OpenID Connect to sign in by; a test that ends it leaves the next one to start it again."""
    if product.process.poll() is not None:
        product.start().wait_up()
    return product
