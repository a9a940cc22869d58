"""Mining over HTTP: what its pages do, for programs."""

import base64
from urllib.parse import urlencode

import pytest

from core.models import AuditEntry, Job
from rollouts import factors, services
from rollouts.models import StartFrame
from tests.rollouts.conftest import SCENE
from tests.rollouts.test_api import post


@pytest.fixture
def run(make_run):
    return make_run(0.4, 0.9, 0.1, 0.6)


def get(client, path, **query):
    return client.get(f"/api/v1/{path}?{urlencode(query)}")


@pytest.mark.parametrize("path", ["mining-runs/", "mining-runs/{run}/", "mining-candidates/", "mining-candidates/{candidate}/", "mining/coverage/"])
def test_reading_is_for_researchers(path, run, researcher_client, annotator_client, client):
    path = path.format(run=run.pk, candidate=run.candidates.first().pk)
    assert get(researcher_client, path).status_code == 200
    for other, statuses in ((annotator_client, (403,)), (client, (401,))):
        refused = get(other, path)
        assert refused.status_code in statuses
        assert refused["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("mining-runs/", {"budget": 8}),
        ("mining-runs/{run}/verify/", {}),
        ("mining-candidates/{candidate}/decide/", {"decision": "accept"}),
        ("mining-candidates/decide/", {"decision": "decline", "ids": ["{candidate}"]}),
    ],
)
def test_a_researcher_may_not_act(path, body, run, researcher_client, admin_client_):
    known = {"run": run.pk, "candidate": run.candidates.first().pk}
    body = {**body, **({"ids": [known["candidate"]]} if "ids" in body else {})}
    assert post(researcher_client, path.format(**known), body).status_code == 403
    assert not Job.objects.filter(kind__startswith="rollouts.mine", params__trigger="api").exists()
    assert not run.candidates.filter(state__in=["accepted", "declined"]).exists()
    assert post(admin_client_, path.format(**known), body).status_code in (200, 202)


def test_it_lists_runs_newest_first_and_filters_them(make_run, researcher_client, version):
    first, second = make_run(0.5, trigger="schedule"), make_run(finished=False)
    assert [row["id"] for row in get(researcher_client, "mining-runs/").json()["results"]] == [second.pk, first.pk]
    for query, found in (({"finished": "true"}, first), ({"finished": "false"}, second), ({"trigger": "schedule"}, first)):
        assert [row["id"] for row in get(researcher_client, "mining-runs/", **query).json()["results"]] == [found.pk]
    assert len(get(researcher_client, "mining-runs/", policy_version=version.pk).json()["results"]) == 2
    assert get(researcher_client, "mining-runs/", policy_version=version.pk + 1).status_code == 400


def test_a_run_says_what_it_has_found_up_to_now(run, make_run, researcher_client, admin_person, version):
    first, second, *_ = run.candidates.filter(state="proposed")
    services.mining_candidate_accept(candidate=first, by=admin_person)
    services.mining_candidate_decline(candidate=second, by=admin_person)
    run.candidates.filter(pk=first.pk).update(real={"success": True, "dog_contact": True, "failed": True})
    run.candidates.filter(pk=second.pk).update(real={"success": True, "dog_contact": False, "failed": False})
    answer = get(researcher_client, f"mining-runs/{run.pk}/").json()
    assert answer["policy_version"] == version.name
    assert answer["figures"] == {
        "tried": 4, "cells": 1, "worst": 0.9, "mean": 0.5, "proposed": 1, "accepted": 1, "declined": 1, "episodes": 2, "failures": 1, "contacts": 1,
    }  # fmt: skip
    page = researcher_client.get(f"/mining/{run.pk}/").content.decode()
    assert 'Really failed</dt><dd>1 <span class="figure-note">of 2, 1 touched the dog' in page
    empty = get(researcher_client, f"mining-runs/{make_run(finished=False).pk}/").json()["figures"]
    assert (empty["tried"], empty["worst"], empty["episodes"]) == (0, None, 0)


