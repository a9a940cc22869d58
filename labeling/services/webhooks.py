"""Signed webhooks on choices. One delivery row for each webhook and event; a job sends what is due.

Signed as the Standard Webhooks specification says: header `webhook-signature: v1,<base64 HMAC-SHA256 of "id.timestamp.body">`,
with `webhook-id` and `webhook-timestamp`.
"""

from __future__ import annotations

from labeling.models import Choice


def choice_announce(*, choice: Choice, event: str = "choice.created") -> None:
    """Queue an event for every webhook that wants it. Call inside the transaction that wrote the choice."""
