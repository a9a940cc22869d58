"""Mining over HTTP: searches, what they tried, the decisions on it, and the coverage map."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_field, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.pagination import CursorPagination
from core.api.problems import Problem
from rollouts import factors, services
from rollouts.api_common import MAX_ID, CuratesOrReads, JobAnswer, accepted, checked, person, problem, version_asked
from rollouts.models import MiningCandidate, MiningRun, PolicyVersion
from rollouts.selectors import policy_versions_usable
from rollouts.selectors.mining import LEVELS, coverage, proposals, run_figures
from rollouts.services.mining import MAX_BUDGET, MAX_DECISIONS, MAX_DREAMS, MIN_BUDGET, MIN_DREAMS, START, TASKS


class MiningRunSerializer(serializers.ModelSerializer[MiningRun]):
    policy_version = serializers.CharField(source="policy_version.name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = MiningRun
        fields = ["id", "policy_version", "options", "summary", "trigger", "job", "created_by", "created_at", "finished_at"]
        read_only_fields = fields


class MiningFigures(serializers.Serializer[Any]):
    """As `selectors.mining.run_figures` counts them."""

    tried = serializers.IntegerField()
    cells = serializers.IntegerField(help_text="Factor cells with a try.")
    worst = serializers.FloatField(allow_null=True, help_text="The highest objective, 0..1; null before the first try.")
    mean = serializers.FloatField(allow_null=True)
    proposed = serializers.IntegerField(help_text="Proposals that wait for a decision.")
    accepted = serializers.IntegerField()
    declined = serializers.IntegerField()
    episodes = serializers.IntegerField(help_text="Candidates that were replayed in the world.")
    failures = serializers.IntegerField(help_text="Of these, without a clean success.")
    contacts = serializers.IntegerField(help_text="Of these, with the dog touched.")


class MiningRunDetail(MiningRunSerializer):
    figures = serializers.SerializerMethodField()

    class Meta(MiningRunSerializer.Meta):
        fields = [*MiningRunSerializer.Meta.fields, "figures"]
        read_only_fields = fields

    @extend_schema_field(MiningFigures)
    def get_figures(self, run: MiningRun) -> dict[str, Any]:
        return run_figures(run=run)


class MineWrite(serializers.Serializer[Any]):
    policy_version = serializers.IntegerField(min_value=1, max_value=MAX_ID, required=False, help_text="The active one if left out.")
    budget = serializers.IntegerField(min_value=MIN_BUDGET, max_value=MAX_BUDGET, default=START["budget"], help_text="Start frames to try.")
    dreams = serializers.IntegerField(min_value=MIN_DREAMS, max_value=MAX_DREAMS, default=START["dreams"], help_text="Dreams of each.")
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0, help_text="The same seed gives the same search.")
    task = serializers.ChoiceField(choices=list(TASKS.items()), default="", help_text="What the robot is asked for; any if left out.")


class MiningRunFilter(django_filters.FilterSet):
    finished = django_filters.BooleanFilter("finished_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = MiningRun
        fields = {"policy_version": ["exact"], "trigger": ["exact"]}


class MiningRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MiningRun]):
    """Searches for start frames where a policy fails, newest first."""

    queryset = MiningRun.objects.select_related("policy_version", "created_by")
    serializer_class = MiningRunSerializer
    permission_classes = [CuratesOrReads]
    filterset_class = MiningRunFilter
    lookup_value_regex = "[0-9]{1,18}"

    def get_serializer_class(self) -> type[serializers.BaseSerializer[MiningRun]]:
        return MiningRunDetail if self.action == "retrieve" else MiningRunSerializer

    @extend_schema(request=MineWrite, responses={202: JobAnswer})
    def create(self, request: Request) -> Response:
        """Start a search; answers with the job that does it. The run exists once the job has begun: its `job` is this one."""
        data = checked(MineWrite, request)
        version = version_asked(data.pop("policy_version", None))
        try:
            job = services.mining_start(**data, policy_version=version, trigger="api", by=person(request))
        except services.RolloutsError as error:
            raise problem(error) from error
        return accepted(job)

    @extend_schema(request=None, responses={202: JobAnswer})
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        """Replay a finished run's worst candidates in the world; answers with the job that does it."""
        try:
            job = services.mining_verify_start(run=self.get_object(), by=person(request))
        except services.RolloutsError as error:
            raise problem(error) from error
        return accepted(job)


