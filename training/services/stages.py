"""What each stage of a round does. Every one can be started again at any moment and comes to the same result.

A stage reads the round, works, and ends in `round_advance` (or `round_decide`) inside its fence.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import time
from typing import Any, cast

from django.conf import settings as site_settings

from core.events import publish
from core.jobs import JobContext
from rollouts.dreams.transformer import VideoTransformer
from rollouts.dreams.value_head import ValueHead
from rollouts.models import PolicyVersion
from rollouts.services import policy_load, policy_version_create, policy_version_materialize
from training.learn.gate import decide
from training.learn.policy_flow import PolicyFlow
from training.learn.post_train import PostTrain
from training.learn.preferences import PreferenceData, TextTable
from training.learn.value_refresh import ValueHeadSettings, refresh
from training.models import Evaluation, Round, RoundMetric
from training.services.errors import TrainingError
from training.services.evaluations import evaluation_ensure, evaluation_pairs, evaluation_run
from training.services.round_settings import RoundSettings, parse
from training.services.rounds import round_advance, round_at_stage, round_decide
from training.services.snapshots import snapshot_directory, snapshot_stage, work_directory


def stage_run(*, round_id: int, stage: str, ctx: JobContext) -> dict[str, Any]:
    """Run one stage of a round, if this job is still the one to do it."""
    row = round_at_stage(round_id=round_id, stage=stage, job=ctx.job)
    if row is None:
        return {"skipped": "the round went on, or was cancelled"}
    return RUN[Round.Stage(stage)](row, parse(row.settings), ctx)


def run_snapshot(row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    counts, seconds = snapshot_stage(row=row, settings=settings, ctx=ctx)
    with ctx.fence():
        round_advance(row=row, stage=Round.Stage.SNAPSHOT, seconds=seconds)
    return counts


def run_post_train(row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    """DPO against the parent, from the last checkpoint if there is one."""
    started = time.monotonic()
    directory = snapshot_directory(row.snapshot)
    policy = policy_load(row.parent)
    steps = settings.dpo.steps

    def on_metrics(step: int, metrics: dict[str, Any]) -> None:
        kind = "held_out" if any(name.startswith("held_out/") for name in metrics) else "train"
        with ctx.fence():
            RoundMetric.objects.update_or_create(round=row, stage=Round.Stage.POST_TRAIN, kind=kind, step=step, defaults={"values": metrics})
            if kind == "held_out":
                publish(row.topic, "metrics", {"stage": Round.Stage.POST_TRAIN, "step": step, "steps": steps})
            for alarm in metrics.get("alarms", []):
                publish(row.topic, "alarm", alarm)
        ctx.progress(step, steps, f"step {step} of {steps}")

    recipe = PostTrain(
        settings.dpo,
        PreferenceData.load(directory),
        copy.deepcopy(policy.world_model),  # the loaded parent is shared with whatever this process does next
        text_encoder(policy),
        work_directory(row) / "post_train",
        view=PolicyFlow.of,
        own_C=policy.motion.own,
        identity=f"{row.parent.components['world_model']}:{row.snapshot.sha256}",
        on_metrics=on_metrics,
        check_cancelled=ctx.check_cancelled,
    )
    result = recipe.run()
    end = {"stopped": result.stopped, "steps": result.steps, "best_step": result.best_step}
    with ctx.fence():
        round_advance(row=row, stage=Round.Stage.POST_TRAIN, seconds=time.monotonic() - started, alarms=result.alarms, post_train=end)
    return {**end, "sha256": result.sha256, "theta": result.theta, "metrics": result.metrics}


def run_value_head(row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    """Refresh the value head on the child's features, then register the child."""
    from rollouts.dreams.weights import load_part, save_part

    started = time.monotonic()
    data = PreferenceData.load(snapshot_directory(row.snapshot))
    policy = policy_load(row.parent)
    weights = work_directory(row) / "post_train" / "world_model.safetensors"
    if not weights.exists():
        raise TrainingError("The trained weights are not on this host. Give the workers one DREAMFORK_HOME, or cancel and start a new round.", "no_weights")
    directory = work_directory(row) / "child"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(policy_version_materialize(row.parent), directory)
    shutil.copyfile(weights, directory / "world_model.safetensors")
    network = cast(VideoTransformer, load_part(directory, "world_model"))
    head, report = refresh(
        cast(ValueHead, load_part(directory, "value_head")),
        network,
        data,
        TextTable(text_encoder(policy), data.prompts),
        ValueHeadSettings.from_dict(settings.value_head),
        policy.motion,
        tick=lambda done, total, text: ctx.progress(done, total, text),
    )
    save_part(directory, "value_head", head)
    lineage = {
        "round": row.pk,
        "data_snapshot": row.snapshot.sha256,
        "choices": row.snapshot.counts["choices"],
        "code_revision": code_revision(),
        "settings": row.settings,
        "seeds": {"dpo": settings.dpo.seed, "suite": settings.suite.seed},
        "parent": row.parent.name,
    }
    lineage["card"] = model_card(row, report)
    with ctx.fence():
        child = PolicyVersion.objects.filter(name=row.name).first() or policy_version_create(
            name=row.name,
            directory=directory,
            parent=row.parent,
            lineage=lineage,
            metrics={"value_head": report, "alarms": row.alarms},
            created_by=row.created_by,
        )
        round_advance(row=row, stage=Round.Stage.VALUE_HEAD, seconds=time.monotonic() - started, child=child, value_head=report)
    return {"version": child.pk, "before": report["before"]["pair_accuracy"], "after": report["after"]["pair_accuracy"]}


