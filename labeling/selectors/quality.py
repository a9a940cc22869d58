"""The quality of annotators: per person, over all, and over time. Excluded choices are shown here, and named as such."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Count, F, Q
from django.utils import timezone

from core.models import User
from labeling.models import AnnotatorEstimate, AnnotatorProfile, Choice, Comparison, Exclusion, Lease, Project, Webhook
from labeling.quality import krippendorff_alpha
from rollouts.intervals import wilson

from .rounds import ChoiceFilter, live_choices

# Straight-lining: this many answers of one key in a row, or this share of one side over the latest answers.
SAME_IN_A_ROW = 12
LATEST = 200
ONE_SIDE_SHARE = 0.8
TOO_FAST_SHARE = 0.2
# Below this many answers a share says too little to flag anybody.
ENOUGH = 20
GOLD_FLOOR = 0.6
SKILL_FLOOR = 0.5
QUEUE_COUNT = 10_000
DAYS_SHOWN = 30

PER_ANNOTATOR_SQL = """
SELECT ch.annotator_id,
       count(*) AS n,
       count(*) FILTER (WHERE ch.side = 'left') AS "left",
       count(*) FILTER (WHERE ch.side = 'right') AS "right",
       count(*) FILTER (WHERE ch.answer = 'tie') AS ties,
       count(*) FILTER (WHERE ch.response_ms < %(too_fast)s) AS fast,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ch.response_ms) AS median_ms,
       count(*) FILTER (WHERE c.kind = 'gold') AS gold,
       count(*) FILTER (WHERE c.kind = 'gold' AND ch.answer = c.gold_answer) AS gold_right,
       max(ch.created_at) AS last_at
FROM labeling_choice ch JOIN labeling_comparison c ON c.id = ch.comparison_id
WHERE ch.undone_by_id IS NULL GROUP BY ch.annotator_id
"""
REPEATS_SQL = """
SELECT again.annotator_id, count(*), count(*) FILTER (WHERE again.answer = first.answer)
FROM labeling_choice again
JOIN labeling_comparison c ON c.id = again.comparison_id AND c.kind = 'repeat'
JOIN labeling_choice first ON first.comparison_id = c.repeat_of_id AND first.annotator_id = again.annotator_id
     AND first.undone_by_id IS NULL
WHERE again.undone_by_id IS NULL GROUP BY again.annotator_id
"""
WITH_OTHERS_SQL = """
SELECT mine.annotator_id, count(*), count(*) FILTER (WHERE mine.answer = theirs.answer)
FROM labeling_choice mine
JOIN labeling_choice theirs ON theirs.comparison_id = mine.comparison_id AND theirs.annotator_id <> mine.annotator_id
     AND theirs.undone_by_id IS NULL
WHERE mine.undone_by_id IS NULL GROUP BY mine.annotator_id
"""
BY_DAY_SQL = """
SELECT date_trunc('day', ch.created_at) AS day,
       count(*) AS n,
       count(*) FILTER (WHERE c.kind = 'gold') AS gold,
       count(*) FILTER (WHERE c.kind = 'gold' AND ch.answer = c.gold_answer) AS gold_right,
       count(*) FILTER (WHERE ch.side = 'left') AS "left",
       count(*) FILTER (WHERE ch.side = 'right') AS "right",
       percentile_cont(0.5) WITHIN GROUP (ORDER BY ch.response_ms) AS median_ms
FROM labeling_choice ch JOIN labeling_comparison c ON c.id = ch.comparison_id
WHERE ch.undone_by_id IS NULL AND ch.created_at >= %(since)s AND (%(annotator)s IS NULL OR ch.annotator_id = %(annotator)s)
GROUP BY day ORDER BY day
"""


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with the 95% Wilson interval."""

    count: int
    n: int

    @property
    def value(self) -> float | None:
        return self.count / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.count, self.n) if self.n else None


@dataclass
class AnnotatorQuality:
    """What the quality page shows of one annotator."""

    user: User
    is_simulated: bool = False
    qualification: str = "none"
    n: int = 0
    last_at: datetime | None = None
    median_ms: float | None = None
    ties: Share = Share(0, 0)
    left: Share = Share(0, 0)
    fast: Share = Share(0, 0)
    gold: Share = Share(0, 0)
    repeats: Share = Share(0, 0)
    with_others: Share = Share(0, 0)
    skill: float | None = None
    left_bias: float | None = None
    weight: float | None = None
    fitted_at: datetime | None = None
    flags: list[str] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)


