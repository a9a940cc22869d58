from __future__ import annotations

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors.numpy import save

from core.media import blob_store
from labeling import services
from labeling.models import Comparison, Project, RolloutFeatures
from labeling.pairs import STRATEGIES, Pool, choose, fit, rollout_vector
from labeling.pairs.preference import sigmoid
from labeling.services.supply import ask_ahead, supply_state
from rollouts.models import StartFrame
from tests.labeling import factories


def test_features_describe_motion():
    still = np.zeros((4, 3, 2, 2))
    moving = np.cumsum(np.ones((4, 3, 2, 2)), axis=0)
    path = np.array([[0, 0], [1, 0], [1, 1]])
    a, b = rollout_vector(still, path, 0.0, 0.5), rollout_vector(moving, path, 0.0, 0.5)
    assert a.shape == b.shape == (6 * 3 + 8,)
    assert a[12:15].tolist() == [0, 0, 0]
    assert b[12:15].tolist() == [1, 1, 1]
    assert a[-4:].tolist() == pytest.approx([np.sqrt(2), 2.0, 1.0, np.sqrt(2)])
    with pytest.raises(ValueError, match="shape"):
        rollout_vector(still[0], path, 0, 0)


def test_the_preference_model_learns_a_direction():
    rng = np.random.default_rng(0)
    truth = np.array([2.0, -1.0, 0.0])
    v = rng.normal(size=(400, 3))
    answers = (rng.random(400) < sigmoid(v @ truth)).astype(float)
    fitted = fit(v, answers, rng=rng)
    assert fitted.w @ truth / np.linalg.norm(fitted.w) / np.linalg.norm(truth) > 0.97
    assert np.linalg.eigvalsh(fitted.hessian).min() >= 1.0
    flipped = fit(-v, 1 - answers, rng=rng)
    assert flipped.w == pytest.approx(fitted.w, abs=1e-4)


def test_ties_pull_the_model_to_indifference():
    v = np.ones((50, 1))
    assert fit(v, np.full(50, 0.5), rng=np.random.default_rng(0)).w == pytest.approx([0], abs=1e-6)


@pytest.fixture
def pool():
    rng = np.random.default_rng(1)
    pairs = np.array([(i, j) for i in range(8) for j in range(i + 1, 8)])
    return Pool(pairs, np.array([0.0, 0.1, 3, -3, 6, -6, 9, -9]), rng.normal(size=(8, 5)), np.array([1, 0, 0, np.nan, 0, 0, np.nan, 0]))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_chooses_different_pairs_with_reasons(strategy, pool):
    rng = np.random.default_rng(2)
    preference = fit(np.zeros((0, 5)), np.zeros(0), rng=rng)
    chosen = choose(strategy, pool, 6, preference, rng)
    assert len({item.pair for item in chosen}) == 6
    assert all(item.reason and np.isfinite(item.priority) for item in chosen)


def test_uncertainty_takes_the_closest_values(pool):
    best = choose("value_uncertainty", pool, 1, None, np.random.default_rng(0))[0]
    assert pool.pairs[best.pair].tolist() == [0, 1]
    assert best.priority == pytest.approx(1.0, abs=0.01)


def test_most_pairs_are_a_dream_that_touches_the_dog_and_one_that_does_not(pool):
    # Rollout 0 touches it, five others do not, of two nothing is known: five telling pairs of 28.
    chosen = choose("dreamed_contact", pool, 7, None, np.random.default_rng(0))
    telling = [item for item in chosen if "touched" in item.reason]
    assert len(telling) == 5
    assert all(pool.pairs[item.pair][0] == 0 and pool.touches[pool.pairs[item.pair][1]] == 0 for item in telling)
    assert len({item.pair for item in chosen}) == 7
    assert sum("random" in item.reason for item in choose("dreamed_contact", pool, 5, None, np.random.default_rng(0))) == 1


def test_information_gain_does_not_ask_the_same_twice():
    # Three pairs along one direction, one along another: the second pick is the other direction although it is shorter.
    features = np.array([[0.0, 0.0], [2.0, 0.0], [2.01, 0.0], [0.0, 1.5]])
    pool = Pool(np.array([(1, 0), (2, 0), (3, 0)]), np.zeros(4), features)
    preference = fit(np.zeros((0, 2)), np.zeros(0), rng=np.random.default_rng(0))
    picks = [item.pair for item in choose("information_gain", pool, 2, preference, np.random.default_rng(0))]
    assert picks == [1, 2]


