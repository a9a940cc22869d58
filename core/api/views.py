"""Jobs and events over HTTP."""

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core import events
from core.api.permissions import HasAnyRole
from core.api.problems import Problem
from core.jobs import job_cancel, job_retry
from core.models import Event, Job
from core.selectors import jobs_visible


class JobSerializer(serializers.ModelSerializer[Job]):
    explanation = serializers.CharField(read_only=True)
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = Job
        fields = [
            "id", "kind", "queue", "params", "state", "priority", "attempt", "max_attempts", "progress", "progress_text", "result", "error",
            "explanation", "created_by", "created_at", "started_at", "finished_at", "cancel_requested_at",
        ]  # fmt: skip
        read_only_fields = fields


class JobFilter(django_filters.FilterSet):
    class Meta:
        model = Job
        fields = {"kind": ["exact"], "state": ["exact"], "queue": ["exact"]}


class JobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Job]):
    """Your jobs; researchers and admins see everyone's."""

    queryset = Job.objects.none()
    serializer_class = JobSerializer
    permission_classes = [HasAnyRole]
    filterset_class = JobFilter

    def get_queryset(self) -> Any:
        return jobs_visible(user=self.request.user).select_related("created_by")

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Ask it to stop. Cancelling a finished job changes nothing."""
        return Response(self.get_serializer(job_cancel(job=self.get_object(), by=request.user)).data)

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run a failed or cancelled job again."""
        try:
            return Response(self.get_serializer(job_retry(job=self.get_object(), by=request.user)).data)
        except ValueError as error:
            raise Problem(409, "not_retryable", str(error)) from error


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ["id", "kind", "data", "created_at"]


class EventQuery(serializers.Serializer[Any]):
    topic = serializers.RegexField(r"^[A-Za-z0-9_-]+:[A-Za-z0-9_.:-]+$", max_length=200)
    after = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class EventsView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(
        operation_id="events_list",
        parameters=[
            OpenApiParameter("topic", str, required=True, description="For example `job:<id>`."),
            OpenApiParameter("after", int, description="Only events with a greater id."),
        ],
        responses=inline_serializer("Events", {"events": EventSerializer(many=True), "last": serializers.IntegerField()}),
    )
    def get(self, request: Request) -> Response:
        """What happened to a topic after an id, oldest first, 500 at most; ask again with `last`."""
        query = EventQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        topic, after = query.validated_data["topic"], query.validated_data["after"]
        if not events.topic_allowed(request.user, topic):
            raise Problem(403, "topic_forbidden", "This topic is not for you.")
        found = events.events_after(topic=topic, after=after)
        return Response({"events": EventSerializer(found, many=True).data, "last": found[-1].pk if found else max(after, 0)})
