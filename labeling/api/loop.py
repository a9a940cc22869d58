"""The annotator's loop: next, heartbeat, return, choice, skip, undo, me."""

from __future__ import annotations

import json
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from core.api.permissions import HasRole
from labeling import services
from labeling.errors import Invalid
from labeling.selectors import statistics

from . import payloads, serializers
from .base import body_object, idempotency_key, refusing

KEY_HEADER = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True, description="UUID made by the client for this answer.")


class AnnotatorView(APIView):
    permission_classes = [HasRole("annotator")]


class NextView(AnnotatorView):
    """Lease the next comparisons."""

    @extend_schema(request=serializers.NextRequest, responses={200: serializers.NextAnswer})
    @refusing
    def post(self, request):
        body = body_object(request)
        count = body.get("count", 1)
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 4:
            raise Invalid("count is 1 to 4.")
        found = services.leases_next(annotator=request.user, count=count, held=_lease_ids(body.get("held", [])))
        return Response(
            {
                "status": found.status,
                "retry_after_s": found.retry_after_s,
                "assignments": [payloads.assignment(lease) for lease in found.leases],
            }
        )


class HeartbeatView(AnnotatorView):
    """Keep leases. One that is not among `held` has ended; an answer to it is still taken if the pair is free."""

    @extend_schema(request=serializers.LeaseList, responses={200: serializers.Heartbeat})
    @refusing
    def post(self, request):
        held, expires_at = services.leases_heartbeat(annotator=request.user, lease_ids=_lease_ids(body_object(request).get("leases")))
        return Response({"held": [str(lease) for lease in held], "expires_at": expires_at.isoformat()})


class ReturnView(AnnotatorView):
    """Give leases back. Also as a beacon of a closing page: a form with `leases` and `csrfmiddlewaretoken`."""

    parser_classes = [JSONParser, FormParser, MultiPartParser]

    @extend_schema(request=serializers.LeaseList, responses={200: serializers.Returned})
    @refusing
    def post(self, request):
        data = request.data
        leases = data.getlist("leases") if hasattr(data, "getlist") else body_object(request).get("leases", [])
        if len(leases) == 1 and isinstance(leases[0], str) and leases[0].startswith("["):
            leases = _json_list(leases[0])
        return Response({"returned": services.leases_return(annotator=request.user, lease_ids=_lease_ids(leases))})


class ChoiceView(AnnotatorView):
    """Answer a comparison. The same key with the same body answers the original; with another body it is 422."""

    @extend_schema(
        parameters=[KEY_HEADER],
        request=serializers.ChoiceRequest,
        responses={200: serializers.ChoiceAnswer, 201: serializers.ChoiceAnswer},
    )
    @refusing
    def post(self, request):
        submitted = services.choice_submit(annotator=request.user, key=idempotency_key(request), body=body_object(request))
        choice = submitted.choice
        answer = {
            "choice": str(choice.pk),
            "created_at": choice.created_at.isoformat(),
            "late": choice.late,
            "reveal": payloads.reveal(choice),
        }
        if submitted.qualifying:
            answer["qualifying"] = submitted.qualifying
        return Response(answer, status=status.HTTP_201_CREATED if submitted.created else status.HTTP_200_OK)


class SkipView(AnnotatorView):
    """Pass on a pair, with a reason; `flag` also reports that something is wrong with it."""

    @extend_schema(
        request=serializers.SkipRequest,
        responses={201: serializers.Skipped},
    )
    @refusing
    def post(self, request):
        body = body_object(request)
        try:
            lease = UUID(str(body.get("lease")))
        except ValueError:
            raise Invalid("lease is a UUID.") from None
        reason, flag = body.get("reason") or "", body.get("flag", False)
        if not isinstance(reason, str) or not isinstance(flag, bool):
            raise Invalid("reason is text and flag is true or false.")
        skip = services.lease_skip(annotator=request.user, lease_id=lease, reason=reason, flag=flag)
        return Response({"lease": str(skip.lease_id), "flag": skip.flag}, status=status.HTTP_201_CREATED)


class UndoView(AnnotatorView):
    """Take back one of the last ten choices; its pair is leased to you again."""

    @extend_schema(request=None, responses={200: serializers.Undone})
    @refusing
    def post(self, request, choice: UUID):
        lease = services.choice_undo(annotator=request.user, choice_id=choice)
        return Response({"assignment": payloads.assignment(lease)})


class MeView(AnnotatorView):
    """Your statistics, your preferences and what this project asks."""

    @extend_schema(responses={200: serializers.Me})
    def get(self, request):
        return Response(statistics.me(user=request.user))


class PreferencesView(AnnotatorView):
    """Your key map and player settings, replaced as a whole."""

    @extend_schema(request=serializers.Preferences, responses={200: serializers.Preferences})
    @refusing
    def put(self, request):
        body = body_object(request)
        profile = services.preferences_save(user=request.user, preferences=body.get("preferences", body))
        return Response({"preferences": profile.preferences})


def _lease_ids(leases: object) -> list[UUID]:
    if not isinstance(leases, list) or len(leases) > 50:
        raise Invalid("leases is a list of at most 50 UUIDs.")
    try:
        return [UUID(str(lease)) for lease in leases]
    except ValueError:
        raise Invalid("leases is a list of UUIDs.") from None


def _json_list(text: str) -> list:
    try:
        value = json.loads(text)
    except ValueError:
        raise Invalid("leases is a list of UUIDs.") from None
    return value if isinstance(value, list) else [value]
