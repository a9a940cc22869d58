from __future__ import annotations

import pytest
from django.urls import reverse

from core.models import AuditEntry
from labeling import services
from labeling.errors import LabelingError
from labeling.models import Exclusion, Project
from labeling.selectors import live_choices

pytestmark = pytest.mark.django_db

ANNOTATOR_PAGES = ["labeling:compare", "labeling:guide", "labeling:stats", "labeling:leaderboard"]
ADMIN_PAGES = ["labeling:quality", "labeling:gold", "labeling:project", "labeling:webhooks", "labeling:exports"]


@pytest.mark.parametrize("name", ANNOTATOR_PAGES + ADMIN_PAGES)
def test_it_sends_strangers_away(name, client, stranger_client):
    assert client.get(reverse(name)).status_code == 302
    assert stranger_client.get(reverse(name)).status_code == 403


@pytest.mark.parametrize("name", ["labeling:quality", "labeling:gold", "labeling:project", "labeling:webhooks"])
def test_only_admins_see_who_answers_how(name, annotator_client, researcher_client, project):
    assert annotator_client.get(reverse(name)).status_code == 403
    assert researcher_client.get(reverse(name)).status_code == 403


@pytest.mark.parametrize("name", ANNOTATOR_PAGES + ADMIN_PAGES)
def test_every_page_answers_empty_and_full(name, admin_client_, make_comparisons, answer, annotator, second_annotator, researcher):
    assert admin_client_.get(reverse(name)).status_code == 200
    comparisons = make_comparisons(10, overlap=2)
    services.comparison_make_gold(comparison=comparisons[0], answer="a", by=researcher, note="it stops before the dog")
    for person in (annotator, second_annotator, admin_client_.user):
        for side in ("left", "tie", "right"):
            if found := services.leases_next(annotator=person).leases:
                answer(person, side, lease=found[0])
    lease = services.leases_next(annotator=annotator).leases[0]
    services.lease_skip(annotator=annotator, lease_id=lease.pk, reason="<b>blurred</b>", flag=True)
    services.annotator_estimates_fit()
    response = admin_client_.get(reverse(name))
    assert response.status_code == 200
    assert "<b>blurred</b>" not in response.content.decode()
    assert " style=" not in response.content.decode()


def test_the_leaderboard_hides_names_until_one_has_answered(annotator_client, make_comparisons, answer):
    make_comparisons(12)
    assert "Answer a few pairs first" in annotator_client.get(reverse("labeling:leaderboard")).content.decode()
    for _ in range(10):
        answer(annotator_client.user)
    assert "Answer a few pairs first" not in annotator_client.get(reverse("labeling:leaderboard")).content.decode()


def test_an_admin_sees_what_is_flagged_or_made_gold(admin_client_, make_comparisons, annotator):
    first, *_ = make_comparisons(2)
    lease = services.leases_next(annotator=annotator).leases[0]
    services.lease_skip(annotator=annotator, lease_id=lease.pk, reason="broken", flag=True)
    page = admin_client_.get(reverse("labeling:quality")).content.decode()
    for rollout in (lease.comparison.rollout_a, lease.comparison.rollout_b):
        assert f"/media/{rollout.sprite_id}" in page
    gold = reverse("labeling:gold")
    assert f"/media/{first.rollout_a.sprite_id}" in admin_client_.get(gold, {"comparison": first.pk}).content.decode()
    for number in ("", "x", "99999999", "9" * 40, "²"):
        assert "rollout-viewer" not in admin_client_.get(gold, {"comparison": number}).content.decode(), number
    bound = admin_client_.post(gold, {"comparison": first.pk, "answer": "nonsense", "use": "mixed"})
    assert bound.status_code == 422
    assert f"/media/{first.rollout_a.sprite_id}" in bound.content.decode()


def test_the_guide_shows_examples_to_a_newcomer(annotator_client, admin_client_, make_comparisons):
    """They are there before the first answer, and nobody is measured by what the guide gives away."""
    example, hidden, *_ = make_comparisons(4)
    gold = reverse("labeling:gold")
    reason = "It stops before the dog."
    assert admin_client_.post(gold, {"comparison": example.pk, "answer": "a", "note": "", "use": "example"}).status_code == 422
    assert admin_client_.post(gold, {"comparison": example.pk, "answer": "tie", "note": reason, "use": "example"}).status_code == 422
    assert admin_client_.post(gold, {"comparison": example.pk, "answer": "a", "note": reason, "use": "example"}).status_code == 302
    assert admin_client_.post(gold, {"comparison": hidden.pk, "answer": "b", "note": "A secret.", "use": "mixed"}).status_code == 302
    assert "in the guide" in admin_client_.get(gold).content.decode()
    page = annotator_client.get(reverse("labeling:guide")).content.decode()
    assert reason in page
    assert "A secret." not in page
    given = [lease.comparison_id for _ in range(6) for lease in services.leases_next(annotator=annotator_client.user, count=1).leases]
    assert example.pk not in given
    assert len(given) >= 2
    with pytest.raises(LabelingError, match="qualifying set"):
        services.comparison_make_gold(comparison=hidden, answer="a", by=admin_client_.user, qualifying=True, example=True)