def test_starting_a_run_queues_the_job_of_the_page(admin_client_, version):
    response = post(admin_client_, "mining-runs/", {"budget": 8, "dreams": 2, "seed": 5, "task": "go"})
    assert response.status_code == 202
    job = Job.objects.get(pk=response.json()["job"])
    assert response.json()["url"] == job.get_absolute_url()
    admin_client_.post("/mining/start/", {"budget": 8, "dreams": 2, "seed": 5, "task": "go", "policy_version": version.pk})
    paged = Job.objects.filter(kind="rollouts.mine", params__trigger="page").get()
    assert (job.kind, job.created_by) == ("rollouts.mine", admin_client_.user)
    wanted = {"policy_version": version.pk, "budget": 8, "dreams": 2, "seed": 5, "task": "go"}
    assert {**paged.params, "trigger": "api"} == job.params == {**wanted, "trigger": "api"}
    assert AuditEntry.objects.filter(action="rollouts.mine.start", target_id=str(version.pk)).count() == 2


@pytest.mark.parametrize(
    "body",
    [
        {"budget": 7}, {"budget": 5001}, {"dreams": 1}, {"dreams": 17}, {"seed": -1}, {"seed": 2**31}, {"budget": 2**80}, {"budget": "many"},
        {"policy_version": 2**63}, {"policy_version": "\x00"}, {"policy_version": [1]}, {"policy_version": True},
        {"task": "dance"}, {"task": ["go"]}, [1], "text",
    ],
    ids=repr,
)  # fmt: skip
def test_a_run_out_of_bounds_is_not_started(body, admin_client_, version):
    Job.objects.all().delete()
    response = post(admin_client_, "mining-runs/", body)
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert not Job.objects.exists()


def test_a_run_needs_a_version_that_may_dream(admin_client_, version):
    assert post(admin_client_, "mining-runs/", {"policy_version": version.pk + 1}).json()["code"] == "no_version"
    type(version).objects.update(is_active=False)
    refused = post(admin_client_, "mining-runs/", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "no_active_version")
    type(version).objects.update(state="retired")
    assert post(admin_client_, "mining-runs/", {"policy_version": version.pk}).json()["code"] == "no_version"


def test_a_finished_run_is_replayed_in_the_world(run, make_run, admin_client_):
    response = post(admin_client_, f"mining-runs/{run.pk}/verify/", {})
    assert response.status_code == 202
    job = Job.objects.get(pk=response.json()["job"])
    assert (job.kind, job.params) == ("rollouts.mine_verify", {"run": run.pk})
    assert AuditEntry.objects.filter(action="rollouts.mine_verify.start", target_id=str(run.pk)).exists()
    goes_on = make_run(0.5, finished=False)
    refused = post(admin_client_, f"mining-runs/{goes_on.pk}/verify/", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "run_unfinished")
    assert "has not finished" in admin_client_.post(f"/mining/{goes_on.pk}/verify/", follow=True).content.decode()
    assert Job.objects.filter(kind="rollouts.mine_verify").count() == 1
    assert post(admin_client_, f"mining-runs/{10**17}/verify/", {}).status_code == 404


def test_it_lists_the_worst_first_by_cursor(run, make_run, researcher_client):
    other = make_run(0.95)
    seen, url = [], f"/api/v1/mining-candidates/?run={run.pk}&page_size=1"
    while url:
        page = researcher_client.get(url).json()
        seen += [row["objective"] for row in page["results"]]
        url = page["next"]
    assert seen == [0.9, 0.6, 0.4, 0.1]
    assert [row["run"] for row in get(researcher_client, "mining-candidates/").json()["results"]] == [other.pk] + [run.pk] * 4


