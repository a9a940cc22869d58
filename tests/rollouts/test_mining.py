"""Mining, its proposals and its replays, with tiny random weights: everything but the quality is real."""

import numpy as np
import pytest

from core.jobs import submit
from core.models import AuditEntry
from rollouts import closed_loop, services
from rollouts.mining import Evidence, forecast_for
from rollouts.mining.forecast import FACTS
from rollouts.mining.search import FAILING
from rollouts.models import MiningCandidate, MiningRun, StartFrame, Verification
from rollouts.services import mining

pytestmark = pytest.mark.usefixtures("tiny_version")


@pytest.fixture
def mined(tiny_version, run_job):
    params = {"policy_version": tiny_version.pk, "budget": 8, "dreams": 2, "seed": 1}
    job = run_job(submit(kind="rollouts.mine", params=params))
    assert job.state == "succeeded", job.traceback
    return MiningRun.objects.get()


def test_mining_keeps_every_try_and_proposes_the_worst_of_each_cell(mined):
    rows = list(mined.candidates.all())
    assert mined.summary["evaluated"] == len(rows) == 8
    proposed = [row for row in rows if row.state == "proposed"]
    assert len(proposed) == mined.summary["proposed"] > 0
    assert all((row.why != "") == (row.state == "proposed") for row in rows)
    for cell in {row.cell for row in rows}:
        group = sorted((row for row in rows if row.cell == cell), key=lambda row: -row.objective)
        assert group[0].state == ("proposed" if group[0].objective >= FAILING else "evaluated")


def test_a_search_for_one_task_asks_for_nothing_else(tiny_version, run_job):
    params = {"policy_version": tiny_version.pk, "budget": 8, "dreams": 2}
    assert run_job(submit(kind="rollouts.mine", params={**params, "task": "go"})).state == "succeeded"
    assert {row.prompt.split()[0] for row in MiningCandidate.objects.all()} == {"go"}
    refused = run_job(submit(kind="rollouts.mine", params={**params, "task": "dance"}))
    assert (refused.state, refused.error) == ("failed", "A search is for one of these tasks: go, bring; or for any.")


def test_the_daily_search_takes_the_tasks_in_turn(tiny_version, run_job, monkeypatch):
    monkeypatch.setattr("rollouts.jobs.ROUTINE", {"budget": 1, "dreams": 2})
    services.policy_version_activate(version=tiny_version, by=None)
    for _ in range(4):
        assert run_job(submit(kind="rollouts.mine_daily", params={})).state == "succeeded"
    assert [run.options["task"] for run in MiningRun.objects.order_by("id")] == ["", "go", "bring", ""]


def test_an_accepted_proposal_is_an_approved_frame_that_can_be_sampled(mined, admin_person, tiny_version):
    candidate = mined.candidates.filter(state="proposed").first()
    frame = services.mining_candidate_accept(candidate=candidate, by=admin_person)
    assert (frame.state, frame.source, frame.world_spec) == ("approved", "captured", candidate.world_spec)
    assert frame.scenario_version.scenario.origin == "mined"
    assert frame.scenario_version.prompt == candidate.prompt
    with pytest.raises(services.RolloutsError) as error:
        services.mining_candidate_decline(candidate=candidate, by=admin_person)
    assert error.value.code == "decided"


def test_a_declined_proposal_makes_no_frame(mined, admin_client_):
    candidate = mined.candidates.filter(state="proposed").first()
    admin_client_.post(f"/mining/candidates/{candidate.pk}/decide/", {"decision": "decline"})
    candidate.refresh_from_db()
    assert candidate.state == "declined"
    assert not StartFrame.objects.exists()


def test_many_proposals_are_decided_at_once(mined, admin_client_):
    first, second, third = mined.candidates.filter(state="proposed")[:3]
    services.mining_candidate_decline(candidate=second, by=admin_client_.user)
    page = admin_client_.get("/mining/").content.decode()
    assert f'name="candidate" value="{first.pk}" form="bulk"' in page
    answer = admin_client_.post(
        "/mining/candidates/decide/", {"decision": "accept", "candidate": [first.pk, second.pk, third.pk], "next": "/mining/?state=all"}
    )
    assert answer.url == "/mining/?state=all"
    states = {row.pk: row.state for row in mined.candidates.all()}
    assert (states[first.pk], states[second.pk], states[third.pk]) == ("accepted", "declined", "accepted")
    assert StartFrame.objects.filter(state="approved").count() == 2
    assert AuditEntry.objects.filter(action="mining.accepted").count() == 2


def test_deciding_none_or_what_is_not_there_changes_nothing(mined, admin_client_, researcher_client):
    proposed = mined.candidates.filter(state="proposed").first()
    page = admin_client_.post("/mining/candidates/decide/", {"decision": "decline"}, follow=True)
    assert "Tick the proposals first." in page.content.decode()
    page = admin_client_.post("/mining/candidates/decide/", {"decision": "decline", "candidate": [proposed.pk, 10**9]}, follow=True)
    assert "does not exist" in page.content.decode()
    assert researcher_client.post("/mining/candidates/decide/", {"decision": "decline", "candidate": [proposed.pk]}).status_code == 403
    proposed.refresh_from_db()
    assert proposed.state == "proposed"


