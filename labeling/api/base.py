"""How a broken rule becomes an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from rest_framework.exceptions import ValidationError

from core.api.problems import Problem
from labeling.errors import LabelingError


def refusing(view: Callable) -> Callable:
    """A LabelingError becomes a problem document with its status and code."""

    @wraps(view)
    def inner(*args, **kwargs):
        try:
            return view(*args, **kwargs)
        except LabelingError as error:
            raise Problem(error.status, error.code, error.message) from error

    return inner


def body_object(request) -> dict:
    if not isinstance(request.data, dict):
        raise ValidationError("The body has to be a JSON object.")
    return request.data


def idempotency_key(request) -> UUID:
    try:
        return UUID(request.headers.get("Idempotency-Key", ""))
    except ValueError:
        raise ValidationError("Send an Idempotency-Key header with a UUID that you made for this answer.") from None
