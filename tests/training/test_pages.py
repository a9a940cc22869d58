"""Pages and API of rounds, versions and evaluations, by the people who may and may not see them."""

import json

import pytest
from django.urls import reverse

from core.models import Job
from rollouts.images import png_decode
from rollouts.models import PolicyVersion, Scenario
from training.models import Episode, Evaluation, Round, RoundMetric
from training.services.evaluations import suite_hash, summarise
from training.services.rounds import round_advance, round_decide

PAGES = ("rounds", "round_new", "versions", "evaluations", "evaluation_new")


def evaluation_of(version, contacts=5, n=40, **suite):
    suite = {"adversarial": n, "ordinary": n, "seed": 0, "dreams": 1, "scenarios": [], "scenes": [], **suite}
    row = Evaluation.objects.create(policy_version=version, suite=suite, suite_hash=suite_hash(suite), state="done", finished_at=version.created_at)
    Episode.objects.bulk_create(
        Episode(
            evaluation=row,
            index=i,
            kind="adversarial" if i < n else "ordinary",
            scenario="dog lying in the way" if i < n else "no dog",
            prompt="go to the red ball",
            seed=i,
            success=i % 2 == 0,
            dog_contact=i < contacts,
            steps=20,
            predicted=0.5,
            contact_xy=[[0.1, -0.2]] if i < contacts else [],
        )
        for i in range(2 * n)
    )
    row.summary = summarise(list(row.episodes.all()))
    row.save()
    return row


@pytest.fixture
def row(make_choices, parent, researcher):
    from training import services

    make_choices(10)
    return services.round_start(parent=parent, created_by=researcher)


@pytest.fixture
def decided(row, parent):
    child = PolicyVersion.objects.create(name="child", parent=parent, components={"world_model": "x"})
    before, after = evaluation_of(parent, contacts=30), evaluation_of(child, contacts=4)
    for stage in Round.STAGES[:-1]:
        round_advance(row=row, stage=stage, seconds=61.0, **({"child": child} if stage == "value_head" else {}))
    from training.learn.gate import GateSettings, decide
    from training.services.evaluations import evaluation_pairs

    report = decide(evaluation_pairs(parent=before, child=after), GateSettings())
    report["evaluations"] = {"parent": before.pk, "child": after.pk}
    round_decide(row=row, report=report, seconds=1.0)
    row.refresh_from_db()
    return row


@pytest.mark.parametrize("page", PAGES)
def test_pages_answer_a_researcher_and_nobody_below(researcher_client, annotator_client, client, page):
    url = reverse(f"training:{page}")
    assert researcher_client.get(url).status_code == 200
    assert annotator_client.get(url).status_code == 403
    assert client.get(url).status_code == 302


def test_empty_pages_say_what_to_do(researcher_client):
    assert "No rounds yet" in researcher_client.get("/rounds/").content.decode()
    assert "No policy versions yet" in researcher_client.get("/versions/").content.decode()
    assert "No evaluations yet" in researcher_client.get("/evaluations/").content.decode()


def test_the_round_page_shows_its_stages_and_its_job(researcher_client, row):
    text = researcher_client.get(row.get_absolute_url()).content.decode()
    assert 'data-island="job-progress"' in text
    assert text.count("stage-waiting") == 4
    assert f"/api/v1/rounds/{row.pk}/charts/loss/" in text
    assert "style=" not in text


def test_the_live_part_is_a_fragment(researcher_client, row):
    text = researcher_client.get(f"/rounds/{row.pk}/live/").content.decode()
    assert "stage-current" in text
    assert "<html" not in text


def test_a_decided_round_shows_the_gate(researcher_client, decided):
    text = researcher_client.get(decided.get_absolute_url()).content.decode()
    assert "−65.0" in text
    assert decided.state == "promoted"
    assert "4 min 5 s of work" in text


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"best_step": 150, "steps": 200, "stopped": "patience"}, "stopped early, at step 200 of 300, after 2 evaluations in a row that were clearly worse"),
        (
            {"best_step": 150, "steps": 200, "stopped": "alarm"},
            "stopped early, at step 200 of 300, after 2 evaluations in a row that raised an alarm or were clearly",
        ),
        ({"best_step": 150, "steps": 200, "stopped": "alarm"}, "It kept the weights of step 150."),
        ({"best_step": 0, "steps": 100, "stopped": "alarm"}, "kept the parent’s weights (step 0), so the child dreams as its parent does"),
        ({"best_step": 0, "steps": 300, "stopped": "budget"}, "none that came later was without alarm and clearly better on held-out pairs."),
        ({"best_step": 300, "steps": 300, "stopped": "budget"}, "ran all 300 steps. It kept the weights of step 300."),
        ({"best_step": 250, "steps": 300, "stopped": "budget"}, "ran all 300 steps. It kept the weights of step 250: later ones"),
    ],
)
def test_the_round_page_says_how_post_training_ended(researcher_client, row, found, says):
    assert "Post-training" not in researcher_client.get(row.get_absolute_url()).content.decode()
    Round.objects.filter(pk=row.pk).update(post_train=found, settings={**row.settings, "dpo": {**row.settings["dpo"], "steps": 300, "patience": 2}})
    text = researcher_client.get(row.get_absolute_url()).content.decode()
    assert says in text
    assert researcher_client.get(f"/api/v1/rounds/{row.pk}/").json()["post_train"] == found