def test_the_coverage_map_shows_what_was_tried(mined, researcher_client):
    html = researcher_client.get("/mining/").content.decode()
    cells = {row.cell for row in MiningCandidate.objects.all()}
    assert f"8 start frames tried; {len(cells)} of" in html
    assert researcher_client.get(f"/mining/{mined.pk}/").status_code == 200


def test_a_candidate_says_how_likely_it_fails_where_that_is_known(mined, researcher_client):
    row = mined.candidates.order_by("-objective", "id").first()
    assert row.objective == pytest.approx(forecast_for(services.policy_load(mined.policy_version)).failure(*known(row))[0], abs=1e-3)
    page = researcher_client.get(f"/mining/{mined.pk}/").content.decode()
    assert f"<dt>Likely to fail</dt><dd><strong>{row.objective * 100:.0f}%</strong></dd>" in page
    assert f"{mined.summary['taught_by']} <span" in page
    for old in mined.candidates.all():  # as before there were forecasts
        del old.evidence["layout"]
        old.save()
    assert "Likely to fail" not in researcher_client.get(f"/mining/{mined.pk}/").content.decode()


def known(*rows):
    """Facts and evidence of candidates."""
    return np.array([[row.evidence["layout"][name] for name in FACTS] for row in rows]), [Evidence.from_dict(row.evidence) for row in rows]


@pytest.fixture
def episodes(monkeypatch):
    """A closed loop that fails on even seeds; the real one is training's, and is tested there."""
    seen = []

    def run(*, policy, specs, n=1, progress=None):
        seen.extend(specs)
        return [closed_loop.Outcome(success=spec["seed"] % 2 == 1, dog_contact=False) for spec in specs]

    monkeypatch.setattr(closed_loop, "_runner", run)
    return seen


def test_verification_counts_real_failures_beside_dreamed_ones(scenario, tiny_version, run_job, episodes):
    params = {"scenario_version": scenario.current.pk, "policy_version": tiny_version.pk, "episodes": 5, "dreams": 2}
    job = run_job(submit(kind="rollouts.verify", params=params))
    assert job.state == "succeeded", job.traceback
    row = Verification.objects.get()
    assert (row.real_n, row.real_failures, row.dreamed_n) == (5, 3, 10)
    assert [spec["seed"] for spec in episodes] == [0, 1, 2, 3, 4]
    assert 0 <= row.dreamed_failures <= 10


def test_the_worst_finds_are_replayed_in_the_world(mined, run_job, episodes, researcher_client):
    job = run_job(submit(kind="rollouts.mine_verify", params={"run": mined.pk, "limit": 3}))
    assert job.state == "succeeded", job.traceback
    worst = mined.candidates.order_by("-objective", "id")[:3]
    assert [row.real["failed"] for row in worst] == [row.world_spec["seed"] % 2 == 0 for row in worst]
    assert b"Really failed" in researcher_client.get(f"/mining/{mined.pk}/").content


def test_replays_teach_the_next_search_of_the_version(mined, tiny_version, run_job, episodes):
    policy = services.policy_load(tiny_version)
    before = mining.forecast_of(policy_version=tiny_version, policy=policy)
    assert before == forecast_for(policy)
    run_job(submit(kind="rollouts.mine_verify", params={"run": mined.pk}))
    after = mining.forecast_of(policy_version=tiny_version, policy=policy)
    assert after.episodes == before.episodes + 8
    rows = list(mined.candidates.all())
    failed = np.array([row.real["failed"] for row in rows])
    wrong = [np.abs(one.failure(*known(*rows)) - failed).mean() for one in (before, after)]
    assert wrong[1] < wrong[0]

    other = rows[0]
    other.evidence["layout"] = {"what was read of a room before": 1.0}
    other.save()
    assert mining.forecast_of(policy_version=tiny_version, policy=policy).episodes == before.episodes + 7
    params = {"policy_version": tiny_version.pk, "budget": 8, "dreams": 2, "seed": 2}
    assert run_job(submit(kind="rollouts.mine", params=params)).state == "succeeded"
    assert MiningRun.objects.first().summary["taught_by"] == before.episodes + 7


def test_promotion_mines_again(tiny_version, tiny_directory, weights):
    from core.models import Job

    assert not Job.objects.filter(kind="rollouts.mine").exists()
    second = services.policy_version_create(name="second", directory=weights("x"))
    services.policy_version_activate(version=second, by=None)
    job = Job.objects.get(kind="rollouts.mine")
    assert job.params["policy_version"] == second.pk
    assert job.params["trigger"] == "promotion"
    assert job.priority < 0
