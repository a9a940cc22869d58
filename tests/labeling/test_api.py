from __future__ import annotations

import uuid

import pytest

from labeling import services
from labeling.models import Choice, Lease
from labeling.services.comparisons import NewPair
from tests.labeling import factories

pytestmark = pytest.mark.django_db
API = "/api/v1/labeling/"


def post(client, path, body=None, **headers):
    return client.post(API + path, body or {}, content_type="application/json", headers=headers)


def choose(client, lease, key=None, **fields):
    return post(client, "choices/", {"lease": lease, "answer": "left", **fields}, **{"Idempotency-Key": str(key or uuid.uuid4())})


@pytest.mark.parametrize("path", ["next/", "choices/", "skips/", "leases/return/"])
def test_it_needs_an_annotator(path, client, stranger_client, researcher_client, project):
    assert post(client, path).status_code == 401
    assert post(stranger_client, path).status_code == 403
    assert post(researcher_client, path).status_code == 403


def test_next_tells_nothing_that_leads(annotator_client, make_comparisons):
    comparison = make_comparisons(1)[0]
    answer = post(annotator_client, "next/", {"count": 2}).json()
    assert answer["status"] == "ok"
    (assignment,) = answer["assignments"]
    assert set(assignment) == {
        "lease", "comparison", "expires_at", "prompt", "frame_count", "fps", "width", "height", "start_frame_url", "left", "right", "kind",
    }  # fmt: skip
    assert set(assignment["left"]) == set(assignment["right"]) == {"sprite_url", "columns"}
    assert assignment["kind"] == "normal"
    assert (assignment["frame_count"], assignment["fps"], assignment["width"]) == (13, 3.0, 96)
    sides = {assignment["left"]["sprite_url"], assignment["right"]["sprite_url"]}
    assert sides == {f"/media/{comparison.rollout_a.sprite_id}", f"/media/{comparison.rollout_b.sprite_id}"}


def test_paths_come_before_the_answer_where_the_project_wants_that(annotator_client, project, django_assert_max_num_queries):
    project.paths_before = True
    project.save()
    frame, version = factories.start_frame(), factories.policy_version()
    for _ in range(4):
        (a,) = factories.rollouts(1, frame=frame, version=version, path_pixels=[[0.1, 0.2]] * 13)
        (b,) = factories.rollouts(1, frame=frame, version=version, verdict={"accepted": False, "checks": []}, accepted=False)
        services.comparisons_create(pairs=[NewPair((a.pk, b.pk), frame.pk, "uniform", 0.0)])
    with django_assert_max_num_queries(60):  # and none for each rollout
        assignments = post(annotator_client, "next/", {"count": 4}).json()["assignments"]
    assert len(assignments) == 4
    for assignment in assignments:
        swapped = Lease.objects.get(pk=assignment["lease"]).swapped
        a, b = ("right", "left") if swapped else ("left", "right")
        assert assignment[a]["path_pixels"] == [[0.1, 0.2]] * 13
        assert assignment[b]["verdict"] == {"accepted": False, "checks": []}
        assert set(assignment["left"]) == {"sprite_url", "columns", "path_pixels", "verdict"}
    choice = choose(annotator_client, assignments[0]["lease"]).json()["choice"]
    again = post(annotator_client, f"choices/{choice}/undo/").json()["assignment"]
    assert again["left"]["path_pixels"] == assignments[0]["left"]["path_pixels"]


@pytest.mark.parametrize("count", [0, 5, "2", True, None])
def test_next_refuses_a_wrong_count(annotator_client, project, count):
    answer = post(annotator_client, "next/", {"count": count})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "count is 1 to 4."


def test_next_says_why_there_is_nothing(annotator_client, project):
    answer = post(annotator_client, "next/").json()
    assert answer == {"status": "nothing_sampled", "retry_after_s": 10, "assignments": []}


def test_a_choice_reveals_who_stood_where(annotator_client, make_comparisons):
    comparison = make_comparisons(1)[0]
    assignment = post(annotator_client, "next/").json()["assignments"][0]
    answer = choose(annotator_client, assignment["lease"], response_ms=900)
    assert answer.status_code == 201
    reveal = answer.json()["reveal"]
    swapped = Lease.objects.get().swapped
    assert reveal["left"]["rollout"] == (comparison.rollout_b_id if swapped else comparison.rollout_a_id)
    assert set(reveal["left"]) == {"rollout", "path_pixels", "verdict", "value", "version"}