def test_it_filters_candidates(run, researcher_client):
    def objectives(**query):
        return [row["objective"] for row in get(researcher_client, "mining-candidates/", **query).json()["results"]]

    run.candidates.filter(objective=0.6).update(real={"failed": True, "dog_contact": False})
    assert objectives(state="evaluated") == [0.1]
    assert objectives(state="proposed", replayed="true") == [0.6]
    assert objectives(cell=factors.cell_of(SCENE)) == [0.9, 0.6, 0.4, 0.1]
    assert objectives(cell=factors.cell_of({**SCENE, "light": "normal"})) == []
    assert objectives(policy_version=run.policy_version_id) == [0.9, 0.6, 0.4, 0.1]
    row = get(researcher_client, "mining-candidates/", replayed="true").json()["results"][0]
    assert row["world_spec"]["factors"] == SCENE
    assert (row["strip_url"], row["image_url"], row["start_frame"]) == (None, run.candidates.get(pk=row["id"]).image.url, None)


@pytest.mark.parametrize(
    "query",
    [
        {"state": "lost"},
        {"state": "\x00"},
        {"cell": "\x00"},
        {"cell": "nowhere"},
        {"run": "\x00"},
        {"run": "9" * 40},
        {"run": "1e400"},
        {"policy_version": "-1"},
    ],
    ids=repr,
)
def test_a_filter_that_cannot_be_is_refused(query, run, researcher_client):
    refused = get(researcher_client, "mining-candidates/", **query)
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("name", ["mining-runs", "mining-candidates", "scenarios", "jobs"])
@pytest.mark.parametrize("position", ["abc", "\x00", "9" * 400, "nan"])
def test_a_forged_cursor_is_no_server_error(name, position, run, researcher_client):
    cursor = base64.b64encode(urlencode({"p": position}).encode()).decode()
    assert get(researcher_client, f"{name}/", cursor=cursor).status_code in (200, 400, 404)


def test_an_accepted_candidate_is_an_approved_frame(run, admin_client_):
    candidate = run.candidates.first()
    response = post(admin_client_, f"mining-candidates/{candidate.pk}/decide/", {"decision": "accept", "reason": "seen at home"})
    assert response.status_code == 200
    frame = StartFrame.objects.get(pk=response.json()["start_frame"])
    assert (frame.state, frame.world_spec) == ("approved", candidate.world_spec)
    assert (response.json()["state"], response.json()["reviewed_by"]) == ("accepted", admin_client_.user.username)
    assert AuditEntry.objects.get(action="mining.accepted").reason == "seen at home"
    again = post(admin_client_, f"mining-candidates/{candidate.pk}/decide/", {"decision": "decline"})
    assert (again.status_code, again.json()["code"]) == (409, "decided")
    assert StartFrame.objects.count() == 1


def test_a_declined_candidate_makes_no_frame(run, admin_client_):
    candidate = run.candidates.first()
    response = post(admin_client_, f"mining-candidates/{candidate.pk}/decide/", {"decision": "decline", "reason": "a toy dog"})
    assert (response.status_code, response.json()["state"], response.json()["start_frame"]) == (200, "declined", None)
    assert AuditEntry.objects.get(action="mining.declined").reason == "a toy dog"
    assert not StartFrame.objects.exists()


def test_many_are_decided_at_once(run, admin_client_, admin_person):
    first, second, third = run.candidates.filter(state="proposed")
    services.mining_candidate_decline(candidate=second, by=admin_person)
    body = {"decision": "accept", "ids": [first.pk, second.pk, third.pk]}
    answer = post(admin_client_, "mining-candidates/decide/", body).json()
    assert (answer["decided"], answer["before"]) == (2, 1)
    assert {row["id"]: row["state"] for row in answer["candidates"]} == {first.pk: "accepted", second.pk: "declined", third.pk: "accepted"}
    assert {row["start_frame"] for row in answer["candidates"]} == {None, *StartFrame.objects.values_list("pk", flat=True)}
    assert StartFrame.objects.filter(state="approved").count() == 2


