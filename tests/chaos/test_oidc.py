"""Signing in by OpenID Connect against a real web server and an issuer that signs its tokens."""

import re

import pytest
import requests

from tests.chaos.issuer import Issuer
from tests.chaos.stack import Stack, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def issuer():
    one = Issuer()
    yield one
    one.close()


def sign_in(site: Stack) -> requests.Response:
    session = requests.Session()
    page = session.get(f"{site.url}/sign-in/").text
    form = re.search(r'<form method="post" action="(/sign-in/with/[^"]+)"', page)
    assert form, page
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    return session.post(site.url + form[1], data={"csrfmiddlewaretoken": token}, headers={"Referer": site.url})


def test_a_person_comes_by_their_organisation(issuer, tmp_path):
    port = free_port()
    site = Stack(
        tmp_path, port=port, DREAMFORK_URL=f"http://127.0.0.1:{port}", DREAMFORK_OIDC_ISSUER=issuer.url, DREAMFORK_OIDC_CLIENT_ID="dreamfork",
        DREAMFORK_OIDC_CLIENT_SECRET="s", DREAMFORK_OIDC_ROLES_CLAIM="groups", DREAMFORK_OIDC_NAME="Robots Ltd",
    ).wait_up()  # fmt: skip
    try:
        issuer.claims = {"sub": "1", "preferred_username": "greta", "email": "greta@robots.example", "given_name": "Greta", "groups": ["researcher", "staff"]}
        answer = sign_in(site)
        assert answer.status_code == 200, answer.text
        assert "Good to see you, Greta" in answer.text
        groups = (
            "SELECT name FROM auth_group JOIN core_user_groups g ON g.group_id = auth_group.id JOIN core_user u ON u.id = g.user_id WHERE username = 'greta'"
        )
        assert site.query(groups) == [("researcher",)]

        issuer.claims["groups"] = ["annotator"]
        assert sign_in(site).status_code == 200
        assert site.query(groups) == [("annotator",)], "the issuer's word counts at each sign-in"
        assert site.query("SELECT count(*) FROM core_user WHERE username = 'greta'") == [(1,)]
    finally:
        site.stop()
    assert site.family() == []