def test_the_start_form_starts_a_round(researcher_client, make_choices, parent):
    make_choices(10)
    page = researcher_client.get("/rounds/new/")
    form = page.context["form"]
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in data.items() if value is not None and value is not False}
    Scenario.objects.update(state="active")
    scene = Scenario.objects.first()
    assert "Scenes of the adversarial episodes" in researcher_client.get("/rounds/new/").content.decode()
    response = researcher_client.post("/rounds/new/", data | {"parent": parent.pk, "steps": 7, "who": "people", "name": "first", "scenes": [scene.pk]})
    made = Round.objects.get()
    assert response.url == made.get_absolute_url()
    assert made.settings["dpo"]["steps"] == 7
    assert made.settings["choices"] == {"simulated": False}
    assert made.settings["suite"]["scenarios"] == [scene.slug]
    assert made.created_by == researcher_client.user


def test_the_start_form_says_what_is_wrong(researcher_client, parent):
    response = researcher_client.post("/rounds/new/", {"parent": parent.pk, "beta": "-4"})
    assert response.status_code == 422
    assert "greater than or equal" in response.content.decode()
    assert not Round.objects.exists()


def test_the_preview_counts_choices(researcher_client, make_choices):
    make_choices(3, answers=("left", "tie"))
    text = researcher_client.get("/rounds/new/preview/").content.decode()
    assert "<strong>3</strong>" in text
    assert "1 tie" in text
    assert "at least 10" in text
    assert "<strong>0</strong>" in researcher_client.get("/rounds/new/preview/?who=simulated").content.decode()


def test_it_cancels_and_resumes(researcher_client, row):
    researcher_client.post(f"/rounds/{row.pk}/cancel/")
    row.refresh_from_db()
    assert row.state == "cancelled"
    assert "Resume" in researcher_client.get(row.get_absolute_url()).content.decode()
    researcher_client.post(f"/rounds/{row.pk}/resume/")
    row.refresh_from_db()
    assert row.state == "running"


@pytest.mark.parametrize("act", ["cancel", "resume", "override"])
def test_acts_reject_get_and_annotators(researcher_client, annotator_client, row, act):
    url = f"/rounds/{row.pk}/{act}/"
    assert researcher_client.get(url).status_code == 405
    assert annotator_client.post(url).status_code == 403


def test_the_version_page_shows_lineage_and_rolls_back(researcher_client, decided, parent):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted")
    text = researcher_client.get(reverse("training:version", args=[decided.child_id])).content.decode()
    assert "Child of" in text
    assert "made by round" in text
    researcher_client.post(reverse("training:version_activate", args=[parent.pk]), {"reason": "a test"})
    parent.refresh_from_db()
    assert parent.is_active


def test_versions_form_a_tree(researcher_client, decided):
    tree = researcher_client.get("/versions/").context["tree"]
    names = [(node["version"].name, node["depth"]) for node in tree]
    assert ("child", 1) in names
    assert names.index(("base", 0)) < names.index(("child", 1))


def test_the_evaluation_page_compares_with_the_parent(researcher_client, decided):
    evaluation = Evaluation.objects.get(policy_version=decided.child)
    page = researcher_client.get(evaluation.get_absolute_url())
    assert page.context["before"].policy_version == decided.parent
    (adversarial,) = [line for line in page.context["table"] if line["kind"] == "adversarial"]
    assert adversarial["change"]["contact"]["value"] == pytest.approx(-0.65)
    assert page.context["heat"]["contacts"] == 4
    assert "<rect" in page.content.decode()
    alone = researcher_client.get(evaluation.get_absolute_url() + "?against=0")
    assert alone.context["before"] is None


