"""Reading rounds: lists, stages, and the curves of the live page as the chart island takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count, QuerySet

from core.models import Job
from labeling.selectors import live_choices
from training.models import Round, RoundMetric
from training.services.round_settings import MIN_CHOICES, parse
from training.services.rounds import next_rollouts_key


def rounds_listed(*, state: str = "") -> QuerySet[Round]:
    rows = Round.objects.select_related("parent", "child", "created_by", "job")
    if state in Round.State.values:
        rows = rows.filter(state=state)
    return rows


def round_stages(row: Round) -> list[dict[str, Any]]:
    """The stages in order with what each is: done, current, stopped or waiting; and its seconds."""
    at = Round.STAGES.index(row.stage)
    stages = []
    for index, stage in enumerate(Round.STAGES):
        if row.state in (Round.State.PROMOTED, Round.State.REJECTED) or index < at:
            status = "done"
        elif index > at:
            status = "waiting"
        else:
            status = "current" if row.state == Round.State.RUNNING else "stopped"
        stages.append({"stage": stage, "label": Round.Stage(stage).label, "status": status, "seconds": row.seconds.get(stage)})
    return stages


def next_rollouts_job(row: Round) -> Job | None:
    """The job that dreams a promoted child's first rollouts and pairs them; None if there is none."""
    if row.state != Round.State.PROMOTED or row.child_id is None:
        return None
    return Job.objects.filter(idempotency_key=next_rollouts_key(row.child_id)).first()


def choices_preview(settings: dict[str, Any]) -> dict[str, Any]:
    """How many choices a filter finds, by answer, and whether they are enough. Raises TrainingError for a bad filter."""
    found = live_choices(parse(settings).choice_filter())
    answers = dict(found.order_by().values_list("answer").annotate(n=Count("pk")))
    total = sum(answers.values())
    return {
        "total": total,
        "answers": answers,
        "people": found.order_by().values("annotator").distinct().count(),
        "simulated": found.filter(is_simulated=True).count(),
        "enough": total >= MIN_CHOICES,
        "minimum": MIN_CHOICES,
    }


def points(row: Round, kind: str) -> list[tuple[int, dict[str, Any]]]:
    found = RoundMetric.objects.filter(round=row, stage=Round.Stage.POST_TRAIN, kind=kind).order_by("step")
    return list(found.values_list("step", "values"))


def line_chart(title: str, y: str, lines: dict[str, list[tuple[int, Any]]], styles: dict[str, dict[str, Any]] | None = None, **options: Any) -> dict[str, Any]:
    """Lines with their own steps on one axis; a step that a line lacks is a gap.

    `styles` gives a line {"color": its number, "dashed": bool}; without, the chart tells its lines apart by itself.
    """
    steps = sorted({step for values in lines.values() for step, _ in values})
    series = []
    for name, values in lines.items():
        at = dict(values)
        series.append({"name": name, "values": [at.get(step) for step in steps], **(styles or {}).get(name, {})})
    axis: dict[str, Any] = {"label": y, **{key: options[key] for key in ("min", "max") if key in options}}
    return {"kind": "line", "title": title, "x": {"label": "step", "values": steps}, "y": axis, "series": series}


def column(found: list[tuple[int, dict[str, Any]]], name: str) -> list[tuple[int, Any]]:
    return [(step, values[name]) for step, values in found if values.get(name) is not None]


def loss_chart(row: Round) -> dict[str, Any]:
    return line_chart(
        "Preference loss",
        "loss",
        {"held-out pairs": column(points(row, "held_out"), "held_out/loss"), "training": column(points(row, "train"), "preference_loss")},
    )


def accuracy_chart(row: Round) -> dict[str, Any]:
    return line_chart(
        "rewards/accuracies",
        "share of pairs",
        {
            "held-out pairs": column(points(row, "held_out"), "held_out/rewards/accuracies"),
            "training": column(points(row, "train"), "rewards/accuracies"),
        },
        min=0,
        max=1,
    )


