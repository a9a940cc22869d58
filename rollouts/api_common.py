"""What the studio's API modules share."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core.api.permissions import HasRole
from core.api.problems import Problem
from core.models import Job, User
from rollouts import services
from rollouts.models import PolicyVersion
from rollouts.selectors import policy_versions_usable

MAX_ID = 2**63 - 1
CONFLICTS = {
    "frame_not_approved", "version_active", "slug_taken", "name_taken", "retired", "no_such_step", "edited_meanwhile", "decided", "run_unfinished",
}  # fmt: skip

JobAnswer = inline_serializer("JobAnswer", {"job": serializers.UUIDField(), "url": serializers.CharField()})


class CuratesOrReads(BasePermission):
    """Researchers read; admins write."""

    message = "Researchers may read this, admins may change it."

    def has_permission(self, request: Request, view: Any) -> bool:
        role = "researcher" if request.method in SAFE_METHODS else "admin"
        return HasRole(role)().has_permission(request, view)


def problem(error: services.RolloutsError) -> Problem:
    """A rule that was broken, as 409 (the state of things forbids it) or 422 (what was sent is wrong)."""
    return Problem(409 if error.code in CONFLICTS else 422, error.code, str(error))


def person(request: Request) -> User:
    """Who asks. Every view of the studio's API is for a role, so it is somebody."""
    assert isinstance(request.user, User)
    return request.user


def checked(serializer: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    """The body as the serializer reads it. Raises ValidationError with what is wrong, by field."""
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def active_version() -> PolicyVersion:
    """The active policy version. Raises Problem 409 if there is none."""
    version = PolicyVersion.objects.filter(is_active=True).first()
    if version is None:
        raise Problem(409, "no_active_version", "No policy version is active: activate one first.")
    return version


def version_asked(pk: int | None) -> PolicyVersion:
    """The version of that id, or the active one for None. Raises Problem 422 for one that may not dream."""
    version = policy_versions_usable().filter(pk=pk).first() if pk else active_version()
    if version is None:
        raise Problem(422, "no_version", "There is no such policy version, or it is retired or rejected.")
    return version


def accepted(job: Job) -> Response:
    return Response({"job": job.pk, "url": job.get_absolute_url()}, status=202)
