"""Who may open which page, and what it says."""

import pytest
from django.urls import reverse
from django.utils import timezone

from core.audit import record
from core.jobs import submit
from core.models import Job

pytestmark = pytest.mark.django_db

PAGES = [
    # url name, who gets 200 of (stranger, annotator, researcher, admin)
    ("core:home", {"stranger", "annotator", "researcher", "admin"}),
    ("core:account", {"stranger", "annotator", "researcher", "admin"}),
    ("core:jobs", {"annotator", "researcher", "admin"}),
    ("core:people", {"admin"}),
    ("core:audit", {"admin"}),
    ("core:metrics", {"admin"}),
    ("api_docs", {"annotator", "researcher", "admin"}),
]


@pytest.mark.parametrize(("name", "allowed"), PAGES)
def test_it_checks_the_role(name, allowed, client, stranger_client, annotator_client, researcher_client, admin_client_):
    clients = {"stranger": stranger_client, "annotator": annotator_client, "researcher": researcher_client, "admin": admin_client_}
    for role, one in clients.items():
        assert one.get(reverse(name)).status_code == (200 if role in allowed else 403), role
    if name != "core:metrics":
        assert client.get(reverse(name)).headers["Location"].startswith("/sign-in/?next=")


def test_every_page_has_a_strict_policy(admin_client_):
    policy = admin_client_.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "style-src 'self';" in policy + ";"
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_home_page_shows_only_what_the_role_opens(annotator_client):
    page = annotator_client.get("/").content.decode()
    assert "Audit log" not in page
    assert "Policy versions" not in page


def test_a_person_without_a_role_is_told_what_to_do(stranger_client):
    assert "Ask an admin for a role" in stranger_client.get("/").content.decode()


def test_the_job_page_explains(researcher_client, researcher):
    job = submit(kind="core.check", created_by=researcher)
    page = researcher_client.get(job.get_absolute_url()).content.decode()
    assert "Waiting for a worker of the CPU queue." in page
    assert "No worker serves the CPU queue" in page
    assert "job-progress" in page


def test_routine_jobs_that_went_well_do_not_bury_the_others(researcher_client, researcher):
    from core.jobs import kinds

    routine = next(kind.name for kind in kinds() if kind.every_s is not None)
    done, broken, asked = (submit(kind=routine, created_by=by) for by in (None, None, researcher))
    for job in (done, asked):
        Job.objects.filter(pk=job.pk).update(state="succeeded", finished_at=timezone.now())
    Job.objects.filter(pk=broken.pk).update(state="failed", finished_at=timezone.now(), error="It broke.")

    def shown(query: str) -> set[str]:
        page = researcher_client.get(f"/jobs/{query}").content.decode()
        return {str(job.pk) for job in (done, broken, asked) if str(job.pk) in page}

    assert shown("") == {str(broken.pk), str(asked.pk)}
    assert shown("?state=succeeded") == {str(asked.pk)}
    everything = {str(job.pk) for job in (done, broken, asked)}
    assert shown("?routine=1") == shown(f"?kind={routine}") == everything


def test_the_job_page_hides_other_peoples_jobs_from_annotators(annotator_client, researcher):
    assert annotator_client.get(submit(kind="core.check", created_by=researcher).get_absolute_url()).status_code == 404


def test_it_cancels_and_runs_again(researcher_client, researcher):
    job = submit(kind="core.check", created_by=researcher)
    assert researcher_client.post(reverse("core:cancel_job", args=[job.pk])).status_code == 302
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert researcher_client.post(reverse("core:retry_job", args=[job.pk])).status_code == 302
    assert researcher_client.post(reverse("core:retry_job", args=[job.pk])).status_code == 400


def test_cancel_rejects_get(researcher_client, researcher):
    job = submit(kind="core.check", created_by=researcher)
    assert researcher_client.get(reverse("core:cancel_job", args=[job.pk])).status_code == 405


def test_the_audit_page_shows_and_filters(admin_client_, admin_person):
    record(actor=admin_person, action="thing.retire", target="the red thing", before={"state": "active"}, after={"state": "retired"}, reason="old")
    record(actor=admin_person, action="thing.rename", target="the blue thing")
    page = admin_client_.get("/audit/?q=red").content.decode()
    assert "the red thing" in page
    assert "state: &quot;active&quot; → &quot;retired&quot;" in page
    assert "the blue thing" not in page


def test_an_expired_htmx_request_is_told_where_to_sign_in(client):
    answer = client.get("/jobs/", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["X-Sign-In"].startswith("/sign-in/?next=")


def test_a_missing_page_helps(researcher_client):
    answer = researcher_client.get("/nowhere/")
    assert answer.status_code == 404
    assert "/nowhere/" in answer.content.decode()


def test_a_missing_api_page_is_a_problem(researcher_client):
    answer = researcher_client.get("/api/v1/nowhere/")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_request_id_comes_back(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abcdefgh-1234"}).headers["X-Request-ID"] == "abcdefgh-1234"
    assert client.get("/healthz", headers={"X-Request-ID": "bad\tid"}).headers["X-Request-ID"] != "bad\tid"


def test_queues_without_a_worker_are_said_to_those_who_can_start_one(researcher_client, annotator_client):
    for queue in (Job.Queue.CPU, Job.Queue.GPU):
        Job.objects.create(kind="core.tidy", queue=queue)
    assert "Jobs wait in the cpu and gpu queues, but no worker serves them." in researcher_client.get("/").content.decode()
    assert "Jobs wait" not in annotator_client.get("/").content.decode()