class MiningCandidateSerializer(serializers.ModelSerializer[MiningCandidate]):
    policy_version = serializers.CharField(source="run.policy_version.name", read_only=True)
    image_url = serializers.CharField(source="image.url", read_only=True)
    strip_url = serializers.CharField(
        source="strip.url", default=None, allow_null=True, read_only=True, help_text="Pictures of the dreamed episode that is likeliest to fail."
    )
    reviewed_by = serializers.CharField(source="reviewed_by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = MiningCandidate
        fields = [
            "id", "run", "policy_version", "cell", "prompt", "world_spec", "objective", "evidence", "image_url", "strip_url", "state", "why",
            "real", "start_frame", "reviewed_by", "reviewed_at", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class MiningCandidateFilter(django_filters.FilterSet):
    cell = django_filters.ChoiceFilter(choices=[(cell, cell) for cell in factors.all_cells()])
    policy_version = django_filters.ModelChoiceFilter("run__policy_version", queryset=PolicyVersion.objects.all())
    replayed = django_filters.BooleanFilter("real", lookup_expr="isnull", exclude=True)

    class Meta:
        model = MiningCandidate
        fields = {"run": ["exact"], "state": ["exact"], "why": ["exact"]}


class WorstFirst(CursorPagination):
    ordering = ("-objective", "id")


class Decision(serializers.Serializer[Any]):
    decision = serializers.ChoiceField(["accept", "decline"])
    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="", help_text="Kept in the audit log.")


class DecisionOfMany(Decision):
    ids = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=MAX_DECISIONS)


class MiningCandidateViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[MiningCandidate]):
    """Start frames that mining tried, the worst dreams first; those in the state `proposed` wait for a decision."""

    queryset = proposals(state="").select_related("reviewed_by")
    serializer_class = MiningCandidateSerializer
    permission_classes = [CuratesOrReads]
    filterset_class = MiningCandidateFilter
    pagination_class = WorstFirst
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=Decision, responses=MiningCandidateSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Accept a candidate, which makes it an approved start frame of a “mined” scenario, or decline it. 409 if it was decided before."""
        data = checked(Decision, request)
        act = services.mining_candidate_accept if data["decision"] == "accept" else services.mining_candidate_decline
        try:
            act(candidate=self.get_object(), by=person(request), reason=data["reason"])
        except services.RolloutsError as error:
            raise problem(error) from error
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        operation_id="mining_candidates_decide_many_create",
        request=DecisionOfMany,
        responses=inline_serializer(
            "MiningDecided",
            {
                "decided": serializers.IntegerField(),
                "before": serializers.IntegerField(help_text="Decided before, and left as they were."),
                "candidates": inline_serializer(
                    "MiningDecidedCandidate",
                    {"id": serializers.IntegerField(), "state": serializers.CharField(), "start_frame": serializers.IntegerField(allow_null=True)},
                    many=True,
                ),
            },
        ),
    )
    @action(detail=False, methods=["post"], url_path="decide")
    def decide_many(self, request: Request) -> Response:
        """Accept or decline many candidates: all that are still open or, if one goes wrong, none."""
        data = checked(DecisionOfMany, request)
        try:
            done = services.mining_candidates_decide(ids=data["ids"], accept=data["decision"] == "accept", by=person(request), reason=data["reason"])
        except services.RolloutsError as error:
            raise problem(error) from error
        rows = MiningCandidate.objects.filter(pk__in=data["ids"]).values("id", "state", "start_frame")
        return Response({**done, "candidates": list(rows)})


class CoverageQuery(serializers.Serializer[Any]):
    policy_version = serializers.IntegerField(min_value=1, max_value=MAX_ID, required=False, help_text="The active one if left out.")


class CoverageCell(serializers.Serializer[Any]):
    cell = serializers.CharField()
    level = serializers.IntegerField(allow_null=True, min_value=0, max_value=LEVELS - 1, help_text="The dreamed failure rate in fifths; null: not tried.")
    tried = serializers.IntegerField(default=0)
    dreamed = serializers.FloatField(default=None, allow_null=True, help_text="Mean dreamed failure rate, 0..1; null: not tried.")
    worst = serializers.FloatField(default=None, allow_null=True, help_text="The highest objective, 0..1; null: not tried.")
    real_n = serializers.IntegerField(default=0, help_text="Episodes in the world.")
    real_failures = serializers.IntegerField(default=0)


class CoverageRow(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]  # a field called like an attribute
    cells = CoverageCell(many=True)


class Coverage(serializers.Serializer[Any]):
    policy_version = serializers.CharField()
    columns = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2), help_text="(clutter, light) in words."
    )
    rows = CoverageRow(many=True, help_text="Where the dog is; one cell for each column.")
    tried = serializers.IntegerField()
    cells = serializers.IntegerField(help_text="Cells that there are.")
    covered = serializers.IntegerField(help_text="Cells with a try.")


class CoverageView(APIView):
    permission_classes = [CuratesOrReads]

    @extend_schema(operation_id="mining_coverage_retrieve", parameters=[CoverageQuery], responses=Coverage)
    def get(self, request: Request) -> Response:
        """The coverage map of a policy version: every factor cell, with what was tried, dreamed and really seen there."""
        query = CoverageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data.get("policy_version")
        versions = policy_versions_usable()
        version = versions.filter(pk=asked).first() if asked else versions.first()
        if version is None:
            raise Problem(404, "no_version", "There is no such policy version, or it is retired or rejected.")
        return Response(Coverage({"policy_version": version.name, **coverage(policy_version=version)}).data)