def test_it_learns_faster_than_uniform():
    """The reason to have it: with the same number of answers, a better model of the preferences."""
    truth_rng = np.random.default_rng(3)
    width, answers = 12, 60
    errors: dict[str, list[float]] = {"uniform": [], "information_gain": []}
    for trial in range(4):
        features = truth_rng.normal(size=(60, width)) * np.linspace(0.2, 2.0, width)
        truth = truth_rng.normal(size=width) * 2
        test = truth_rng.normal(size=(500, width)) * np.linspace(0.2, 2.0, width)
        for strategy, found in errors.items():
            rng = np.random.default_rng(trial)
            v, y = np.zeros((0, width)), np.zeros(0)
            while len(y) < answers:
                pairs = np.array([rng.choice(60, 2, replace=False) for _ in range(64)])
                pool = Pool(pairs, np.zeros(60), features)
                picks = [item.pair for item in choose(strategy, pool, 10, fit(v, y, rng=rng), rng)]
                new = pool.differences[picks]
                v, y = np.concatenate([v, new]), np.concatenate([y, (rng.random(10) < sigmoid(new @ truth)).astype(float)])
            found.append(float((np.sign(test @ fit(v, y, rng=rng).w) != np.sign(test @ truth)).mean()))
    assert np.mean(errors["information_gain"]) < np.mean(errors["uniform"])


@pytest.mark.django_db
@pytest.mark.parametrize("strategy", ["uniform", "value_uncertainty", "dreamed_contact"])
def test_it_fills_the_queue_and_stops_when_no_pair_is_left(project, strategy):
    factories.rollouts(4)
    factories.rollouts(3)
    project.pair_strategy, project.queue_ahead = strategy, 5
    project.save()
    assert services.comparisons_make_ahead(seed=1) == {"made": 5, "wanted": 5, "strategy": strategy, "exhausted": False}
    assert services.comparisons_make_ahead(seed=1)["made"] == 0
    project.queue_ahead = 100
    project.save()
    assert services.comparisons_make_ahead(seed=2)["exhausted"]
    assert Comparison.objects.count() == 6 + 3
    assert set(Comparison.objects.values_list("strategy", flat=True)) == {strategy}


@pytest.mark.django_db
def test_it_pairs_only_what_may_be_shown(project):
    factories.rollouts(3, accepted=False)
    taken_back = factories.rollouts(3)[0].start_frame
    StartFrame.objects.filter(pk=taken_back.pk).update(state="flagged", reason="blurred")
    a, b = factories.rollouts(2)
    factories.rollouts(1, frame=a.start_frame, prompt="go to the blue ball")
    services.comparisons_make_ahead(count=10, strategy="uniform")
    assert list(Comparison.objects.values_list("rollout_a", "rollout_b")) == [(a.pk, b.pk)]
    assert services.comparisons_make_ahead(count=10, strategy="uniform", include_rejected=True)["made"] == 3


@pytest.mark.django_db
@pytest.mark.parametrize("strategy", ["disagreement", "information_gain"])
def test_active_strategies_read_the_latents_once(project, annotator, answer, strategy):
    rng = np.random.default_rng(0)
    frame, version = factories.start_frame(), factories.policy_version()
    for _ in range(6):
        latents = blob_store(save({"latents": rng.normal(size=(12, 4, 3, 3)).astype(np.float16)}), "application/octet-stream")
        factories.rollouts(1, frame=frame, version=version, latents_blob=latents)
    assert services.comparisons_make_ahead(count=4, strategy=strategy, seed=0)["made"] == 4
    assert RolloutFeatures.objects.count() == 6
    answer(annotator)
    answer(annotator, "tie")
    assert services.comparisons_make_ahead(count=4, strategy=strategy, seed=0)["made"] == 4
    assert "prediction" in Comparison.objects.last().reason or "ensemble" in Comparison.objects.last().reason


@pytest.mark.django_db
def test_the_queue_asks_for_more_only_when_that_can_help(project, run_job):
    import random

    from core.models import Job

    ask_ahead(project=project, rng=random.Random(0), empty=True)
    assert not Job.objects.exists()
    factories.rollouts(3)
    project.pair_strategy = "uniform"
    project.save()
    ask_ahead(project=project, rng=random.Random(0), empty=True)
    ask_ahead(project=project, rng=random.Random(0), empty=True)
    job = run_job(Job.objects.get())
    assert (job.state, job.result["made"]) == ("succeeded", 3)
    project = Project.current()
    assert project.supply_seen == supply_state(project=project)
    Comparison.objects.update(state="done")
    ask_ahead(project=project, rng=random.Random(0), empty=True)
    assert Job.objects.count() == 1


@pytest.mark.django_db
def test_the_command_makes_pairs_and_names_what_is_missing(project, capsys):
    a, _, _ = factories.rollouts(3)
    slug = a.start_frame.scenario_version.scenario.slug
    factories.rollouts(3)
    call_command("make_pairs", "--strategy", "uniform", "--scenario", slug, "--overlap", "2")
    assert "3 comparisons made by uniform. No pair is left." in capsys.readouterr().out
    assert set(Comparison.objects.values_list("start_frame", "required_overlap")) == {(a.start_frame_id, 2)}
    with pytest.raises(CommandError, match="no-such"):
        call_command("make_pairs", "--scenario", "no-such")
