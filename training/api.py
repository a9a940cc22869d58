"""Rounds and evaluations over HTTP: everything that their pages do."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.permissions import HasRole
from core.api.problems import Problem
from rollouts.models import PolicyVersion
from rollouts.services import RolloutsError
from training import selectors, services
from training.models import Episode, Evaluation, Round, RoundSchedule, RoundSnapshot

CONFLICTS = {"round_finished", "not_resumable", "still_stopping", "nothing_to_override", "name_taken", "bad_parent", "not_promoted", "version_active"}


def problem(error: services.TrainingError | RolloutsError) -> Problem:
    """A rule that was broken, as 409 (the state of things forbids it) or 422 (what was sent is wrong)."""
    return Problem(409 if error.code in CONFLICTS else 422, error.code, str(error))


class SnapshotSerializer(serializers.ModelSerializer[RoundSnapshot]):
    class Meta:
        model = RoundSnapshot
        fields = ["sha256", "counts", "created_at"]
        read_only_fields = fields


class RoundSerializer(serializers.ModelSerializer[Round]):
    snapshot = SnapshotSerializer(read_only=True, default=None)
    job_progress = serializers.FloatField(source="job.progress", read_only=True, default=None)
    job_text = serializers.CharField(source="job.progress_text", read_only=True, default="")

    class Meta:
        model = Round
        fields = [
            "id", "name", "parent", "child", "stage", "state", "trigger", "settings", "note", "job", "job_progress", "job_text", "error",
            "gate", "seconds", "alarms", "post_train", "value_head", "override_by", "override_reason", "snapshot", "created_by", "created_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class RoundWrite(serializers.Serializer[Any]):
    parent = serializers.PrimaryKeyRelatedField(queryset=PolicyVersion.objects.all(), required=False)  # type: ignore[assignment]  # a field called like an attribute
    name = serializers.CharField(max_length=80, required=False, allow_blank=True)
    note = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    settings = serializers.DictField(required=False)


class ChoicesWrite(serializers.Serializer[Any]):
    choices = serializers.DictField(required=False)


class Reason(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


def checked(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


class RoundViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Round]):
    """Rounds of post-training."""

    queryset = Round.objects.select_related("job", "snapshot")
    serializer_class = RoundSerializer
    permission_classes = [HasRole("researcher")]
    filterset_fields = ["state", "stage", "parent"]
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=RoundWrite, responses={201: RoundSerializer})
    def create(self, request: Request) -> Response:
        """Start a round. Without a parent it is the active version; settings left out keep their defaults."""
        data = checked(RoundWrite, request)
        parent = data.pop("parent", None) or PolicyVersion.objects.filter(is_active=True).first()
        if parent is None:
            raise Problem(409, "no_active_version", "No policy version is active: name a parent.")
        try:
            row = services.round_start(parent=parent, created_by=request.user, **data)
        except services.TrainingError as error:
            raise problem(error) from error
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(
        request=ChoicesWrite,
        responses=inline_serializer(
            "ChoicesPreview",
            {
                "total": serializers.IntegerField(),
                "answers": serializers.DictField(),
                "people": serializers.IntegerField(),
                "simulated": serializers.IntegerField(),
                "enough": serializers.BooleanField(),
                "minimum": serializers.IntegerField(),
            },
        ),
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """How many choices a filter finds, before a round is started with it."""
        try:
            return Response(selectors.choices_preview({"choices": checked(ChoicesWrite, request).get("choices", {})}))
        except services.TrainingError as error:
            raise problem(error) from error

    def act(self, service: Any, **values: Any) -> Response:
        try:
            row = service(row=self.get_object(), by=self.request.user, **values)
        except (services.TrainingError, RolloutsError) as error:
            raise problem(error) from error
        row.refresh_from_db()
        return Response(self.get_serializer(row).data)

    @extend_schema(request=Reason, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        return self.act(services.round_cancel, **checked(Reason, request))

    @extend_schema(request=None, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        return self.act(services.round_resume)

    @extend_schema(request=Reason, responses=RoundSerializer)
    @action(detail=True, methods=["post"])
    def override(self, request: Request, pk: str) -> Response:
        """Promote the child although the gate said no; the reason is kept."""
        return self.act(services.round_override, **checked(Reason, request))

    @extend_schema(
        responses=OpenApiTypes.OBJECT,
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=sorted(selectors.CHARTS))],
    )
    @action(detail=True, url_path=r"charts/(?P<name>[a-z_]{1,40})")
    def charts(self, request: Request, pk: str, name: str) -> Response:
        """One curve of a round, as the chart island draws it."""
        if name not in selectors.CHARTS:
            raise Http404
        return Response(selectors.round_chart(self.get_object(), name))


class RoundScheduleSerializer(serializers.ModelSerializer[RoundSchedule]):
    class Meta:
        model = RoundSchedule
        fields = ["id", "name", "every_choices", "every_hours", "min_choices", "settings", "enabled", "last_round", "created_at"]
        read_only_fields = fields


class RoundScheduleWrite(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=80)
    every_choices = serializers.IntegerField(min_value=1, max_value=10**9, required=False, allow_null=True, default=None)
    every_hours = serializers.IntegerField(min_value=1, max_value=10**6, required=False, allow_null=True, default=None)
    min_choices = serializers.IntegerField(min_value=1, max_value=10**9, required=False, default=50)
    settings = serializers.DictField(required=False)


class Switch(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()


class RoundScheduleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RoundSchedule]):
    """When rounds start by themselves."""

    queryset = RoundSchedule.objects.all()
    serializer_class = RoundScheduleSerializer
    permission_classes = [HasRole("researcher")]
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=RoundScheduleWrite, responses={201: RoundScheduleSerializer})
    def create(self, request: Request) -> Response:
        """Make a schedule, or change the one of this name. Its rounds take these settings, and the version that is active then."""
        try:
            row = services.round_schedule_save(**checked(RoundScheduleWrite, request), by=request.user)
        except services.TrainingError as error:
            raise problem(error) from error
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(request=Switch, responses=RoundScheduleSerializer)
    @action(detail=True, methods=["post"])
    def switch(self, request: Request, pk: str) -> Response:
        """On or off."""
        row = services.round_schedule_switch(row=self.get_object(), enabled=checked(Switch, request)["enabled"], by=request.user)
        return Response(self.get_serializer(row).data)


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    class Meta:
        model = Evaluation
        fields = ["id", "policy_version", "suite", "suite_hash", "state", "summary", "job", "created_at", "finished_at"]
        read_only_fields = fields


class EvaluationWrite(serializers.Serializer[Any]):
    policy_version = serializers.PrimaryKeyRelatedField(queryset=PolicyVersion.objects.all())
    settings = serializers.DictField(required=False)


class EpisodeSerializer(serializers.ModelSerializer[Episode]):
    clean_success = serializers.BooleanField(read_only=True)

    class Meta:
        model = Episode
        fields = [
            "index", "kind", "scenario", "prompt", "seed", "factors", "success", "dog_contact", "clean_success", "steps",
            "predicted", "contact_xy", "trajectory",
        ]  # fmt: skip
        read_only_fields = fields


class EvaluationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Evaluation]):
    """Closed-loop evaluations of policy versions."""

    queryset = Evaluation.objects.all()
    serializer_class = EvaluationSerializer
    permission_classes = [HasRole("researcher")]
    filterset_fields = ["policy_version", "state"]
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=EvaluationWrite, responses={201: EvaluationSerializer})
    def create(self, request: Request) -> Response:
        """Queue an evaluation; one that was played already is returned as it is."""
        data = checked(EvaluationWrite, request)
        try:
            row = services.evaluation_start(version=data["policy_version"], settings=data.get("settings"), created_by=request.user)
        except services.TrainingError as error:
            raise problem(error) from error
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(responses=EpisodeSerializer(many=True))
    @action(detail=True)
    def episodes(self, request: Request, pk: str) -> Response:
        """All episodes, in order."""
        return Response(EpisodeSerializer(self.get_object().episodes.all(), many=True).data)


class ActivateView(APIView):
    """Make a promoted version the active one again."""

    permission_classes = [HasRole("researcher")]

    @extend_schema(request=Reason, responses=inline_serializer("Activated", {"id": serializers.IntegerField(), "name": serializers.CharField()}))
    def post(self, request: Request, pk: int) -> Response:
        version = PolicyVersion.objects.filter(pk=pk).first()
        if version is None:
            raise Http404
        try:
            services.version_rollback(version=version, by=request.user, **checked(Reason, request))
        except (services.TrainingError, RolloutsError) as error:
            raise problem(error) from error
        return Response({"id": version.pk, "name": version.name})
