"""Evaluations: play a suite with a version, episode by episode, and sum it up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from core import audit
from core.events import publish
from core.jobs import JobContext, submit
from core.models import Job
from rollouts.models import PolicyVersion, Scenario
from rollouts.services import policy_load, policy_version_record_metrics
from training.learn.gate import ADVERSARIAL, ORDINARY, Outcome, Pair
from training.learn.statistics import wilson
from training.learn.suites import USUAL_LOOP, Scene, SuiteEpisode, suite_episodes
from training.models import Episode, Evaluation
from training.services.errors import TrainingError
from training.services.round_settings import SuiteSettings

# Episodes are played in batches of this size and kept batch by batch: what a killed job loses.
BATCH = 32
# Of so many episodes at the beginning of either kind the first dream and what really happened are kept to be looked at.
KEPT = 8


def suite_hash(suite: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(suite, sort_keys=True).encode()).hexdigest()


def suite_of(settings: SuiteSettings) -> dict[str, Any]:
    """The suite with its scenes and the way a policy acts spelled out: a scenario that is edited later, or a loop that is set otherwise, must not
    change what a suite means.

    Raises TrainingError for a scenario that is not there.
    """
    scenes = []
    for slug in settings.scenarios:
        scenario = Scenario.objects.filter(slug=slug).first()
        if scenario is None:
            raise TrainingError(f"There is no scenario “{slug}”.", "no_scenario")
        current = scenario.current
        scenes.append({"name": slug, "prompt": current.prompt, "factors": current.factors})
    return {**settings.to_dict(), "scenes": scenes, "loop": USUAL_LOOP.to_dict()}


def evaluation_ensure(*, version: PolicyVersion, settings: SuiteSettings, created_by: Any = None) -> Evaluation:
    """The evaluation of this version on this suite, new or as it is."""
    suite = suite_of(settings)
    row, _ = Evaluation.objects.get_or_create(policy_version=version, suite_hash=suite_hash(suite), defaults={"suite": suite, "created_by": created_by})
    return row


@transaction.atomic
def evaluation_start(*, version: PolicyVersion, settings: dict[str, Any] | None = None, created_by: Any = None) -> Evaluation:
    """Queue an evaluation by itself, outside a round. One that is done already is returned as it is.

    Raises TrainingError for impossible settings.
    """
    try:
        parsed = SuiteSettings(**{**(settings or {}), "scenarios": tuple((settings or {}).get("scenarios", ()))})
    except (TypeError, ValueError) as error:
        raise TrainingError(f"These settings cannot be used: {error}.", "bad_settings") from error
    row = evaluation_ensure(version=version, settings=parsed, created_by=created_by)
    if row.state != Evaluation.State.DONE and (row.job is None or row.job.is_finished):
        row.state = Evaluation.State.RUNNING
        row.job = submit(kind="training.evaluate", params={"evaluation": row.pk}, created_by=created_by)
        row.save(update_fields=["job", "state"])
        audit.record(actor=created_by, action="evaluation.start", target=row, after={"version": version.name, "suite": row.suite})
    return row


def episodes_of(evaluation: Evaluation) -> list[SuiteEpisode]:
    suite = evaluation.suite
    return suite_episodes(
        adversarial=suite["adversarial"],
        ordinary=suite["ordinary"],
        seed=suite["seed"],
        scenes=[Scene(scene["name"], scene["factors"], scene["prompt"]) for scene in suite.get("scenes", [])],
    )


def evaluation_run(*, evaluation: Evaluation, ctx: JobContext, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Play what is still missing, batch by batch, and write the summary. Returns the summary.

    Batches always hold the same episodes, so that a resumed evaluation plays what an unbroken one would.
    """
    from training.services.playing import play  # torch and MuJoCo: only where episodes are played

    if evaluation.state == Evaluation.State.DONE:
        return evaluation.summary
    if evaluation.state == Evaluation.State.FAILED:  # its job is run again
        with ctx.fence():
            Evaluation.objects.filter(pk=evaluation.pk).update(state=Evaluation.State.RUNNING)
    episodes = episodes_of(evaluation)
    policy = policy_load(evaluation.policy_version)
    first_ordinary = evaluation.suite["adversarial"] // BATCH * BATCH
    done = set(evaluation.episodes.values_list("index", flat=True))
    for start in range(0, len(episodes), BATCH):
        batch = episodes[start : start + BATCH]
        progress(start, len(episodes))
        if done.issuperset(episode.index for episode in batch):
            continue
        tick = partial(progress, start, len(episodes))
        keep = KEPT if start in (0, first_ordinary) else 0
        rows = play(policy, batch, evaluation=evaluation, tick=tick, keep=keep)
        with ctx.fence():
            Episode.objects.bulk_create(rows, ignore_conflicts=True)
            publish(evaluation.topic, "episodes", {"done": start + len(batch), "total": len(episodes)})
    progress(len(episodes), len(episodes))
    summary = summarise(list(evaluation.episodes.all()))
    with ctx.fence():
        Evaluation.objects.filter(pk=evaluation.pk).update(state=Evaluation.State.DONE, summary=summary, finished_at=timezone.now())
        policy_version_record_metrics(
            version=evaluation.policy_version, metrics={"evaluation": {"id": evaluation.pk, "suite": evaluation.suite_hash[:12], **summary}}
        )
        publish(evaluation.topic, "done", summary)
    evaluation.refresh_from_db()
    return summary


def evaluations_reconcile() -> int:
    """Say of evaluations whose own job ended without them (failed, cancelled, its worker died too often) that they stopped.

    What they played is kept; running the job again, or asking for the evaluation again, goes on from there. Returns how many.
    """
    ended = [Job.State.FAILED, Job.State.CANCELLED]
    return Evaluation.objects.filter(state=Evaluation.State.RUNNING, job__state__in=ended).update(state=Evaluation.State.FAILED)


def summarise(episodes: list[Episode]) -> dict[str, Any]:
    """Rates with Wilson intervals per kind, and the mean of what the value head predicted."""
    summary: dict[str, Any] = {}
    for kind in (ADVERSARIAL, ORDINARY):
        rows = [row for row in episodes if row.kind == kind]
        predicted = [row.predicted for row in rows if row.predicted is not None]
        summary[kind] = {
            "episodes": len(rows),
            "success": wilson(sum(row.success for row in rows), len(rows)).to_dict() if rows else None,
            "contact": wilson(sum(row.dog_contact for row in rows), len(rows)).to_dict() if rows else None,
            "clean": wilson(sum(row.clean_success for row in rows), len(rows)).to_dict() if rows else None,
            "predicted": sum(predicted) / len(predicted) if predicted else None,
        }
    return summary


def evaluation_pairs(*, parent: Evaluation, child: Evaluation) -> list[Pair]:
    """The same episodes of two evaluations of one suite, side by side.

    Raises TrainingError if they are of different suites or not both complete.
    """
    if parent.suite_hash != child.suite_hash:
        raise TrainingError("Parent and child were evaluated on different suites.", "unpaired")
    before = {row.index: row for row in parent.episodes.all()}
    after = {row.index: row for row in child.episodes.all()}
    if before.keys() != after.keys() or len(before) != len(episodes_of(parent)):
        raise TrainingError("One of the two evaluations is incomplete.", "incomplete")
    return [
        Pair(
            before[index].kind,
            before[index].scenario,
            Outcome(before[index].success, before[index].dog_contact),
            Outcome(after[index].success, after[index].dog_contact),
        )
        for index in sorted(before)
    ]