def run_evaluate(row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    """Parent and child on the same episodes. A parent that played this suite before is not played again."""
    started = time.monotonic()
    versions = [("parent", row.parent), ("child", child_of(row))]
    found: dict[str, Any] = {}
    for number, (role, version) in enumerate(versions):
        evaluation = evaluation_ensure(version=version, settings=settings.suite, created_by=row.created_by)

        def progress(done: int, total: int, number: int = number, role: str = role) -> None:
            ctx.progress(number + done / total, len(versions), f"{role}: {done} of {total} episodes")

        found[role] = {"evaluation": evaluation.pk, **evaluation_run(evaluation=evaluation, ctx=ctx, progress=progress)}
    with ctx.fence():
        round_advance(row=row, stage=Round.Stage.EVALUATE, seconds=time.monotonic() - started)
    return found


def run_gate(row: Round, settings: RoundSettings, ctx: JobContext) -> dict[str, Any]:
    started = time.monotonic()
    rows = [evaluation_ensure(version=version, settings=settings.suite) for version in (row.parent, child_of(row))]
    if any(evaluation.state != Evaluation.State.DONE for evaluation in rows):
        raise TrainingError("The evaluation of parent or child is not complete.", "incomplete")
    report = decide(evaluation_pairs(parent=rows[0], child=rows[1]), settings.gate)
    report["evaluations"] = {"parent": rows[0].pk, "child": rows[1].pk}
    with ctx.fence():
        round_decide(row=row, report=report, seconds=time.monotonic() - started)
    return {"promote": report["promote"], "reasons": report["reasons"]}


RUN = {
    Round.Stage.SNAPSHOT: run_snapshot,
    Round.Stage.POST_TRAIN: run_post_train,
    Round.Stage.VALUE_HEAD: run_value_head,
    Round.Stage.EVALUATE: run_evaluate,
    Round.Stage.GATE: run_gate,
}


def model_card(row: Round, report: dict[str, Any]) -> str:
    """What a version is, in words, as far as it is known before its evaluation; the rest is in its metrics."""
    counts = row.snapshot.counts
    after, before = report["after"]["pair_accuracy"], report["before"]["pair_accuracy"]
    lines = [
        f"# {row.name}",
        "",
        f"Child of {row.parent.name}, post-trained by Flow-DPO in round {row.pk}. Codec, inverse dynamics, probe and start-frame generator are its parent's.",
        "",
        f"- Learned from {counts['choices']} choices of {counts['annotators']} annotators ({counts['simulated']} simulated):",
        f"  {counts['pairs']} preferences ({counts['ties']} ties, {counts['segments']} of segments) over {counts['clips']} rollouts of",
        f"  {counts['start_frames']} start frames; {counts.get('mirrored', 0)} preferences once more in a mirror; {counts['replay']} real clips replayed.",
        f"- Snapshot `{row.snapshot.sha256}`, code `{code_revision() or 'unknown'}`, seed {row.settings['dpo']['seed']}.",
        f"- Alarms while it trained: {len(row.alarms)}.",
    ]
    if after and before:
        lines.append(
            f"- Value head on held-out pairs: {after['value']:.2f} [{after['low']:.2f}, {after['high']:.2f}], n {after['n']}; was {before['value']:.2f}."
        )
    lines += ["", "Limits: as its parent's. Judged in the household world only; see its evaluations for contacts and success with intervals."]
    return "\n".join(lines)


def child_of(row: Round) -> PolicyVersion:
    """The version that the round made. Raises TrainingError before it has."""
    if row.child is None:
        raise TrainingError("The round has not made its version yet.", "no_child")
    return row.child


def text_encoder(policy: Any):
    """Prompts -> (states, mask), as the policy's own sampler encodes them."""
    limit = policy.world_model.config.text_tokens
    return lambda prompts: policy.text.encode(prompts, limit)


def code_revision() -> str:
    """The commit that this code is, with "-dirty" if it was changed; empty where there is no git."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=site_settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.strip()
