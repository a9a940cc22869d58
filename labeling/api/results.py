"""Exports, the leaderboard and the quality of annotators for programs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers as s
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.permissions import HasRole
from labeling import exports
from labeling.errors import Invalid
from labeling.forms import ChoiceFilterForm
from labeling.models import Choice
from labeling.selectors import quality
from labeling.selectors.leaderboard import versions_ranked
from labeling.selectors.rounds import ChoiceFilter
from labeling.views.results import CONTENT_TYPES, export_response

from .base import refusing

FILTERS = [
    OpenApiParameter("scenario", str, many=True, description="Slugs of scenarios."),
    OpenApiParameter("version", str, many=True, description="Names of policy versions: both rollouts come from these."),
    OpenApiParameter("answer", str, many=True, enum=["a", "b", "tie", "both_bad", "cant_tell"]),
    OpenApiParameter("kind", str, many=True, enum=["normal", "gold", "repeat"]),
    OpenApiParameter("source", str, enum=["people", "simulated"]),
    OpenApiParameter("since", OpenApiTypes.DATETIME),
    OpenApiParameter("until", OpenApiTypes.DATETIME),
    OpenApiParameter("qualified_only", bool),
    OpenApiParameter("include_excluded", bool),
]
RESUME = [
    OpenApiParameter("as", str, enum=["jsonl", "parquet"], description="Default jsonl."),
    OpenApiParameter("after", OpenApiTypes.UUID, description="Go on after this choice, the last whole row of a broken download."),
    OpenApiParameter("end", OpenApiTypes.DATETIME, description="X-Export-Until of the broken download."),
]


class Standing(s.Serializer):
    rank = s.IntegerField()
    version = s.CharField()
    rating = s.FloatField()
    low = s.FloatField(help_text="2.5% bootstrap quantile.")
    high = s.FloatField(help_text="97.5% bootstrap quantile.")
    wins = s.IntegerField()
    losses = s.IntegerField()
    ties = s.IntegerField()
    n = s.IntegerField()


class LeaderboardAnswer(s.Serializer):
    comparisons = s.IntegerField()
    standings = Standing(many=True)


class ExportView(APIView):
    """Choices with provenance as one stream of JSON lines, or as parquet."""

    permission_classes = [HasRole("researcher")]

    @extend_schema(parameters=[*FILTERS, *RESUME], responses={(200, content_type): OpenApiTypes.BINARY for content_type in CONTENT_TYPES.values()})
    @refusing
    def get(self, request):
        where = choice_filter(request.query_params)
        kind = request.query_params.get("as", "jsonl")
        if kind not in CONTENT_TYPES:
            raise Invalid("as is jsonl or parquet.")
        after = request.query_params.get("after")
        if after is not None:
            after = _known_choice(after)
        return export_response(request, where, kind, after, _end(request.query_params.get("end")))


class CardView(APIView):
    """The data card of such an export, Markdown."""

    permission_classes = [HasRole("researcher")]

    @extend_schema(parameters=FILTERS, responses={(200, "text/markdown"): OpenApiTypes.STR})
    @refusing
    def get(self, request):
        card = exports.data_card(choice_filter(request.query_params), until=exports.rows.settled_now())
        return HttpResponse(card, content_type="text/markdown; charset=utf-8")


class LeaderboardView(APIView):
    """Policy versions by Bradley-Terry with ties."""

    permission_classes = [HasRole("researcher")]

    @extend_schema(parameters=FILTERS, responses={200: LeaderboardAnswer})
    @refusing
    def get(self, request):
        board = versions_ranked(choice_filter(request.query_params))
        standings = [
            {
                "rank": place.rank, "version": place.version.name, "rating": place.standing.rating, "low": place.standing.low,
                "high": place.standing.high, "wins": place.standing.wins, "losses": place.standing.losses, "ties": place.standing.ties,
                "n": place.standing.n,
            }
            for place in board.places
        ]  # fmt: skip
        return Response({"comparisons": board.comparisons, "standings": standings})


class ShareField(s.Serializer):
    count = s.IntegerField()
    n = s.IntegerField()


class AnnotatorAnswer(s.Serializer):
    annotator = s.IntegerField()
    name = s.CharField()
    is_simulated = s.BooleanField()
    choices = s.IntegerField()
    skill = s.FloatField(allow_null=True)
    left_bias = s.FloatField(allow_null=True)
    weight = s.FloatField(allow_null=True)
    gold = ShareField()
    repeats = ShareField()
    left = ShareField()
    flags = s.ListField(child=s.CharField())
    excluded = s.BooleanField()


class QualityView(APIView):
    """Annotators with gold accuracy, self-consistency, side bias and the fitted model."""

    permission_classes = [HasRole("admin")]

    @extend_schema(responses={200: AnnotatorAnswer(many=True)})
    def get(self, request):
        def share(value) -> dict:
            return {"count": value.count, "n": value.n}

        return Response(
            [
                {
                    "annotator": row.user.pk, "name": str(row.user), "is_simulated": row.is_simulated, "choices": row.n, "skill": row.skill,
                    "left_bias": row.left_bias, "weight": row.weight, "gold": share(row.gold), "repeats": share(row.repeats),
                    "left": share(row.left), "flags": row.flags, "excluded": any(e.lifted_at is None for e in row.exclusions),
                }
                for row in quality.annotators_quality()
            ]
        )  # fmt: skip


def choice_filter(params) -> ChoiceFilter:
    form = ChoiceFilterForm(params)
    if not form.is_valid():
        field, errors = next(iter(form.errors.items()))
        raise Invalid(f"{field}: {errors[0]}")
    return form.to_filter()


def _known_choice(text: str) -> UUID:
    try:
        choice = UUID(text)
    except ValueError:
        raise Invalid("after is the UUID of a choice.") from None
    if not Choice.objects.filter(pk=choice).exists():
        raise Invalid("after: there is no such choice.")
    return choice


def _end(text: str | None) -> datetime:
    settled = exports.rows.settled_now()
    if not text:
        return settled
    try:
        end = parse_datetime(text)
    except ValueError:
        end = None
    if end is None:
        raise Invalid("end is an ISO 8601 time.")
    if timezone.is_naive(end):
        end = timezone.make_aware(end)
    return min(end, settled)
