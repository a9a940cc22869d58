"""Every page: who may see it, what it shows, and what its buttons do."""

import json
import re
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from core.media import blob_store
from core.models import AuditEntry, Job
from rollouts import factors, services
from rollouts.images import png_bytes
from rollouts.models import MiningCandidate, MiningRun, PolicyVersion, SavedView, Scenario, StartFrame
from tests.rollouts.conftest import CONTENT, noise_frame
from tests.rollouts.hostile import picture

PAGES = ["/scenarios/", "/start-frames/", "/rollouts/", "/mining/"]
FORM = {"name": "Dim room", "prompt": "go to the green can", "severity": "2", "tags": "Dim light, dog", "factor_light": "dim"}


def island(html: str, name: str) -> dict:
    """The properties of a page's first island of that name."""
    return json.loads(unescape(re.search(rf'data-island="{name}" data-props="([^"]*)"', html)[1]))


@pytest.mark.parametrize("path", PAGES)
def test_a_researcher_sees_it_empty_and_an_annotator_does_not(path, researcher_client, annotator_client, client):
    response = researcher_client.get(path)
    assert response.status_code == 200
    assert b'class="empty"' in response.content
    assert annotator_client.get(path).status_code == 403
    assert client.get(path).status_code == 302


def test_pages_hold_no_inline_style_or_script(admin_client_, scenario, make_frame, make_rollout):
    rollout = make_rollout()
    paths = [*PAGES, "/scenarios/new/", f"/scenarios/{scenario.slug}/", f"/scenarios/{scenario.slug}/edit/"]
    paths += [rollout.get_absolute_url(), rollout.start_frame.get_absolute_url()]
    for path in paths:
        response = admin_client_.get(path)
        html = response.content.decode()
        assert response.status_code == 200, path
        assert not [bad for bad in (" style=", " onclick=", "{%", "{{") if bad in html], path
        assert not re.search(r"<script(?![^>]*\bsrc=)", html), path


def test_the_list_shows_filters_and_finds(admin_client_, scenario, admin_person):
    services.scenario_create(name="Bright hall", content={"prompt": "wave", "severity": 1}, created_by=admin_person)
    retired = services.scenario_create(name="Old", content=CONTENT, created_by=admin_person)
    services.scenario_set_state(scenario=retired, state="retired", by=admin_person)

    def names(query: str) -> set[str]:
        html = admin_client_.get(f"/scenarios/?{query}").content.decode()
        return set(re.findall(r"<strong>([^<]+)</strong></a>", html))

    assert names("") == {"Dog on the way", "Bright hall"}
    assert names("state=all") == {"Dog on the way", "Bright hall", "Old"}
    assert names("q=WAVE") == {"Bright hall"}
    assert names("q=dog+middle") == {"Dog on the way"}
    assert names("dog=lying") == {"Dog on the way"}
    assert names("dog=walking") == set()
    assert names("tag=path") == {"Dog on the way"}
    assert names("severity=4") == {"Dog on the way"}
    assert names("q=%25") == set()
    assert names("q=a%00b") == set()


def test_an_admin_writes_edits_activates_and_retires(admin_client_):
    response = admin_client_.post("/scenarios/new/", FORM)
    assert response.status_code == 302
    assert response.url == "/scenarios/dim-room/"
    scenario = Scenario.objects.get(slug="dim-room")
    assert scenario.current.factors == {"light": "dim"}
    assert scenario.current.tags == ["dim-light", "dog"]
    assert "dim light" in scenario.current.scene_text
    edited = {**FORM, "prompt": "wave", "factor_light": "", "factor_clutter": "2", "base_number": "1"}
    admin_client_.post("/scenarios/dim-room/edit/", edited)
    assert scenario.current.number == 2
    assert scenario.current.factors == {"clutter": 2}
    for state in ("active", "retired"):
        admin_client_.post("/scenarios/dim-room/state/", {"state": state})
        scenario.refresh_from_db()
        assert scenario.state == state


def test_a_second_editor_is_told_about_the_first(admin_client_, scenario):
    form = {**FORM, "name": scenario.name, "base_number": "1"}
    admin_client_.post(f"/scenarios/{scenario.slug}/edit/", form)
    response = admin_client_.post(f"/scenarios/{scenario.slug}/edit/", {**form, "prompt": "wave"})
    assert response.status_code == 422
    assert b"Somebody wrote version 2" in response.content
    assert scenario.current.prompt == FORM["prompt"]


