"""Fit the annotator model on the choices that are there, and keep what came out."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from labeling.models import AnnotatorEstimate, Choice, Comparison
from labeling.quality import Observation, fit_annotators

# Newest choices of a fit; more would not move an estimate and cost seconds.
NEWEST = 20_000


def annotator_estimates_fit(*, force: bool = False) -> list[AnnotatorEstimate]:
    """One estimate for each annotator, from their live choices (excluded ones too: an excluded person is still measured).

    Does nothing when no choice was made or taken back since the last fit, unless forced.
    """
    last = AnnotatorEstimate.objects.aggregate(last=Max("fitted_at"))["last"]
    if last and not force and not Choice.objects.filter(created_at__gt=last).exists():
        return []
    choices = list(
        Choice.objects.filter(undone_by__isnull=True, answer__in=["a", "b", "tie"])
        .order_by("-created_at")
        .values_list("annotator", "answer", "lease__swapped", "comparison__rollout_a", "comparison__rollout_b")[:NEWEST]
    )
    observations = []
    for annotator, answer, swapped, a, b in choices:
        left, right = (b, a) if swapped else (a, b)
        share = 0.5 if answer == "tie" else float((answer == "b") == swapped)
        observations.append(Observation(annotator, left, right, share))
    gold = [
        (a, b) if answer == "a" else (b, a)
        for a, b, answer in Comparison.objects.filter(kind=Comparison.Kind.GOLD, gold_answer__in=["a", "b"]).values_list(
            "rollout_a", "rollout_b", "gold_answer"
        )
    ]
    now = timezone.now()
    with transaction.atomic():
        return AnnotatorEstimate.objects.bulk_create(
            AnnotatorEstimate(annotator_id=fit.annotator, fitted_at=now, skill=fit.skill, left_bias=fit.left_bias, weight=fit.weight, choices=fit.n)
            for fit in fit_annotators(observations, gold)
        )
