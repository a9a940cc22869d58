"""Errors as problem details (RFC 9457): `application/problem+json` with type, title, status, detail and code."""

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"


class Problem(exceptions.APIException):
    """An error with a code that programs can tell apart.

    raise Problem(409, "lease_lost", "Someone else answered this comparison meanwhile.")
    """

    def __init__(self, status_code: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail, code)
        self.status_code = status_code
        self.extra = extra


def problem_body(status_code: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    return {"type": "about:blank", "title": HTTPStatus(status_code).phrase, "status": status_code, "detail": detail, "code": code, **extra}


def problem_response(status_code: int, code: str, detail: str, **extra: Any) -> JsonResponse:
    """For plain Django views and the error handlers."""
    return JsonResponse(problem_body(status_code, code, detail, **extra), status=status_code, content_type=CONTENT_TYPE)


def problem_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None means a bug: Django answers 500."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied(str(error) or None)
    elif isinstance(error, DjangoValidationError):
        error = exceptions.ValidationError(error.message_dict if hasattr(error, "error_dict") else error.messages)
    elif isinstance(error, DataError) or (isinstance(error, ValueError) and "NUL (0x00)" in str(error)):
        # Out of range for its column, or a character that PostgreSQL does not store: the sender's mistake.
        error = exceptions.ValidationError("Some of what was sent cannot be stored.")
    if not isinstance(error, exceptions.APIException):
        return None
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    code, extra = str(getattr(error, "default_code", "error")), dict(getattr(error, "extra", {}))
    if isinstance(error, Problem):
        code, detail = str(error.get_codes()), str(error.detail)
    elif isinstance(error, exceptions.ValidationError):
        detail, extra["errors"] = "Some of what was sent is not right; see errors.", error.detail
    else:
        detail = str(error.detail)
    set_rollback()
    response = Response(problem_body(error.status_code, code, detail, **extra), status=error.status_code, headers=headers)
    response.content_type = CONTENT_TYPE
    return response