def test_a_bad_form_says_what_is_wrong_and_keeps_what_was_typed(admin_client_):
    response = admin_client_.post("/scenarios/new/", {**FORM, "prompt": "", "notes": "keep me", "factor_dog": "flying"})
    html = response.content.decode()
    assert response.status_code == 422
    assert "This field is required" in html
    assert "keep me" in html
    assert not Scenario.objects.exists()


WRITES = [
    ("/scenarios/new/", FORM),
    ("/scenarios/dog-on-the-way/edit/", FORM),
    ("/scenarios/dog-on-the-way/state/", {"state": "retired"}),
    ("/scenarios/dog-on-the-way/duplicate/", {}),
    ("/scenarios/dog-on-the-way/vary/", {"axis_light": ["dim"]}),
    ("/scenarios/dog-on-the-way/imagine/", {"n": 4}),
    ("/scenarios/dog-on-the-way/capture/", {"n": 4}),
    ("/scenarios/dog-on-the-way/upload/", {}),
    ("/scenarios/dog-on-the-way/verify/", {"episodes": 4}),
    ("/scenarios/import/", {}),
    ("/rollouts/1/continue/", {"frame": 4}),
    ("/mining/start/", {"budget": 8, "dreams": 2, "seed": 0}),
]


@pytest.mark.parametrize(("path", "data"), WRITES, ids=[path for path, _ in WRITES])
def test_a_researcher_may_not_curate(path, data, researcher_client, scenario, version):
    before = Job.objects.count()
    assert researcher_client.post(path, data).status_code == 403
    assert Scenario.objects.count() == 1
    assert Job.objects.count() == before
    scenario.refresh_from_db()
    assert scenario.state == "draft"
    assert scenario.current.number == 1


@pytest.mark.parametrize("path", [path for path, _ in WRITES if path not in ("/scenarios/new/", "/scenarios/dog-on-the-way/edit/")])
def test_it_rejects_get(path, admin_client_, scenario):
    assert admin_client_.get(path).status_code == 405


def test_a_prompt_beyond_the_world_is_pointed_out(admin_client_, scenario, admin_person):
    assert b"cannot capture frames" not in admin_client_.get(f"/scenarios/{scenario.slug}/").content
    services.scenario_edit(scenario=scenario, content={"prompt": "make coffee"}, by=admin_person)
    assert b"cannot capture frames" in admin_client_.get(f"/scenarios/{scenario.slug}/").content


def test_duplicate_and_vary_make_drafts(admin_client_, scenario):
    assert admin_client_.post(f"/scenarios/{scenario.slug}/duplicate/").status_code == 302
    admin_client_.post(f"/scenarios/{scenario.slug}/vary/", {"axis_light": ["dim", "normal"], "axis_clutter": ["1", "2"]})
    assert Scenario.objects.filter(origin="duplicated").count() == 1
    assert Scenario.objects.filter(origin="varied", state="draft").count() == 4


def test_export_and_import_over_the_pages(admin_client_, researcher_client, scenario):
    response = researcher_client.get("/scenarios/export/?format=json")
    assert response["Content-Disposition"] == 'attachment; filename="scenarios.json"'
    file = SimpleUploadedFile("s.json", response.content.replace(b"dog-on-the-way", b"x").replace(b"go to", b"walk to"))
    admin_client_.post("/scenarios/import/", {"file": file})
    assert Scenario.objects.filter(origin="imported").count() == 1
    response = admin_client_.post("/scenarios/import/", {"file": SimpleUploadedFile("s.yaml", b"{")}, follow=True)
    assert b"Nothing was imported" in response.content


def test_generating_submits_a_job_after_the_last_seed(admin_client_, admin_person, scenario, version, make_frame):
    make_frame(seed=41)
    admin_client_.post(f"/scenarios/{scenario.slug}/imagine/", {"n": 24, "policy_version": version.pk, "scene_text": " a dog "})
    job = Job.objects.get(kind="rollouts.imagine")
    assert job.created_by == admin_person
    assert job.params == {
        "scenario_version": scenario.current.pk,
        "policy_version": version.pk,
        "n": 24,
        "seed": 42,
        "scene_text": "a dog",
    }
    entry = AuditEntry.objects.get(action="rollouts.imagine.start")
    assert (entry.actor, entry.after["n"], entry.after["job"]) == (admin_person, 24, str(job.pk))
    html = admin_client_.get(f"/scenarios/{scenario.slug}/").content.decode()
    assert island(html, "job-progress")["job"] == str(job.pk)
    assert island(html, "events")["topic"] == f"start-frames:{scenario.slug}"
    assert admin_client_.get(f"/scenarios/{scenario.slug}/arriving/").status_code == 200