def annotators_quality(*, annotator: User | None = None) -> list[AnnotatorQuality]:
    """Everyone who answered (or one annotator), most answers first."""
    project = Project.current()
    rows = {row["annotator_id"]: row for row in _dicts(PER_ANNOTATOR_SQL, {"too_fast": project.too_fast_ms})}
    if annotator is not None:
        rows = {key: row for key, row in rows.items() if key == annotator.pk}
        rows.setdefault(annotator.pk, {"annotator_id": annotator.pk, "n": 0})
    people = User.objects.in_bulk(list(rows))
    profiles = AnnotatorProfile.objects.in_bulk(list(rows))
    repeats = {person: (n, same) for person, n, same in _rows(REPEATS_SQL)}
    others = {person: (n, same) for person, n, same in _rows(WITH_OTHERS_SQL)}
    estimates = {estimate.annotator_id: estimate for estimate in AnnotatorEstimate.objects.order_by("annotator_id", "-fitted_at").distinct("annotator_id")}
    exclusions: dict[int, list[Exclusion]] = defaultdict(list)
    for exclusion in Exclusion.objects.filter(annotator__in=rows).select_related("created_by", "lifted_by"):
        exclusions[exclusion.annotator_id].append(exclusion)
    result = []
    for person, row in rows.items():
        profile, estimate = profiles.get(person), estimates.get(person)
        n, same = repeats.get(person, (0, 0))
        n_others, same_others = others.get(person, (0, 0))
        quality = AnnotatorQuality(
            user=people[person],
            is_simulated=bool(profile and profile.is_simulated),
            qualification=profile.qualification if profile else "none",
            n=row["n"],
            exclusions=exclusions[person],
            repeats=Share(same, n),
            with_others=Share(same_others, n_others),
        )
        if row["n"]:
            quality.last_at, quality.median_ms = row["last_at"], row["median_ms"]
            quality.ties, quality.fast = Share(row["ties"], row["n"]), Share(row["fast"], row["n"])
            quality.left = Share(row["left"], row["left"] + row["right"])
            quality.gold = Share(row["gold_right"], row["gold"])
        if estimate:
            quality.skill, quality.left_bias = estimate.skill, estimate.left_bias
            quality.weight, quality.fitted_at = estimate.weight, estimate.fitted_at
        quality.flags = _flags(quality)
        result.append(quality)
    return sorted(result, key=lambda quality: -quality.n)


def _flags(quality: AnnotatorQuality) -> list[str]:
    flags = []
    fast, left, gold = (share.value or 0.0 for share in (quality.fast, quality.left, quality.gold))
    if quality.fast.n >= ENOUGH and fast > TOO_FAST_SHARE and not quality.is_simulated:
        flags.append(f"Too fast: {fast:.0%} of answers")
    interval = quality.left.interval
    if quality.left.n >= ENOUGH and interval and (interval[0] > 0.5 or interval[1] < 0.5) and not 1 - ONE_SIDE_SHARE <= left <= ONE_SIDE_SHARE:
        flags.append(f"One side: {left:.0%} left")
    latest = list(Choice.objects.filter(annotator=quality.user, undone_by__isnull=True).order_by("-created_at").values_list("side", "answer")[:LATEST])
    run = _longest_run([side if side != "neither" else answer for side, answer in latest])
    if run >= SAME_IN_A_ROW:
        flags.append(f"Straight-lining: {run} times the same key in a row")
    if quality.gold.n >= ENOUGH // 2 and gold < GOLD_FLOOR:
        flags.append(f"Gold: {gold:.0%} right")
    if quality.skill is not None and quality.n >= ENOUGH and quality.skill < SKILL_FLOOR:
        flags.append(f"Low skill: {quality.skill:.2f}")
    if quality.qualification == AnnotatorProfile.Qualification.FAILED:
        flags.append("Failed the qualifying set")
    return flags


def _longest_run(words: list[str]) -> int:
    longest = run = 0
    before = None
    for word in words:
        run = run + 1 if word == before else 1
        longest, before = max(longest, run), word
    return longest


def overall() -> dict:
    """Agreement over all choices that count: Krippendorff's alpha of answers and of success flags, gold, repeats, sides."""
    rows = list(
        live_choices(ChoiceFilter(answers=("a", "b", "tie", "both_bad"))).values_list(
            "annotator", "comparison", "answer", "success_a", "success_b", "comparison__rollout_a", "comparison__rollout_b"
        )
    )
    alpha, units = krippendorff_alpha((person, unit, answer) for person, unit, answer, *_ in rows)
    flags = [(row[0], rollout, str(flag)) for row in rows for rollout, flag in ((row[5], row[3]), (row[6], row[4])) if flag is not None]
    success_alpha, success_units = krippendorff_alpha(flags)
    people = annotators_quality()
    return {
        "choices": len(rows),
        "annotators": len(people),
        "alpha": alpha,
        "alpha_units": units,
        "success_alpha": success_alpha,
        "success_units": success_units,
        "gold": Share(sum(p.gold.count for p in people), sum(p.gold.n for p in people)),
        "repeats": Share(sum(p.repeats.count for p in people), sum(p.repeats.n for p in people)),
        "left": Share(sum(p.left.count for p in people), sum(p.left.n for p in people)),
        "ties": Share(sum(p.ties.count for p in people), sum(p.ties.n for p in people)),
        "people": people,
    }


def over_time(*, annotator: User | None = None, days: int = 60) -> list[dict]:
    """Per day: answers, gold accuracy, share of left, median response time; of one annotator or of all."""
    since = timezone.now() - timedelta(days=days)
    return _dicts(BY_DAY_SQL, {"since": since, "annotator": annotator.pk if annotator else None})


