"""Signing in, roles, one-time links, tokens."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from core.models import ApiToken, AuditEntry, SignInLink, User
from core.people import has_role, person_update, role_required, sign_in_link_create, sign_in_link_use

pytestmark = pytest.mark.django_db


def test_roles(annotator, admin_person, stranger):
    assert has_role(annotator, "annotator")
    assert not has_role(annotator, "researcher", "admin")
    assert has_role(admin_person, "researcher"), "an admin holds every role"
    assert has_role(User.objects.create_superuser("root"), "annotator")
    assert not has_role(stranger, "annotator", "researcher", "admin")


def test_a_person_who_is_switched_off_holds_nothing(annotator):
    annotator.is_active = False
    assert not has_role(annotator, "annotator")


def test_a_misspelt_role_is_an_error():
    with pytest.raises(ValueError, match="unknown roles"):
        role_required("reseacher")


# -- passwords --------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_password(annotator):
    annotator.set_password("a long enough password")
    annotator.save()
    return annotator


def sign_in(client, password, **more):
    return client.post("/sign-in/", {"username": "ann", "password": password, **more})


def test_it_signs_in_and_goes_on(client, with_password):
    assert sign_in(client, "a long enough password", next="/jobs/?state=failed").headers["Location"] == "/jobs/?state=failed"
    assert client.get("/").status_code == 200


def test_it_does_not_go_elsewhere(client, with_password):
    assert sign_in(client, "a long enough password", next="https://evil.example/").headers["Location"] == "/"


def test_a_wrong_password_is_said(client, with_password):
    answer = sign_in(client, "wrong")
    assert answer.status_code == 400
    assert "Please enter a correct username and password" in answer.content.decode()


def test_guessing_is_locked_out(client, with_password, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT):
        answer = sign_in(client, "wrong")
    assert answer.status_code == 429
    assert "Too many wrong passwords" in answer.content.decode()
    assert sign_in(client, "a long enough password").status_code == 429, "also with the right one"


def test_it_changes_the_password(client, with_password):
    sign_in(client, "a long enough password")
    new = {"old_password": "a long enough password", "new_password1": "another long password", "new_password2": "another long password"}
    assert client.post(reverse("core:change_password"), new).status_code == 302
    assert client.get("/").status_code == 200, "this browser stays signed in"
    with_password.refresh_from_db()
    assert with_password.check_password("another long password")


def test_it_refuses_a_short_password(annotator_client):
    answer = annotator_client.post(reverse("core:change_password"), {"new_password1": "short", "new_password2": "short"})
    assert answer.status_code == 400
    assert "too short" in answer.content.decode()


def test_it_signs_out(annotator_client):
    assert annotator_client.get("/sign-out/").status_code == 405, "a link cannot sign anyone out"
    annotator_client.post("/sign-out/")
    assert annotator_client.get("/").status_code == 302


def test_a_form_sent_after_the_session_expired_is_not_lost(client, admin_person):
    admin_person.set_password("a long enough password")
    admin_person.save()
    sent = client.post("/people/?x=1", {"username": "newcomer", "name": "Üm <laut>", "roles": ["annotator", "researcher"], "active": "on"})
    assert sent.status_code == 401
    page = sent.content.decode()
    assert "send it again as you filled it in" in page
    again = page.split('name="again" value="')[1].split('"')[0]
    wrong = client.post("/sign-in/", {"username": "ada", "password": "wrong", "again": again})
    assert f'value="{again}"' in wrong.content.decode(), "a wrong password does not lose it"
    kept = client.post("/sign-in/", {"username": "ada", "password": "a long enough password", "again": again})
    assert kept.status_code == 200
    assert kept.context["path"] == "/people/?x=1"
    form = {}
    for name, value in kept.context["fields"]:
        form.setdefault(name, []).append(value)
    assert client.post(kept.context["path"], form).status_code == 302
    assert User.objects.get(username="newcomer").roles() == {"annotator", "researcher"}


def test_a_form_that_we_did_not_sign_is_not_sent_on(client, with_password):
    assert sign_in(client, "a long enough password", again="forged").headers["Location"] == "/"


# -- one-time links ---------------------------------------------------------------------------------------------------


def test_a_link_signs_in_once(client, annotator):
    path = sign_in_link_create(user=annotator)
    assert client.get(path).status_code == 200
    assert client.get("/").status_code == 302, "looking at the link does not use it up"
    assert client.post(path).headers["Location"] == "/"
    assert client.get("/").status_code == 200
    client.logout()
    again = client.post(path)
    assert again.status_code == 410
    assert "This link no longer works" in again.content.decode()


def test_only_the_hash_of_a_link_is_kept(annotator):
    token = sign_in_link_create(user=annotator).split("/")[-2]
    assert not SignInLink.objects.filter(token_hash__contains=token).exists()


def test_an_old_link_does_not_work(annotator):
    token = sign_in_link_create(user=annotator).split("/")[-2]
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sign_in_link_use(token=token) is None


def test_a_link_of_a_person_who_was_switched_off_does_not_work(annotator):
    token = sign_in_link_create(user=annotator).split("/")[-2]
    User.objects.update(is_active=False)
    assert sign_in_link_use(token=token) is None


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_acts_for_its_person(client, researcher_client, researcher):
    page = researcher_client.post(reverse("core:create_token"), {"name": "notebook"}).content.decode()
    secret = page.split('<code class="mono">')[1].split("<")[0]
    assert client.get("/api/v1/jobs/", headers={"Authorization": f"Token {secret}"}).status_code == 200
    assert client.get("/api/v1/jobs/", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    token = ApiToken.objects.get()
    assert token.last_used_at is not None
    assert secret not in researcher_client.get("/account/").content.decode(), "it is shown once"
    researcher_client.post(reverse("core:revoke_token", args=[token.pk]))
    answer = client.get("/api/v1/jobs/", headers={"Authorization": f"Token {secret}"})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "This token is unknown or revoked."


def test_it_does_not_revoke_someone_elses_token(annotator_client, researcher):
    token = ApiToken.objects.create(user=researcher, name="x", token_hash="h")
    assert annotator_client.post(reverse("core:revoke_token", args=[token.pk])).status_code == 404


# -- admins -----------------------------------------------------------------------------------------------------------


def test_an_admin_adds_a_person_and_sends_a_link(admin_client_, client):
    admin_client_.post("/people/", {"username": "new", "name": "New One", "roles": ["annotator"], "active": "on"})
    person = User.objects.get(username="new")
    assert person.roles() == {"annotator"}
    assert not person.has_usable_password()
    page = admin_client_.post(reverse("core:create_link", args=[person.pk])).content.decode()
    path = page.split("http://127.0.0.1:8000")[1].split("<")[0]
    assert client.post(path).status_code == 302
    assert {"person.create", "person.sign_in_link"} <= set(AuditEntry.objects.values_list("action", flat=True))


def test_a_change_is_in_the_audit_log(admin_client_, annotator):
    admin_client_.post(reverse("core:person", args=[annotator.pk]), {"username": "ann", "name": "Ann", "roles": ["researcher"], "active": "on"})
    entry = AuditEntry.objects.get(action="person.change")
    assert (entry.before["roles"], entry.after["roles"]) == (["annotator"], ["researcher"])


def test_an_admin_does_not_lock_themselves_out(admin_person):
    with pytest.raises(ValidationError, match="from yourself"):
        person_update(person=admin_person, username="ada", name="", roles=["annotator"], active=True, by=admin_person)


def test_names_are_unique_whatever_their_case(admin_client_, annotator):
    answer = admin_client_.post("/people/", {"username": "ANN", "roles": [], "active": "on"})
    assert answer.status_code == 400
    assert "has this name already" in answer.content.decode()