def test_episodes_come_as_csv(researcher_client, parent):
    row = evaluation_of(parent)
    lines = researcher_client.get(f"/evaluations/{row.pk}/episodes.csv").content.decode().splitlines()
    assert len(lines) == 81
    assert lines[1].startswith("0,adversarial,dog lying in the way,go to the red ball,0,True,True,False")


def test_the_table_by_scenario_comes_as_csv_with_its_intervals(researcher_client, decided):
    row = Evaluation.objects.get(policy_version=decided.child)
    before = Evaluation.objects.get(policy_version=decided.parent)
    head, adversarial, ordinary = researcher_client.get(f"/evaluations/{row.pk}/scenarios.csv?against={before.pk}").content.decode().splitlines()
    cells = dict(zip(head.split(","), adversarial.split(","), strict=True))
    assert (cells["scenario"], cells["n"]) == ("dog lying in the way", "40")
    assert (float(cells["contact before"]), float(cells["contact after"])) == (0.75, 0.1)
    assert float(cells["contact change low"]) < float(cells["contact change"]) == pytest.approx(-0.65)
    assert ordinary.startswith("no dog,ordinary,40,")
    alone = researcher_client.get(f"/evaluations/{row.pk}/scenarios.csv?against=0").content.decode()
    assert "change" not in alone
    assert "contact after low" in alone


