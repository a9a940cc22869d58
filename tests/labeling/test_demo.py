from __future__ import annotations

import pytest

from core.media import blob_store
from core.models import Job
from labeling import demo
from labeling.models import Choice, Comparison, Project
from labeling.simulate import Judge
from tests.labeling import factories
from tests.labeling.test_simulate import Eyes, clip

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_says_so_when_there_is_nothing_to_compare(run_job):
    demo.load()
    factories.rollouts(1)
    job = run_job(Job.objects.get(kind="labeling.demo"))
    assert job.state == "failed"
    assert "nothing to compare" in job.error


def test_it_waits_for_rollouts_then_makes_pairs_gold_and_choices(run_job, monkeypatch):
    monkeypatch.setattr(demo, "judge_load", lambda: Judge(Eyes()))
    assert demo.load() == {"jobs": 1}
    job = run_job(Job.objects.get(kind="labeling.demo"))
    assert (job.state, job.attempt) == ("queued", 1)
    assert "sampling has to come first" in job.error
    project = Project.current()
    project.pair_strategy = "uniform"
    project.save()
    frame, version = factories.start_frame(), factories.policy_version()
    for n in range(16):
        factories.rollouts(1, frame=frame, version=version, sprite=blob_store(clip(23 - n % 8 * 3), "image/png"), width=24, height=24)
    Job.objects.update(run_after=None)
    job = run_job(job)
    assert job.state == "succeeded", job.error
    assert job.result == {"comparisons": 90 - job.result["gold"], "gold": job.result["gold"], "choices": 30}
    gold = Comparison.objects.filter(kind="gold")
    assert gold.count() == 10
    assert gold.filter(state="done", qualifying=False).count() == 2
    assert gold.filter(qualifying=True).count() == 4
    assert set(gold.values_list("gold_note", flat=True)) <= {
        "The better one does what the prompt asks; the worse one does not get there.",
        "The better one gets much further with what the prompt asks.",
    }
    assert set(Choice.objects.values_list("is_simulated", flat=True)) == {True}
    assert demo.load() == {"jobs": 0}
