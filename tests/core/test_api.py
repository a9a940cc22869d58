"""The API's base: problems, authentication, pages, limits, schema, health, metrics."""

import pytest
from django.core.cache import cache

from core.jobs import submit
from core.models import WorkerBeat

pytestmark = pytest.mark.django_db


def test_without_a_session_it_is_401_with_a_problem(client):
    answer = client.get("/api/v1/jobs/")
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Token"
    assert answer.json()["code"] == "not_authenticated"


def test_without_a_role_it_is_403(stranger_client):
    answer = stranger_client.get("/api/v1/jobs/")
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


def test_a_write_needs_the_csrf_token(researcher, researcher_client):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(researcher, backend="django.contrib.auth.backends.ModelBackend")
    job = submit(kind="core.check", created_by=researcher)
    assert strict.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 403
    assert researcher_client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 200


def test_it_lists_own_jobs_by_cursor(annotator_client, annotator, researcher):
    mine = [submit(kind="core.check", created_by=annotator) for _ in range(3)]
    submit(kind="core.check", created_by=researcher)
    page = annotator_client.get("/api/v1/jobs/?page_size=2").json()
    rest = annotator_client.get(page["next"]).json()
    assert {row["id"] for row in page["results"] + rest["results"]} == {str(job.pk) for job in mine}
    assert rest["next"] is None


def test_it_filters_by_what_is_allowed(researcher_client, researcher):
    submit(kind="core.check", created_by=researcher)
    assert len(researcher_client.get("/api/v1/jobs/?state=queued").json()["results"]) == 1
    assert researcher_client.get("/api/v1/jobs/?state=failed").json()["results"] == []
    assert researcher_client.get("/api/v1/jobs/?state=nonsense").status_code == 400
    assert len(researcher_client.get("/api/v1/jobs/?created_by__password=x").json()["results"]) == 1, "what is not on the list is not a filter"


def test_a_job_of_others_cannot_be_cancelled(annotator_client, researcher):
    job = submit(kind="core.check", created_by=researcher)
    assert annotator_client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 404


def test_a_waiting_job_cannot_be_retried(researcher_client, researcher):
    answer = researcher_client.post(f"/api/v1/jobs/{submit(kind='core.check', created_by=researcher).pk}/retry/")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_retryable")


def test_writes_are_limited_and_reads_are_not(researcher_client, researcher, monkeypatch):
    from core.api.throttles import WriteThrottle

    cache.clear()
    monkeypatch.setattr(WriteThrottle, "THROTTLE_RATES", {"write": "2/min"})
    path = f"/api/v1/jobs/{submit(kind='core.check', created_by=researcher).pk}/cancel/"
    assert [researcher_client.post(path).status_code for _ in range(3)] == [200, 200, 429]
    last = researcher_client.post(path)
    assert int(last.headers["Retry-After"]) > 0
    assert researcher_client.get("/api/v1/jobs/").status_code == 200


def test_no_limit_is_better_than_no_work_when_the_cache_is_away(researcher_client, researcher, settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "unix:///nowhere/valkey.sock"}}
    job = submit(kind="core.check", created_by=researcher)
    assert researcher_client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 200


def test_the_schema_is_whole(researcher_client):
    answer = researcher_client.get("/api/v1/schema/?format=json")
    assert answer.status_code == 200
    cancel = answer.json()["paths"]["/api/v1/jobs/{id}/cancel/"]["post"]
    assert {"200", "400", "401", "403", "404", "409", "429"} <= set(cancel["responses"])


# -- health -----------------------------------------------------------------------------------------------------------


def test_it_lives(client):
    assert client.get("/healthz").content == b"ok"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_is_asked_from_inside_needs_no_host_name(client, settings, path):
    """A probe and a scraper come by the address of a container, which nobody has put into DREAMFORK_HOSTS."""
    settings.ALLOWED_HOSTS = ["robot.lan", "localhost"]
    settings.METRICS_TOKEN = "scrape"
    headers = {"Host": "10.1.2.3:8000", "Authorization": "Bearer scrape"}
    assert client.get(path, headers=headers).status_code == 200
    assert client.get("/sign-in/", headers=headers).status_code == 400


def test_it_is_ready_and_says_which_queue_has_no_worker(client):
    from django.utils import timezone

    WorkerBeat.objects.create(name="w", queues=["cpu"], seen_at=timezone.now())
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "database": "ok", "workers": {"cpu": "ok", "gpu": "none seen for 45 s"}, "broker": "ok"}


def test_it_is_not_ready_without_its_broker(client, settings):
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["broker"]) == (503, "does not answer")


def test_metrics_need_the_token_or_an_admin(client, researcher_client, admin_client_, settings, researcher):
    submit(kind="core.check", created_by=researcher)
    assert client.get("/metrics").status_code == 403
    assert researcher_client.get("/metrics").status_code == 403
    settings.METRICS_TOKEN = "scrape"
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    text = client.get("/metrics", headers={"Authorization": "Bearer scrape"}).content.decode()
    assert 'dreamfork_jobs{kind="core.check",state="queued"} 1.0' in text
    assert "dreamfork_request_seconds_bucket" in text
    assert admin_client_.get("/metrics").status_code == 200