def test_frames_that_arrive_are_counted_at_the_head_too(admin_client_, scenario, make_frame):
    make_frame(seed=1), make_frame(seed=2), make_frame(seed=3, state="approved")
    html = admin_client_.get(f"/scenarios/{scenario.slug}/arriving/").content.decode()
    counts = re.search(r'<dl[^>]*id="counts"[^>]*hx-swap-oob="true".*?</dl>', html, re.S)
    assert re.findall(r"<dd>(\d+)</dd>", counts[0]) == ["2", "1", "0", "0"]


def test_a_search_shows_what_it_found_so_far(admin_client_, version):
    run = MiningRun.objects.create(policy_version=version, options={"budget": 8, "dreams": 2})
    cells = sorted(factors.all_cells())[:2]
    for seed, cell in enumerate([cells[0], cells[0], cells[1]]):
        image = blob_store(png_bytes(noise_frame(seed)), "image/png")
        MiningCandidate.objects.create(run=run, cell=cell, prompt="go", world_spec={}, objective=0.2 + seed / 10, evidence={"failure": 0.5}, image=image)
    html = admin_client_.get("/mining/").content.decode()
    row = html.split(f'<a href="{run.get_absolute_url()}">')[1].split("</tr>")[0]
    assert re.findall(r'<td class="num">([^<]*)</td>', row) == ["3 of 8", "2", "…", "0.40"]
    run.summary, run.finished_at = {"evaluated": 3, "proposed": 0}, timezone.now()
    run.save()
    html = admin_client_.get("/mining/").content.decode()
    row = html.split(f'<a href="{run.get_absolute_url()}">')[1].split("</tr>")[0]
    assert re.findall(r'<td class="num">([^<]*)</td>', row) == ["3 of 8", "2", "0", "0.40"]
    assert re.findall(r"<dd>(\d+)", admin_client_.get(run.get_absolute_url()).content.decode())[:3] == ["3", "2", "0"]


def test_right_after_a_promotion_the_map_of_the_version_before_is_shown(admin_client_, version, make_run, weights):
    make_run(0.5, 0.6)
    child = services.policy_version_create(name="child", directory=weights("child"))
    PolicyVersion.objects.filter(pk=version.pk).update(is_active=False)
    PolicyVersion.objects.filter(pk=child.pk).update(state="promoted", is_active=True)
    html = admin_client_.get("/mining/").content.decode()
    assert f"Where “{version.name}” is weak" in html
    assert "“child” dreams now and was not searched yet" in html
    html = admin_client_.get(f"/mining/?version={child.pk}").content.decode()
    assert "Where “child” is weak" in html
    assert "was not searched yet" not in html


def test_a_cell_of_the_map_leads_to_the_candidates_that_it_counts(admin_client_, version, make_run, weights):
    """Two versions were searched in one cell: the map of one counts its own candidates, and its link shows no others."""
    own = make_run(0.5, 0.6)
    child = services.policy_version_create(name="child", directory=weights("child"))
    others = make_run(0.7, 0.8, 0.9)
    MiningRun.objects.filter(pk=others.pk).update(policy_version=child)
    every = admin_client_.get("/mining/").content.decode()
    assert every.count("<article") == 5
    assert every.count("<dd>child</dd>") == 3
    link = unescape(re.search(r'<a href="([^"]*)#proposals" class="badge [^"]*">\d+%</a> <span class="small muted">\(2\)', every)[1])
    html = admin_client_.get(f"/mining/{link}").content.decode()
    assert f"Where “{version.name}” is weak" in html
    ids = {int(one) for one in re.findall(r'name="candidate" value="(\d+)"', html)}
    assert ids == set(own.candidates.values_list("pk", flat=True))
    for tab in re.findall(r'<a href="([^"]*)#proposals"', html):
        assert f"version={version.pk}" in unescape(tab)


def test_frames_can_be_reviewed_while_episodes_run(admin_client_, scenario, version, make_frame):
    frame = make_frame(seed=1)
    admin_client_.post(f"/scenarios/{scenario.slug}/verify/", {"episodes": 4, "policy_version": version.pk})
    html = admin_client_.get(f"/scenarios/{scenario.slug}/").content.decode()
    assert [one["id"] for one in island(html, "frame-grid")["frames"]] == [frame.pk]
    verification = html.split('id="verification"')[1]
    assert str(Job.objects.get(kind="rollouts.verify").pk) in verification