def test_a_replay_is_200_and_another_body_422(annotator_client, make_comparisons):
    make_comparisons(1)
    lease = post(annotator_client, "next/").json()["assignments"][0]["lease"]
    key = uuid.uuid4()
    first = choose(annotator_client, lease, key)
    again = choose(annotator_client, lease, key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = choose(annotator_client, lease, key, rationale="changed")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert Choice.objects.count() == 1


def test_a_choice_needs_a_key(annotator_client, project):
    assert post(annotator_client, "choices/", {"lease": str(uuid.uuid4()), "answer": "left"}).status_code == 400
    assert choose(annotator_client, str(uuid.uuid4())).status_code == 404


def test_conflicts_have_codes(annotator_client, make_comparisons):
    make_comparisons(1)
    lease = post(annotator_client, "next/").json()["assignments"][0]["lease"]
    choose(annotator_client, lease)
    answer = choose(annotator_client, lease)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_answered")
    assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_heartbeat_return_skip_and_undo(annotator_client, make_comparisons):
    make_comparisons(3)
    first, second, third = post(annotator_client, "next/", {"count": 3}).json()["assignments"]
    both = {"leases": [first["lease"], second["lease"]]}
    beat = post(annotator_client, "leases/heartbeat/", both).json()
    assert sorted(beat["held"]) == sorted(both["leases"])
    assert beat["expires_at"] >= first["expires_at"]
    assert post(annotator_client, "leases/return/", {"leases": [first["lease"]]}).json() == {"returned": 1}
    assert post(annotator_client, "leases/heartbeat/", both).json()["held"] == [second["lease"]]
    assert post(annotator_client, "leases/heartbeat/", {"leases": ["x"]}).status_code == 400
    assert post(annotator_client, "leases/heartbeat/", {}).status_code == 400
    assert post(annotator_client, "skips/", {"lease": second["lease"], "reason": "dark", "flag": True}).status_code == 201
    choice = choose(annotator_client, third["lease"]).json()["choice"]
    undone = post(annotator_client, f"choices/{choice}/undo/").json()
    assert undone["assignment"]["comparison"] == third["comparison"]
    assert undone["assignment"]["left"] == third["left"]
    assert post(annotator_client, f"choices/{choice}/undo/").status_code == 409


def test_a_closing_page_returns_its_leases_by_form(annotator_client, make_comparisons):
    make_comparisons(1)
    lease = post(annotator_client, "next/").json()["assignments"][0]["lease"]
    assert annotator_client.post(API + "leases/return/", {"leases": [lease]}).json() == {"returned": 1}


def test_me_counts_what_i_did(annotator_client, make_comparisons):
    make_comparisons(2)
    for assignment in post(annotator_client, "next/", {"count": 2}).json()["assignments"]:
        choose(annotator_client, assignment["lease"], response_ms=2000)
    me = annotator_client.get(API + "me/").json()
    assert (me["stats"]["today"], me["stats"]["total"], me["stats"]["pace_s"]) == (2, 2, 2.0)
    assert me["stats"]["self_agreement"] is None
    assert len(me["undoable"]) == 2
    assert [criterion["key"] for criterion in me["project"]["criteria"]] == ["task_done", "plausible", "safe"]


def test_preferences_are_kept(annotator_client, project):
    keys = {"preferences": {"keys": {"left": "a"}, "shortcuts": False}}
    assert annotator_client.put(API + "me/preferences/", keys, content_type="application/json").status_code == 200
    assert annotator_client.get(API + "me/").json()["preferences"] == keys["preferences"]
    big = {"preferences": {"keys": "x" * 20_000}}
    assert annotator_client.put(API + "me/preferences/", big, content_type="application/json").status_code == 400


def test_self_agreement_is_about_the_rollout_not_the_side(project, annotator, make_comparisons, answer):
    from labeling.selectors.statistics import self_agreement
    from tests.labeling.test_queue import Draws

    project.repeat_share, project.repeat_after = 0.9, 0
    project.save()
    make_comparisons(3)
    first = answer(annotator, "left", lease=services.leases_next(annotator=annotator, rng=Draws(0.95, 0.9)).leases[0])
    repeat = services.leases_next(annotator=annotator, rng=Draws(0.1)).leases[0]
    assert repeat.comparison.repeat_of_id == first.comparison_id
    answer(annotator, "right", lease=repeat)  # the same rollout, on the other side now
    assert self_agreement(user=annotator) == (1, 1)


def test_the_leaderboard_and_quality_answer_programs(researcher_client, admin_client_, annotator_client, make_comparisons, answer):
    make_comparisons(2)
    answer(annotator_client.user)
    assert researcher_client.get(API + "leaderboard/").json() == {"comparisons": 0, "standings": []}
    (row,) = admin_client_.get(API + "quality/").json()
    assert (row["choices"], row["is_simulated"], row["excluded"]) == (1, False, False)
    assert annotator_client.get(API + "quality/").status_code == 403


@pytest.mark.parametrize("text", ["a\x00b", "half \ud800 a pair"])
def test_what_the_database_can_not_keep_is_refused(annotator_client, researcher_client, make_comparisons, text):
    make_comparisons(1)
    lease = post(annotator_client, "next/").json()["assignments"][0]["lease"]
    assert choose(annotator_client, lease, rationale=text).status_code == 400
    assert (
        post(annotator_client, "choices/", {"lease": lease, "answer": "tie", "client": {"app": text}}, **{"Idempotency-Key": str(uuid.uuid4())}).status_code
        == 400
    )
    assert post(annotator_client, "skips/", {"lease": lease, "reason": text}).status_code == 400
    assert annotator_client.put(API + "me/preferences/", {"preferences": {"x": text}}, content_type="application/json").status_code == 400
    assert researcher_client.get(API + "export/?scenario=a%00b").status_code == 400
    assert researcher_client.get(API + "leaderboard/?version=a%00b").status_code == 400
