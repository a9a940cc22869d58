"""The studio over HTTP: scenarios, start frames, rollouts, policy versions."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.permissions import HasRole
from core.api.problems import Problem
from rollouts import services
from rollouts.api_common import MAX_ID, CuratesOrReads, JobAnswer, accepted, active_version, checked, person, problem, version_asked
from rollouts.models import PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame
from rollouts.selectors import with_current
from rollouts.services.acts import submit_act
from rollouts.services.frames import MAX_FRAMES
from rollouts.services.rollouts import MAX_ROLLOUTS


class ScenarioVersionSerializer(serializers.ModelSerializer[ScenarioVersion]):
    class Meta:
        model = ScenarioVersion
        fields = [
            "id", "number", "prompt", "scene_text", "factors", "tags", "severity", "behaviours", "notes", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class ScenarioSerializer(serializers.ModelSerializer[Scenario]):
    current = ScenarioVersionSerializer(read_only=True)

    class Meta:
        model = Scenario
        fields = ["slug", "name", "state", "origin", "current", "created_at", "updated_at"]
        read_only_fields = fields


class ScenarioWrite(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    prompt = serializers.CharField(max_length=300)
    scene_text = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    factors = serializers.DictField(required=False)
    tags = serializers.ListField(child=serializers.CharField(max_length=40), required=False)
    severity = serializers.IntegerField(min_value=1, max_value=5, required=False)
    behaviours = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=4000, required=False, allow_blank=True)


class ScenarioFilter(django_filters.FilterSet):
    class Meta:
        model = Scenario
        fields = {"state": ["exact"], "origin": ["exact"]}


class ScenarioViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Scenario]):
    """Scenarios with their current version."""

    queryset = with_current(Scenario.objects.all())
    serializer_class = ScenarioSerializer
    permission_classes = [CuratesOrReads]
    filterset_class = ScenarioFilter
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    @extend_schema(request=ScenarioWrite, responses={201: ScenarioSerializer})
    def create(self, request: Request) -> Response:
        """A draft with its first version."""
        data = checked(ScenarioWrite, request)
        name = data.pop("name")
        try:
            made = services.scenario_create(name=name, content=data, created_by=person(request))
        except services.RolloutsError as error:
            raise problem(error) from error
        return Response(ScenarioSerializer(made).data, status=201)

    @extend_schema(
        request=inline_serializer(
            "ScenarioState", {"state": serializers.ChoiceField(Scenario.State.choices), "reason": serializers.CharField(required=False, max_length=300)}
        ),
        responses=ScenarioSerializer,
    )
    @action(detail=True, methods=["post"])
    def state(self, request: Request, slug: str) -> Response:
        """Draft, active or retired."""
        data = checked(StateWrite, request)
        try:
            row = services.scenario_set_state(scenario=self.get_object(), by=request.user, **data)
        except services.RolloutsError as error:
            raise problem(error) from error
        return Response(ScenarioSerializer(row).data)


class StateWrite(serializers.Serializer[Any]):
    state = serializers.ChoiceField(Scenario.State.choices)
    reason = serializers.CharField(required=False, max_length=300, allow_blank=True, default="")


class StartFrameSerializer(serializers.ModelSerializer[StartFrame]):
    image_url = serializers.CharField(source="image.url", read_only=True)
    scenario = serializers.CharField(source="scenario_version.scenario.slug", read_only=True)
    scenario_version = serializers.IntegerField(source="scenario_version.number", read_only=True)
    policy_version = serializers.CharField(source="policy_version.name", default=None, allow_null=True, read_only=True)

    class Meta:
        model = StartFrame
        fields = [
            "id", "scenario", "scenario_version", "source", "image_url", "width", "height", "seed", "scene_text", "policy_version",
            "world_spec", "state", "reason", "probe", "created_at", "reviewed_at",
        ]  # fmt: skip
        read_only_fields = fields


class StartFrameFilter(django_filters.FilterSet):
    scenario = django_filters.CharFilter("scenario_version__scenario__slug")

    class Meta:
        model = StartFrame
        fields = {"state": ["exact"], "source": ["exact"]}


class ReviewWrite(serializers.Serializer[Any]):
    ids = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=500)
    state = serializers.ChoiceField(StartFrame.State.choices)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=300, default="")


class ImagineWrite(serializers.Serializer[Any]):
    scenario = serializers.SlugField()
    n = serializers.IntegerField(min_value=1, max_value=MAX_FRAMES)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    scene_text = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class StartFrameViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[StartFrame]):
    """Start frames and their review."""

    queryset = StartFrame.objects.select_related("scenario_version__scenario", "policy_version", "image")
    serializer_class = StartFrameSerializer
    permission_classes = [CuratesOrReads]
    filterset_class = StartFrameFilter

    @extend_schema(
        request=ReviewWrite,
        responses=inline_serializer(
            "Reviewed",
            {
                "frames": inline_serializer(
                    "ReviewedFrame", {"id": serializers.IntegerField(), "state": serializers.CharField(), "reason": serializers.CharField()}, many=True
                )
            },
        ),
    )
    @action(detail=False, methods=["post"])
    def review(self, request: Request) -> Response:
        """Approve, reject, flag or reopen frames. A rejection or flag without a reason gets what the probe said against the frame."""
        data = checked(ReviewWrite, request)
        try:
            services.start_frames_review(by=request.user, default_reason="Not as described", **data)
        except services.RolloutsError as error:
            raise problem(error) from error
        rows = StartFrame.objects.filter(pk__in=data["ids"]).values("id", "state", "reason")
        return Response({"frames": list(rows)})

    @extend_schema(request=ImagineWrite, responses={202: JobAnswer})
    @action(detail=False, methods=["post"])
    def imagine(self, request: Request) -> Response:
        """Generate frames of a scenario with the active version; answers with the job that does it."""
        data = checked(ImagineWrite, request)
        scenario = Scenario.objects.filter(slug=data.pop("scenario")).first()
        if scenario is None:
            raise Problem(422, "no_scenario", "There is no such scenario.")
        params = {**data, "scenario_version": scenario.current.pk, "policy_version": active_version().pk}
        return accepted(submit_act(kind="rollouts.imagine", params=params, by=person(request), target=scenario))


class RolloutSerializer(serializers.ModelSerializer[Rollout]):
    sprite_url = serializers.CharField(source="sprite.url", read_only=True)
    policy_version = serializers.CharField(source="policy_version.name", read_only=True)

    class Meta:
        model = Rollout
        fields = [
            "id", "start_frame", "policy_version", "prompt", "seed", "sampler", "sprite_url", "frame_count", "fps", "width",
            "height", "actions", "path", "path_pixels", "verdict", "accepted", "value", "success", "touches_dog", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class RolloutFilter(django_filters.FilterSet):
    scenario = django_filters.CharFilter("start_frame__scenario_version__scenario__slug")

    class Meta:
        model = Rollout
        fields = {"start_frame": ["exact"], "accepted": ["exact"], "touches_dog": ["exact"], "policy_version": ["exact"]}


class SampleWrite(serializers.Serializer[Any]):
    start_frames = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=200)
    n = serializers.IntegerField(min_value=1, max_value=MAX_ROLLOUTS)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    prompt = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
    policy_version = serializers.IntegerField(min_value=1, max_value=MAX_ID, required=False)


class ContinueWrite(serializers.Serializer[Any]):
    frame = serializers.IntegerField(min_value=1, max_value=1000, help_text="The moment: 1 is the first frame after the start frame.")


class RolloutViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Rollout]):
    """Rollouts with their verdict, value and path. Researchers sample them."""

    queryset = Rollout.objects.select_related("policy_version", "sprite")
    serializer_class = RolloutSerializer
    permission_classes = [HasRole("researcher")]
    filterset_class = RolloutFilter

    @extend_schema(request=SampleWrite, responses={202: JobAnswer})
    @action(detail=False, methods=["post"])
    def sample(self, request: Request) -> Response:
        """Sample rollouts of approved start frames; answers with the job that does it."""
        data = checked(SampleWrite, request)
        version = version_asked(data.pop("policy_version", None))
        open_frames = StartFrame.objects.filter(pk__in=data["start_frames"], state="approved").count()
        if open_frames != len(set(data["start_frames"])):
            raise Problem(409, "frame_not_approved", "Only approved start frames are sampled; some of these are not.")
        return accepted(submit_act(kind="rollouts.sample", params={**data, "policy_version": version.pk}, by=person(request), target=version))

    @extend_schema(request=ContinueWrite, responses={201: StartFrameSerializer})
    @action(detail=True, methods=["post"], url_path="continue", permission_classes=[HasRole("admin")])
    def go_on(self, request: Request, pk: str) -> Response:
        """A moment of this rollout becomes a start frame to review. The same moment again answers with the frame that is there."""
        data = checked(ContinueWrite, request)
        try:
            made = services.start_frame_continue(rollout=self.get_object(), frame=data["frame"], by=person(request))
        except services.RolloutsError as error:
            raise problem(error) from error
        return Response(StartFrameSerializer(made).data, status=201)


class PolicyVersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    parent = serializers.CharField(source="parent.name", default=None, allow_null=True, read_only=True)  # type: ignore[assignment]  # DRF takes it out of the class

    class Meta:
        model = PolicyVersion
        fields = ["id", "name", "parent", "state", "is_active", "components", "lineage", "metrics", "created_at"]
        read_only_fields = fields


class PolicyVersionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[PolicyVersion]):
    """Policy versions: immutable weights with their lineage."""

    queryset = PolicyVersion.objects.select_related("parent")
    serializer_class = PolicyVersionSerializer
    permission_classes = [HasRole("researcher")]
    filterset_fields = ["state", "is_active"]
