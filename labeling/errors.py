"""What can be wrong with a request to labeling, in words that a person can act on."""

from __future__ import annotations


class LabelingError(Exception):
    """A rule was broken. `code` is stable for programs, the message is for people, `status` is the HTTP status."""

    status = 400
    code = "invalid"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code:
            self.code = code


class Invalid(LabelingError):
    """The request says something that can not be."""


class NotYours(LabelingError):
    """The lease or choice does not exist, or belongs to someone else (which is not told apart)."""

    status = 404
    code = "not_found"


class Conflict(LabelingError):
    """The answer can not be taken: `lease_lost`, `already_answered` or `comparison_closed`."""

    status = 409


class KeyReused(LabelingError):
    """An Idempotency-Key came back with a different body."""

    status = 422
    code = "idempotency_key_reused"
