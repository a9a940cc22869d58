"""What every template can use."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from core.people import ROLES, has_role


def site(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    held = [role for role in ROLES if has_role(user, role)]
    return {
        "roles": held,
        "is_annotator": "annotator" in held,
        "is_researcher": "researcher" in held,
        "is_admin": "admin" in held,
        "request_id": getattr(request, "request_id", ""),
        "debug": settings.DEBUG,
    }