def test_reading_the_guide_leads_to_the_player(annotator_client, project):
    assert annotator_client.get(reverse("labeling:guide_read")).status_code == 405
    assert annotator_client.post(reverse("labeling:guide_read")).url == reverse("labeling:compare")
    assert annotator_client.user.labeling_profile.guide_read_at is not None


def test_an_admin_excludes_and_lifts(admin_client_, make_comparisons, annotator, answer):
    comparison = make_comparisons(1)[0]
    choice = answer(annotator)
    page = reverse("labeling:annotator", args=[annotator.pk])
    assert admin_client_.get(page).status_code == 200
    since = choice.created_at.strftime("%Y-%m-%dT%H:%M")
    refused = admin_client_.post(reverse("labeling:exclude", args=[annotator.pk]), {"from_at": since, "reason": ""})
    assert refused.status_code == 422
    admin_client_.post(reverse("labeling:exclude", args=[annotator.pk]), {"from_at": since, "reason": "clicked through"})
    comparison.refresh_from_db()
    assert (comparison.state, comparison.answered) == ("open", 0)
    assert not live_choices().exists()
    assert admin_client_.get(page).status_code == 200
    admin_client_.post(reverse("labeling:lift", args=[Exclusion.objects.get().pk]))
    comparison.refresh_from_db()
    assert (comparison.state, comparison.answered) == ("done", 1)
    assert live_choices().count() == 1
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {"annotator.exclude", "annotator.exclusion_lift"}


def test_an_admin_changes_the_settings(admin_client_, project):
    from django.forms.models import model_to_dict

    page = reverse("labeling:project")
    form = admin_client_.get(page).context["form"]
    data = {name: model_to_dict(project).get(name) for name in form.fields if name != "criteria_text"}
    data = {name: value for name, value in data.items() if value is not None and value is not False}
    bad = admin_client_.post(page, data | {"criteria_text": "no colon"})
    assert bad.status_code == 422
    admin_client_.post(page, data | {"criteria_text": "safe: Safe around animals", "required_overlap": 3})
    project = Project.current()
    assert (project.required_overlap, project.criteria) == (3, [{"key": "safe", "label": "Safe around animals"}])
    entry = AuditEntry.objects.get(action="labeling.settings")
    assert entry.after["required_overlap"] == 3


def test_an_admin_makes_a_pair_gold_and_retires_a_flagged_one(admin_client_, make_comparisons, annotator):
    first, second = make_comparisons(2)
    admin_client_.post(reverse("labeling:gold"), {"comparison": first.pk, "answer": "a", "note": "stops in time", "use": "qualifying"})
    first.refresh_from_db()
    assert (first.kind, first.gold_answer, first.qualifying) == ("gold", "a", True)
    admin_client_.post(reverse("labeling:retire", args=[second.pk]), {"reason": "flagged"})
    second.refresh_from_db()
    assert second.state == "retired"


def test_the_service_worker_needs_no_one_and_looks_after_its_own_pages(client):
    """Served under /label/, so that its scope is that; a browser renews it whoever is signed in."""
    answer = client.get("/label/worker.js")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert "Service-Worker-Allowed" not in answer.headers
    assert "connect-src 'self'" in answer.headers["Content-Security-Policy"]
    assert client.post("/label/worker.js").status_code == 405


def test_who_failed_the_qualifying_set_is_told_whom_to_ask_and_gets_another_try(annotator_client, admin_client_, project, make_comparisons, answer, researcher):
    project.qualifying_pairs = 1
    project.save()
    services.comparison_make_gold(comparison=make_comparisons(2)[0], answer="tie", by=researcher, qualifying=True)
    person, guide = annotator_client.user, reverse("labeling:guide")
    answer(person)
    told = annotator_client.get(guide).content.decode()
    assert f"ask {admin_client_.user} for another try" in told
    page = reverse("labeling:annotator", args=[person.pk])
    assert "Give another try" in admin_client_.get(page).content.decode()
    retry = reverse("labeling:retry", args=[person.pk])
    assert admin_client_.get(retry).status_code == 405
    assert annotator_client.post(retry).status_code == 403
    assert "gets another try" in admin_client_.post(retry, follow=True).content.decode()
    assert "Give another try" not in admin_client_.get(page).content.decode()
    assert "another try: " in annotator_client.get(guide).content.decode()
    assert "did not fail" in admin_client_.post(retry, follow=True).content.decode()