def test_deciding_what_is_not_there_changes_nothing(run, admin_client_):
    candidate = run.candidates.first()
    refused = post(admin_client_, "mining-candidates/decide/", {"decision": "accept", "ids": [candidate.pk, 10**9]})
    assert (refused.status_code, refused.json()["code"]) == (422, "no_candidate")
    assert post(admin_client_, f"mining-candidates/{10**17}/decide/", {"decision": "accept"}).status_code == 404
    candidate.refresh_from_db()
    assert candidate.state == "proposed"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"decision": "perhaps"}, {"decision": None}, {"decision": "decline", "reason": "\x00"}, {"decision": "decline", "reason": "x" * 301},
        {"decision": "decline", "reason": {"a": 1}}, [], "decline",
    ],
    ids=repr,
)  # fmt: skip
def test_a_decision_that_is_none_is_refused(body, run, admin_client_):
    candidate = run.candidates.first()
    many = {"ids": [candidate.pk], **body} if isinstance(body, dict) else body
    for path, sent in ((f"mining-candidates/{candidate.pk}/decide/", body), ("mining-candidates/decide/", many)):
        assert post(admin_client_, path, sent).status_code == 400
    candidate.refresh_from_db()
    assert candidate.state == "proposed"


def test_accepted_frames_are_read_by_the_probe_in_one_job(run, admin_client_, admin_person):
    ids = list(run.candidates.order_by("pk").values_list("pk", flat=True))
    assert post(admin_client_, "mining-candidates/decide/", {"decision": "accept", "ids": ids[:2]}).status_code == 200
    assert post(admin_client_, "mining-candidates/decide/", {"decision": "decline", "ids": ids[2:3]}).status_code == 200
    services.mining_candidate_accept(candidate=run.candidates.get(pk=ids[3]), by=admin_person)
    jobs = Job.objects.filter(kind="rollouts.probe").order_by("created_at")
    frames = [[run.candidates.get(pk=pk).start_frame_id for pk in some] for some in (ids[:2], ids[3:])]
    assert [sorted(job.params["start_frames"]) for job in jobs] == [sorted(some) for some in frames]
    assert {job.params["policy_version"] for job in jobs} == {run.policy_version_id}


@pytest.mark.parametrize("ids", [[], [0], [-1], [2**63], [2**200], ["\x00"], [None], [[1]], "1", None, list(range(1, 202))], ids=lambda ids: repr(ids)[:30])
def test_ids_that_cannot_be_are_refused(ids, run, admin_client_):
    assert post(admin_client_, "mining-candidates/decide/", {"decision": "decline", "ids": ids}).status_code == 400
    assert not run.candidates.filter(state="declined").exists()


def test_the_coverage_map_shows_every_cell(run, researcher_client, version):
    run.candidates.filter(objective=0.9).update(real={"failed": True, "dog_contact": False})
    answer = get(researcher_client, "mining/coverage/").json()
    assert answer == get(researcher_client, "mining/coverage/", policy_version=version.pk).json()
    assert (answer["policy_version"], answer["tried"], answer["covered"]) == (version.name, 4, 1)
    cells = [cell for row in answer["rows"] for cell in row["cells"]]
    assert sorted(cell["cell"] for cell in cells) == sorted(factors.all_cells())
    assert {len(row["cells"]) for row in answer["rows"]} == {len(answer["columns"])}
    (tried,) = (cell for cell in cells if cell["tried"])
    assert tried == {"cell": factors.cell_of(SCENE), "level": 2, "tried": 4, "dreamed": 0.5, "worst": 0.9, "real_n": 1, "real_failures": 1}
    empty = next(cell for cell in cells if not cell["tried"])
    assert (empty["level"], empty["dreamed"], empty["worst"], empty["real_n"]) == (None, None, None, 0)


def test_a_coverage_map_of_no_version_is_not_found(db, researcher_client):
    refused = get(researcher_client, "mining/coverage/")
    assert (refused.status_code, refused.json()["code"]) == (404, "no_version")
    assert get(researcher_client, "mining/coverage/", policy_version=5).status_code == 404
    for bad in ("\x00", "9" * 40, "x", "-1"):
        assert get(researcher_client, "mining/coverage/", policy_version=bad).status_code == 400


def test_lists_take_a_fixed_number_of_queries(make_run, researcher_client, django_assert_max_num_queries):
    for _ in range(3):
        make_run(0.5, 0.6, 0.7)
    for path in ("mining-runs/", "mining-candidates/"):
        with django_assert_max_num_queries(8):
            assert len(get(researcher_client, path).json()["results"]) >= 3
