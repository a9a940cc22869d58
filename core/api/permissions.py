"""DRF permissions by role."""

from typing import TYPE_CHECKING

from django.db.models import Model
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core.people import ROLES, has_role

if TYPE_CHECKING:
    from rest_framework.views import APIView


def HasRole(*roles: str) -> type[BasePermission]:
    """A permission class: any of `roles`. `permission_classes = [HasRole("researcher")]`."""
    has_role(None, *roles)

    class _HasRole(BasePermission):
        message = f"This is for {' and '.join(f'{role}s' for role in roles)}."

        def has_permission(self, request: Request, view: "APIView") -> bool:
            return has_role(request.user, *roles)

        def has_object_permission(self, request: Request, view: "APIView", obj: Model) -> bool:
            return has_role(request.user, *roles)

    return _HasRole


HasAnyRole = HasRole(*ROLES)