def post_training_words(row: Round) -> str:
    """How post-training ended, in a sentence or two: early or not, and whose weights were kept. Empty until it has."""
    if not (found := row.post_train):
        return ""
    steps, patience = row.settings["dpo"]["steps"], row.settings["dpo"]["patience"]
    best, early = found["best_step"], found["stopped"] != "budget"
    ended = f"ran all {steps} steps"
    if early:
        bad = "raised an alarm or were clearly worse on held-out pairs" if found["stopped"] == "alarm" else "were clearly worse on held-out pairs"
        ended = f"stopped early, at step {found['steps']} of {steps}, after {patience} evaluation{'s in a row' if patience > 1 else ''} that {bad}"
    if not best:
        why = "none that came later was without alarm and clearly better on held-out pairs"
        return f"Post-training {ended}. It kept the parent’s weights (step 0), so the child dreams as its parent does: {why}."
    why = "" if early or best == found["steps"] else ": later ones raised an alarm or were clearly worse on held-out pairs"
    return f"Post-training {ended}. It kept the weights of step {best}{why}."


def margin_chart(row: Round) -> dict[str, Any]:
    held = points(row, "held_out")
    return line_chart(
        "rewards/margins on held-out pairs",
        "reward",
        {
            "margin": column(held, "held_out/rewards/margins"),
            "chosen": column(held, "held_out/rewards/chosen"),
            "rejected": column(held, "held_out/rewards/rejected"),
        },
    )


def error_chart(row: Round) -> dict[str, Any]:
    held = points(row, "held_out")
    return line_chart(
        "Velocity error against the parent's",
        "ratio",
        {"winner": column(held, "held_out/winner_error_ratio"), "loser": column(held, "held_out/loser_error_ratio")},
    )


def noise_chart(row: Round) -> dict[str, Any]:
    """The winner's and the loser's error by noise level: solid and dashed, a colour a level."""
    held = points(row, "held_out")
    levels: list[float] = next((values["held_out/time_levels"] for _, values in held if values.get("held_out/time_levels")), [])
    lines: dict[str, list[tuple[int, Any]]] = {}
    styles: dict[str, dict[str, Any]] = {}
    for index, level in enumerate(levels):
        for side in ("winner", "loser"):
            key = f"held_out/{side}_error_ratio_by_t"
            lines[f"{side} t={level:g}"] = [(step, values[key][index]) for step, values in held if values.get(key)]
            styles[f"{side} t={level:g}"] = {"color": index, "dashed": side == "loser"}
    return line_chart("Error by noise level, against the parent's", "ratio", lines, styles)


def motion_chart(row: Round) -> dict[str, Any]:
    held = points(row, "held_out")
    return line_chart("Motion of dreams, against the parent's", "ratio", {"motion": column(held, "held_out/motion_ratio")}, min=0)


def drift_chart(row: Round) -> dict[str, Any]:
    held = points(row, "held_out")
    return line_chart(
        "Drift from the parent", "squared velocity", {"held-out": column(held, "held_out/drift"), "training": column(points(row, "train"), "drift")}
    )


def reliability_chart(row: Round) -> dict[str, Any]:
    """Reliability of the refreshed head, cross-validated over start frames."""
    report = (row.value_head or {}).get("after") or {}
    bins = [{"predicted": bin_["predicted"], "observed": bin_["observed"], "n": bin_["n"]} for bin_ in report.get("reliability", [])]
    return {"kind": "reliability", "title": "Value head: P(a is chosen)", "bins": bins}


CHARTS: dict[str, Callable[[Round], dict[str, Any]]] = {
    "loss": loss_chart,
    "accuracy": accuracy_chart,
    "margins": margin_chart,
    "errors": error_chart,
    "noise": noise_chart,
    "motion": motion_chart,
    "drift": drift_chart,
    "reliability": reliability_chart,
}


def round_chart(row: Round, name: str) -> dict[str, Any]:
    """Raises KeyError for a chart that does not exist."""
    return CHARTS[name](row)