def time_charts(*, annotator: User | None = None) -> list[dict]:
    """`over_time` (and the fits of the annotator model) as props of the chart island."""
    today = timezone.localtime().date()
    found = {(row["day"].date() - today).days: row for row in over_time(annotator=annotator, days=DAYS_SHOWN)}
    x = list(range(1 - DAYS_SHOWN, 1))
    nothing = {"n": 0, "gold": 0, "gold_right": 0, "left": 0, "right": 0}
    days = [found.get(day, nothing) for day in x]
    shares = [
        {"name": "gold right", "values": [_ratio(day["gold_right"], day["gold"]) for day in days]},
        {"name": "left", "values": [_ratio(day["left"], day["left"] + day["right"]) for day in days]},
    ]
    charts = [
        {
            "title": "Answers by day",
            "kind": "points",
            "x": {"label": "days from today", "values": x},
            "y": {"label": "answers", "min": 0},
            "series": [{"name": "answers", "values": [day["n"] for day in days]}],
        },
        {
            "title": "Gold accuracy and share of left",
            "kind": "points",
            "x": {"label": "days from today", "values": x},
            "y": {"label": "share", "min": 0, "max": 1},
            "series": shares,
        },
    ]
    if annotator is not None:
        fits = list(AnnotatorEstimate.objects.filter(annotator=annotator).order_by("-fitted_at")[:100])[::-1]
        now = timezone.now()
        ago = [round((fit.fitted_at - now).total_seconds() / 86400, 3) for fit in fits]
        charts.append(
            {
                "title": "Skill and left bias by fit",
                "kind": "points",
                "x": {"label": "days from now", "values": ago, "min": min([-1.0, *ago]), "max": 0},  # one fit alone would be drawn in milliseconds
                "y": {"label": "share", "min": 0, "max": 1},
                "series": [
                    {"name": "skill", "values": [round(fit.skill, 4) for fit in fits]},
                    {"name": "left bias", "values": [round(fit.left_bias, 4) for fit in fits]},
                ],
            }
        )
    return charts


def queue_state() -> dict:
    """How full the queue is; exact counts of a million rows would cost more than they tell, so each stops at QUEUE_COUNT."""
    comparisons = Comparison.objects.filter(kind=Comparison.Kind.NORMAL)
    waiting = comparisons.filter(state=Comparison.State.OPEN, free_slots__gt=0)
    return {
        "waiting": waiting.values("pk")[:QUEUE_COUNT].count(),
        "leased": Lease.objects.filter(state=Lease.State.ACTIVE, expires_at__gt=timezone.now()).count(),
        "done": comparisons.filter(state=Comparison.State.DONE).values("pk")[:QUEUE_COUNT].count(),
        "at_most": QUEUE_COUNT,
        "strategy": Project.current().get_pair_strategy_display(),
    }


def flagged_comparisons(limit: int = 50):
    """Pairs that annotators flagged and nobody has looked at, with the reasons given."""
    return (
        Comparison.objects.filter(flagged_at__isnull=False)
        .exclude(state=Comparison.State.RETIRED)
        .select_related("rollout_a", "rollout_b")
        .prefetch_related("skips__annotator")
        .order_by("-flagged_at")[:limit]
    )


def _ratio(count: int, n: int) -> float | None:
    return round(count / n, 4) if n else None


def _rows(sql: str, params: dict | None = None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _dicts(sql: str, params: dict | None = None) -> list[dict]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def gold_pairs():
    """Gold comparisons with how often they were answered right."""
    return (
        Comparison.objects.filter(kind=Comparison.Kind.GOLD)
        .select_related("rollout_a__sprite", "rollout_b__sprite", "start_frame__image")
        .annotate(
            n=Count("choices", filter=Q(choices__undone_by__isnull=True)),
            right=Count("choices", filter=Q(choices__undone_by__isnull=True, choices__answer=F("gold_answer"))),
        )
        .order_by("state", "-qualifying", "-id")[:200]
    )


def unanimous_pairs(at_least: int = 2, limit: int = 12) -> list[dict]:
    """Comparisons on which several annotators agree that one is better: candidates for gold."""
    found = (
        Choice.objects.filter(undone_by__isnull=True, comparison__kind=Comparison.Kind.NORMAL, is_simulated=False)
        .values("comparison", "comparison__rollout_a__prompt")
        .annotate(n=Count("pk"), a=Count("pk", filter=Q(answer="a")), b=Count("pk", filter=Q(answer="b")))
        .filter(Q(a=F("n")) | Q(b=F("n")), n__gte=at_least)
        .order_by("-n", "-comparison")[:limit]
    )
    return [
        {"comparison": row["comparison"], "prompt": row["comparison__rollout_a__prompt"], "n": row["n"], "answer": "a" if row["a"] else "b"} for row in found
    ]


def webhooks():
    return Webhook.objects.annotate(
        delivered=Count("deliveries", filter=Q(deliveries__state="delivered")),
        pending=Count("deliveries", filter=Q(deliveries__state="pending")),
        failed=Count("deliveries", filter=Q(deliveries__state="failed")),
    ).order_by("id")