@pytest.mark.parametrize("n", ["0", "201", "many", ""])
def test_a_bad_count_submits_nothing(admin_client_, scenario, version, n):
    response = admin_client_.post(f"/scenarios/{scenario.slug}/imagine/", {"n": n, "policy_version": version.pk}, follow=True)
    assert b"How many" in response.content
    assert not Job.objects.filter(kind="rollouts.imagine").exists()


def test_uploading_takes_the_good_and_names_the_bad(admin_client_, scenario, version):
    files = [
        SimpleUploadedFile("good.png", picture(), "image/png"),
        SimpleUploadedFile("evil.svg", b"<svg onload='x'/>", "image/svg+xml"),
    ]
    response = admin_client_.post(f"/scenarios/{scenario.slug}/upload/", {"files": files}, follow=True)
    html = unescape(response.content.decode())
    assert "1 uploaded, to be reviewed." in html
    assert "“evil.svg” was refused" in html
    frame = StartFrame.objects.get()
    assert (frame.source, frame.state) == ("uploaded", "proposed")
    assert Job.objects.get(kind="rollouts.probe").params["start_frames"] == [frame.pk]


def test_the_grid_lists_frames_with_what_is_wrong_with_them(researcher_client, scenario, make_frame):
    plain = make_frame(seed=1)
    odd = make_frame(seed=2, probe={"agrees": False, "disagreements": ["The text says a dog; none is seen."]})
    twin = services.start_frame_create(
        scenario_version=services.scenario_edit(scenario=scenario, content={"prompt": "wave"}, by=scenario.created_by),
        frame=noise_frame(1),
        source="uploaded",
    )
    frames = {f["id"]: f for f in island(researcher_client.get("/start-frames/").content.decode(), "frame-grid")["frames"]}
    assert set(frames) == {plain.pk, odd.pk, twin.pk}
    assert "The text says a dog; none is seen." in frames[odd.pk]["notes"]
    assert f"Near twin of #{twin.pk}" in frames[plain.pk]["notes"]
    html = researcher_client.get("/start-frames/?disagrees=yes").content.decode()
    assert [f["id"] for f in island(html, "frame-grid")["frames"]] == [odd.pk]


def test_a_rollout_page_says_why_it_was_rejected(researcher_client, make_rollout):
    rollout = make_rollout(accepted=False)
    html = researcher_client.get(rollout.get_absolute_url()).content.decode()
    assert "rejected" in html
    assert "broken" in html
    assert island(html, "rollout-viewer")["rollouts"][0]["frame_count"] == 13
    listed = researcher_client.get("/rollouts/?check=speed").content.decode()
    assert [row["id"] for row in island(listed, "rollout-viewer")["rollouts"]] == [rollout.pk]
    assert "viewer" not in re.findall(r'data-island="rollout-(\w+)"', researcher_client.get("/rollouts/?accepted=yes").content.decode())


def test_an_admin_goes_on_from_a_moment(admin_client_, researcher_client, make_rollout):
    rollout = make_rollout()
    assert "Go on from a moment" not in researcher_client.get(rollout.get_absolute_url()).content.decode()
    assert "4.0 s, frame 12" in admin_client_.get(rollout.get_absolute_url()).content.decode()
    path = f"/rollouts/{rollout.pk}/continue/"
    page = admin_client_.post(path, {"frame": "5"}, follow=True)
    assert "waits for your review" in page.content.decode()
    assert f'frame 5 of <a href="{rollout.get_absolute_url()}">' in page.content.decode()
    for wrong in ("13", "0", "-1", "x", ""):
        assert "has the moments 1 to 12" in admin_client_.post(path, {"frame": wrong}, follow=True).content.decode()


def test_a_researcher_samples_only_approved_frames(researcher_client, version, make_frame):
    proposed, approved = make_frame(seed=1), make_frame(seed=2, state="approved")
    data = {"policy_version": version.pk, "n": 8, "start_frame": [proposed.pk, approved.pk]}
    researcher_client.post("/rollouts/sample/", data)
    job = Job.objects.get(kind="rollouts.sample")
    assert job.params["start_frames"] == [approved.pk]
    assert job.params["seed"] == 0
    response = researcher_client.post("/rollouts/sample/", {**data, "start_frame": [proposed.pk]}, follow=True)
    assert b"Only approved frames are sampled" in response.content
    assert Job.objects.filter(kind="rollouts.sample").count() == 1