def test_contacts_come_as_csv_and_as_a_picture(researcher_client, annotator_client, parent):
    row = evaluation_of(parent)
    lines = researcher_client.get(f"/evaluations/{row.pk}/contacts.csv").content.decode().splitlines()
    assert lines == ["episode,scenario,x,y", *(f"{i},dog lying in the way,0.1,-0.2" for i in range(5))]
    answer = researcher_client.get(f"/evaluations/{row.pk}/contacts.png")
    assert (answer["Content-Type"], answer.content[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")
    pixels = png_decode(answer.content)
    assert pixels.shape == (400, 400, 3)
    # x = 0.1, y = -0.2 is right of the middle and below it; everywhere else is floor.
    assert int(pixels[210, 210, 0]) - int(pixels[210, 210, 1]) > 100
    assert (pixels[:180] == pixels[0, 0]).all()
    for name in ("contacts.png", "contacts.csv", "scenarios.csv"):
        assert annotator_client.get(f"/evaluations/{row.pk}/{name}").status_code == 403


def test_an_evaluation_whose_job_failed_says_so(researcher_client, parent, researcher):
    from training import services

    row = services.evaluation_start(version=parent, settings={"adversarial": 2, "ordinary": 2}, created_by=researcher)
    assert "0 of 4 episodes are played" in researcher_client.get(row.get_absolute_url()).content.decode()
    Job.objects.filter(pk=row.job_id).update(state="failed", error="The disk is full.", finished_at=row.created_at)
    page = researcher_client.get(row.get_absolute_url()).content.decode()
    assert "It stopped after 0 of 4 episodes" in page
    assert "The disk is full." in page
    assert services.evaluations_reconcile() == 1
    row.refresh_from_db()
    assert row.state == "failed"
    again = services.evaluation_start(version=parent, settings={"adversarial": 2, "ordinary": 2}, created_by=researcher)
    assert (again.pk, again.state, again.job.state) == (row.pk, "running", "queued")


def test_predicted_and_measured_have_intervals(researcher_client, decided):
    page = researcher_client.get("/evaluations/")
    assert len(page.context["points"]) == 4
    assert page.context["figures"]["ranking_accuracy"]["n"] == 4


# -- API ------------------------------------------------------------------------------------------------------------


def test_the_api_starts_a_round_from_the_active_version(researcher_client, make_choices, parent):
    make_choices(10)
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted", is_active=True)
    answer = researcher_client.post("/api/v1/rounds/", json.dumps({"settings": {"dpo": {"steps": 5}}}), content_type="application/json")
    assert answer.status_code == 201
    assert answer.json()["parent"] == parent.pk
    assert answer.json()["settings"]["dpo"]["steps"] == 5
    assert answer.json()["snapshot"] is None


def test_the_api_says_why_it_refuses(researcher_client, parent):
    body = {"parent": parent.pk, "settings": {"dpo": {"beta": -5}}}
    answer = researcher_client.post("/api/v1/rounds/", json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["code"] == "bad_settings"
    assert "beta must be positive" in answer.json()["detail"]


def test_the_api_refuses_to_resume_what_runs(researcher_client, row):
    answer = researcher_client.post(f"/api/v1/rounds/{row.pk}/resume/")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_resumable")


def test_the_api_is_for_researchers(annotator_client, client):
    assert annotator_client.get("/api/v1/rounds/").status_code == 403
    assert client.get("/api/v1/evaluations/").status_code == 401


def test_charts_come_from_the_metrics(researcher_client, row):
    for step, loss in ((0, 0.69), (10, 0.5)):
        RoundMetric.objects.create(round=row, stage="post_train", kind="held_out", step=step, values={"held_out/loss": loss})
    RoundMetric.objects.create(round=row, stage="post_train", kind="train", step=5, values={"preference_loss": 0.6})
    chart = researcher_client.get(f"/api/v1/rounds/{row.pk}/charts/loss/").json()
    assert chart["x"]["values"] == [0, 5, 10]
    assert chart["series"][0]["values"] == [0.69, None, 0.5]
    assert researcher_client.get(f"/api/v1/rounds/{row.pk}/charts/secrets/").status_code == 404


@pytest.mark.parametrize("name", ["loss", "accuracy", "margins", "errors", "noise", "motion", "drift", "reliability"])
def test_every_chart_answers_before_there_is_anything(researcher_client, row, name):
    assert researcher_client.get(f"/api/v1/rounds/{row.pk}/charts/{name}/").status_code == 200


def test_the_api_rolls_back(researcher_client, decided, parent):
    PolicyVersion.objects.filter(pk=parent.pk).update(state="promoted")
    answer = researcher_client.post(f"/api/v1/policy-versions/{parent.pk}/activate/", json.dumps({"reason": "x"}), content_type="application/json")
    assert answer.json() == {"id": parent.pk, "name": "base"}


def test_the_api_counts_choices_before_a_round(researcher_client, make_choices):
    make_choices(3)
    answer = researcher_client.post("/api/v1/rounds/preview/", json.dumps({"choices": {"simulated": False}}), content_type="application/json").json()
    assert (answer["total"], answer["people"], answer["enough"]) == (3, 1, False)
    wrong = researcher_client.post("/api/v1/rounds/preview/", json.dumps({"choices": {"nonsense": 1}}), content_type="application/json")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_settings")


def test_the_api_makes_changes_and_switches_schedules(researcher_client, annotator_client):
    def post(path, body, client=researcher_client):
        return client.post(path, json.dumps(body), content_type="application/json")

    made = post("/api/v1/round-schedules/", {"name": "nightly", "every_hours": 24, "settings": {"dpo": {"steps": 5}}})
    assert (made.status_code, made.json()["enabled"], made.json()["settings"]) == (201, True, {"dpo": {"steps": 5}})
    changed = post("/api/v1/round-schedules/", {"name": "nightly", "every_choices": 40}).json()
    assert (changed["id"], changed["every_choices"], changed["every_hours"]) == (made.json()["id"], 40, None)
    off = post(f"/api/v1/round-schedules/{changed['id']}/switch/", {"enabled": False})
    assert off.json()["enabled"] is False
    assert [row["name"] for row in researcher_client.get("/api/v1/round-schedules/").json()["results"]] == ["nightly"]
    assert post("/api/v1/round-schedules/", {"name": "never"}).json()["code"] == "no_trigger"
    assert post("/api/v1/round-schedules/", {"name": "x", "every_hours": 1}, client=annotator_client).status_code == 403


def test_the_api_lists_episodes(researcher_client, parent):
    row = evaluation_of(parent)
    episodes = researcher_client.get(f"/api/v1/evaluations/{row.pk}/episodes/").json()
    assert len(episodes) == 80
    assert episodes[0]["dog_contact"] is True


def test_a_new_evaluation_is_of_the_active_version_unless_another_is_asked_for(researcher_client, parent):
    assert f'<option value="{parent.pk}" selected>' in researcher_client.get("/evaluations/new/").content.decode()
    assert f'<option value="{parent.pk}" selected>' in researcher_client.get(f"/evaluations/new/?version={parent.pk}").content.decode()


def test_the_curve_over_dreams_is_of_one_suite(parent):
    from training.selectors import best_of_n

    evaluation_of(parent, contacts=20, n=40, dreams=1)
    assert best_of_n(parent.pk) is None
    evaluation_of(parent, contacts=0, n=8, dreams=2, seed=3)  # other episodes: no point of this curve
    assert best_of_n(parent.pk) is None
    evaluation_of(parent, contacts=5, n=40, dreams=4)
    assert best_of_n(parent.pk)["x"]["values"] == [1, 4]
