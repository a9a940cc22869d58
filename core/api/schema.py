"""OpenAPI: every operation also documents the problems that any operation can answer with."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"description": "What is wrong, by field."},
    },
}
_ANY = {"400": "What was sent is not right.", "401": "Sign in, or send a token.", "403": "Not for this person.", "404": "There is no such thing."}
_WRITE = {"409": "It clashes with what is there.", "415": "Send JSON.", "422": "The same key with another body.", "429": "Too many writes; see Retry-After."}


class ProblemSchema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        also = dict(_ANY)
        if self.method not in ("GET", "HEAD"):
            also |= _WRITE
        for code, why in also.items():
            operation["responses"].setdefault(code, {"description": why, "content": {"application/problem+json": {"schema": PROBLEM}}})
        return operation