def test_sampling_under_two_versions_makes_a_job_each(researcher_client, version, weights, make_frame):
    other = services.policy_version_create(name="v2", directory=weights("v2", b"2"))
    frame = make_frame(state="approved")
    researcher_client.post("/rollouts/sample/", {"policy_version": [version.pk, other.pk], "n": 4, "start_frame": frame.pk})
    assert {job.params["policy_version"] for job in Job.objects.filter(kind="rollouts.sample")} == {version.pk, other.pk}
    entries = AuditEntry.objects.filter(action="rollouts.sample.start", target_type="rollouts.PolicyVersion")
    assert {(entry.target_id, tuple(entry.after["start_frames"])) for entry in entries} == {(str(version.pk), (frame.pk,)), (str(other.pk), (frame.pk,))}


def test_resampling_without_a_seed_goes_on_after_the_last(researcher_client, make_rollout):
    rollout = make_rollout(seed=7)
    data = {"policy_version": rollout.policy_version_id, "n": 2, "start_frame": rollout.start_frame_id}
    researcher_client.post("/rollouts/sample/", data)
    assert Job.objects.get(kind="rollouts.sample").params["seed"] == 8


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_it_never_redirects_to_another_host(researcher_client, version, target):
    response = researcher_client.post("/rollouts/sample/", {"policy_version": version.pk, "n": 2, "next": target})
    assert response.url == "/rollouts/"


def test_a_saved_view_is_its_owners(researcher_client, admin_client_):
    researcher_client.post("/saved-views/", {"page": "scenarios", "name": "My hounds", "query": "dog=lying&x=<b>"})
    view = SavedView.objects.get()
    assert view.query == "dog=lying&x=%3Cb%3E"
    assert b"My hounds" in researcher_client.get("/scenarios/").content
    assert b"My hounds" not in admin_client_.get("/scenarios/").content
    assert admin_client_.post(f"/saved-views/{view.pk}/delete/").status_code == 404
    researcher_client.post(f"/saved-views/{view.pk}/delete/")
    assert not SavedView.objects.exists()


def test_names_are_escaped_everywhere(admin_client_, admin_person, version):
    evil = services.scenario_create(name="<script>alert(1)</script>", content={**CONTENT, "notes": "<img src=x onerror=alert(1)>"}, created_by=admin_person)
    for path in ("/scenarios/", evil.get_absolute_url(), "/start-frames/", "/rollouts/"):
        html = admin_client_.get(path).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html


def test_ticked_scenarios_are_activated_at_once_or_not_at_all(admin_client_, researcher_client):
    content = {"prompt": "go to the red ball"}
    made = [services.scenario_create(name=f"Dog {i}", content=content, created_by=admin_client_.user) for i in range(3)]
    assert 'name="scenario" value="dog-0" form="bulk"' in admin_client_.get("/scenarios/").content.decode()
    assert 'form="bulk"' not in researcher_client.get("/scenarios/").content.decode()
    slugs = [row.slug for row in made]
    assert researcher_client.post("/scenarios/set-state/", {"scenario": slugs, "state": "active"}).status_code == 403
    answer = admin_client_.post("/scenarios/set-state/", {"scenario": slugs[:2], "state": "active", "next": "/scenarios/?state=draft"}, follow=True)
    assert "2 scenarios changed." in answer.content.decode()
    assert Scenario.objects.filter(state="active").count() == 2
    services.scenario_set_state(scenario=made[2], state="retired", by=admin_client_.user)
    answer = admin_client_.post("/scenarios/set-state/", {"scenario": slugs, "state": "active"}, follow=True)
    assert "“Dog 2” is retired and cannot take this step. Nothing was changed." in answer.content.decode()
    assert "Tick the scenarios first." in admin_client_.post("/scenarios/set-state/", {"state": "active"}, follow=True).content.decode()


@pytest.fixture
def much(make_frame, make_rollout, make_run, weights):
    """More than one of everything that a page could ask for one by one."""
    make_rollout()
    for seed, name in enumerate(("second", "third")):
        services.policy_version_create(name=name, directory=weights(name))
        make_frame(seed)
        make_run(0.5, 0.6)


@pytest.mark.parametrize(
    ("path", "queries"),
    [("/scenarios/", 10), ("/scenarios/{slug}/", 20), ("/start-frames/", 11), ("/start-frames/{frame}/", 11), ("/rollouts/", 16), ("/mining/", 15)],
)
def test_pages_take_few_queries(path, queries, much, scenario, admin_client_, django_assert_max_num_queries):
    path = path.format(slug=scenario.slug, frame=StartFrame.objects.first().pk)
    with django_assert_max_num_queries(queries):
        assert admin_client_.get(path).status_code == 200
