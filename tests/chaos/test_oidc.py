"""Signing in by OpenID Connect against a real web server and an issuer that signs its tokens."""

import re

import pytest
import requests

from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def sign_in(site: Stack) -> requests.Response:
    session = requests.Session()
    page = session.get(f"{site.url}/sign-in/").text
    form = re.search(r'<form method="post" action="(/sign-in/with/[^"]+)"', page)
    assert form, page
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    return session.post(site.url + form[1], data={"csrfmiddlewaretoken": token}, headers={"Referer": site.url})


def test_a_person_comes_by_their_organisation(issuer, stack):
    issuer.claims = {"sub": "1", "preferred_username": "greta", "email": "greta@robots.example", "given_name": "Greta", "groups": ["researcher", "staff"]}
    answer = sign_in(stack)
    assert answer.status_code == 200, answer.text
    assert "Good to see you, Greta" in answer.text
    groups = "SELECT name FROM auth_group JOIN core_user_groups g ON g.group_id = auth_group.id JOIN core_user u ON u.id = g.user_id WHERE username = 'greta'"
    assert stack.query(groups) == [("researcher",)]

    issuer.claims["groups"] = ["annotator"]
    assert sign_in(stack).status_code == 200
    assert stack.query(groups) == [("annotator",)], "the issuer's word counts at each sign-in"
    assert stack.query("SELECT count(*) FROM core_user WHERE username = 'greta'") == [(1,)]
