"""The studio over HTTP."""

import pytest

from core.models import AuditEntry, Job
from rollouts.models import Scenario
from tests.rollouts.conftest import CONTENT

LISTS = ["scenarios", "start-frames", "rollouts", "policy-versions"]


def post(client, path, body):
    return client.post(f"/api/v1/{path}", body, content_type="application/json")


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_for_researchers(name, researcher_client, annotator_client, client, make_rollout):
    make_rollout()
    response = researcher_client.get(f"/api/v1/{name}/")
    assert response.status_code == 200
    assert len(response.json()["results"]) == 1
    assert annotator_client.get(f"/api/v1/{name}/").status_code == 403
    assert client.get(f"/api/v1/{name}/").status_code in (401, 403)


def test_details_and_filters(researcher_client, make_rollout):
    rollout = make_rollout()
    assert researcher_client.get(f"/api/v1/rollouts/{rollout.pk}/").json()["verdict"]["accepted"] is True
    assert researcher_client.get("/api/v1/rollouts/?accepted=false").json()["results"] == []
    slug = rollout.start_frame.scenario_version.scenario.slug
    assert researcher_client.get(f"/api/v1/scenarios/{slug}/").json()["current"]["factors"] == CONTENT["factors"]
    assert len(researcher_client.get(f"/api/v1/start-frames/?scenario={slug}&state=approved").json()["results"]) == 1


def test_reviewing_by_the_grid(admin_client_, researcher_client, make_frame):
    frames = [make_frame(seed=i).pk for i in range(2)]
    body = {"ids": frames, "state": "rejected", "reason": ""}
    assert post(researcher_client, "start-frames/review/", body).status_code == 403
    response = post(admin_client_, "start-frames/review/", body)
    assert response.status_code == 200
    assert {row["state"] for row in response.json()["frames"]} == {"rejected"}
    for bad in ({"ids": [], "state": "approved"}, {"ids": frames, "state": "lost"}, {"ids": [2**70], "state": "approved"}):
        assert post(admin_client_, "start-frames/review/", bad).status_code == 400


def test_writing_a_scenario(admin_client_, researcher_client):
    body = {"name": "By program", **CONTENT}
    assert post(researcher_client, "scenarios/", body).status_code == 403
    response = post(admin_client_, "scenarios/", body)
    assert response.status_code == 201
    assert response.json()["slug"] == "by-program"
    assert post(admin_client_, "scenarios/", {**body, "factors": {"dog": "flying"}}).json()["code"] == "bad_factor"
    assert post(admin_client_, "scenarios/by-program/state/", {"state": "active"}).json()["state"] == "active"
    assert Scenario.objects.get().state == "active"


def test_imagining_and_sampling_answer_with_a_job(admin_client_, researcher_client, scenario, version, make_frame):
    response = post(admin_client_, "start-frames/imagine/", {"scenario": scenario.slug, "n": 4})
    assert response.status_code == 202
    assert Job.objects.get(pk=response.json()["job"]).kind == "rollouts.imagine"
    assert AuditEntry.objects.get(action="rollouts.imagine.start").after["job"] == response.json()["job"]
    frame = make_frame()
    body = {"start_frames": [frame.pk], "n": 4}
    assert post(researcher_client, "rollouts/sample/", body).json()["code"] == "frame_not_approved"
    approved = make_frame(seed=9, state="approved")
    response = post(researcher_client, "rollouts/sample/", {"start_frames": [approved.pk], "n": 4})
    assert response.status_code == 202
    assert AuditEntry.objects.get(action="rollouts.sample.start").after["start_frames"] == [approved.pk]
    assert post(researcher_client, "rollouts/sample/", {**body, "policy_version": 10**6}).json()["code"] == "no_version"


def test_going_on_from_a_moment(admin_client_, researcher_client, make_rollout):
    path = f"rollouts/{make_rollout().pk}/continue/"
    assert post(researcher_client, path, {"frame": 4}).status_code == 403
    response = post(admin_client_, path, {"frame": 4})
    assert response.status_code == 201
    assert (response.json()["source"], response.json()["state"]) == ("continued", "proposed")
    assert post(admin_client_, path, {"frame": 13}).json()["code"] == "no_such_frame"
    assert post(admin_client_, path, {"frame": 0}).status_code == 400
    assert post(admin_client_, "rollouts/999/continue/", {"frame": 4}).status_code == 404


def test_without_an_active_version_it_says_so(admin_client_, scenario):
    response = post(admin_client_, "start-frames/imagine/", {"scenario": scenario.slug, "n": 4})
    assert response.status_code == 409
    assert response.json()["code"] == "no_active_version"
