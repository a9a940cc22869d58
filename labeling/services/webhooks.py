"""Signed webhooks on choices. One delivery row for each webhook and event; a job sends what is due.

Signed as the Standard Webhooks specification says: header `webhook-signature: v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`, with
`webhook-id` and `webhook-timestamp`. The secret is `whsec_` + base64.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import socket
import time
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core import audit
from labeling.errors import Invalid
from labeling.models import Choice, Webhook, WebhookDelivery

JOB_KIND = "labeling.webhooks"
TIMEOUT_S = 10
# Waits between attempts; after the last one the delivery has failed.
BACKOFF_S = (10, 60, 300, 1800, 7200)


def webhook_create(*, url: str, by, description: str = "", include_simulated: bool = False) -> tuple[Webhook, str]:
    """A webhook and its secret, which is shown once. Raises Invalid for a URL that must not be called."""
    address_check(url)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with transaction.atomic():
        webhook = Webhook.objects.create(url=url, secret=secret, description=description, include_simulated=include_simulated, created_by=by)
        audit.record(actor=by, action="webhook.create", target=webhook, after={"url": url, "include_simulated": include_simulated})
    return webhook, secret


def webhook_switch(*, webhook: Webhook, on: bool, by) -> Webhook:
    with transaction.atomic():
        Webhook.objects.filter(pk=webhook.pk).update(is_active=on)
        audit.record(actor=by, action="webhook.switch", target=webhook, before={"is_active": webhook.is_active}, after={"is_active": on})
    webhook.refresh_from_db()
    return webhook


def choice_announce(*, choice: Choice, event: str = "choice.created") -> None:
    """Queue an event for every webhook that wants it. Call inside the transaction that wrote the choice."""
    wanted = Webhook.objects.filter(is_active=True)
    if choice.is_simulated:
        wanted = wanted.filter(include_simulated=True)
    hooks = list(wanted)
    if not hooks:
        return
    from core.jobs import submit
    from core.models import Job

    comparison = choice.comparison
    payload = {
        "type": event,
        "timestamp": timezone.now().isoformat(),
        "data": {
            "choice": str(choice.pk), "comparison": comparison.pk, "rollout_a": comparison.rollout_a_id, "rollout_b": comparison.rollout_b_id,
            "answer": choice.answer, "strength": choice.strength, "is_simulated": choice.is_simulated, "created_at": choice.created_at.isoformat(),
        },
    }  # fmt: skip
    WebhookDelivery.objects.bulk_create(WebhookDelivery(webhook=hook, event=event, payload=payload, next_attempt_at=timezone.now()) for hook in hooks)
    # A job that still waits will send this one too: it looks for what is due when it starts.
    if not Job.objects.filter(kind=JOB_KIND, state=Job.State.QUEUED).exists():
        submit(kind=JOB_KIND, params={})


def signature(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def address_check(url: str) -> None:
    """Refuse what would let a webhook reach into the own network: other schemes, and addresses that are not public.

    Raises Invalid. With DREAMFORK_DEBUG, addresses of this machine are allowed.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username:
        raise Invalid("A webhook needs an http(s) URL without a user name.")
    if settings.DEBUG:
        return
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError:
        raise Invalid(f"{parts.hostname} can not be found.") from None
    if any(not ipaddress.ip_address(entry[4][0]).is_global for entry in found):
        raise Invalid(f"{parts.hostname} is not a public address.")


def webhooks_deliver(*, limit: int = 200, transport: httpx.BaseTransport | None = None) -> dict:
    """Send what is due. Each delivery is claimed by moving its next attempt, so that two workers do not send it at once."""
    counts = {"delivered": 0, "again": 0, "failed": 0}
    with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, transport=transport) as client:
        for _ in range(limit):
            delivery = _claim()
            if delivery is None:
                break
            counts[_send(client, delivery)] += 1
    return counts


def _claim() -> WebhookDelivery | None:
    with transaction.atomic():
        delivery = (
            WebhookDelivery.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("webhook")
            .filter(state=WebhookDelivery.State.PENDING, next_attempt_at__lte=timezone.now())
            .order_by("next_attempt_at")
            .first()
        )
        if delivery is not None:
            wait = BACKOFF_S[min(delivery.attempts, len(BACKOFF_S) - 1)]
            delivery.attempts += 1
            delivery.next_attempt_at = timezone.now() + timedelta(seconds=wait)
            delivery.save(update_fields=["attempts", "next_attempt_at"])
        return delivery


def _send(client: httpx.Client, delivery: WebhookDelivery) -> str:
    body = json.dumps(delivery.payload, separators=(",", ":")).encode()
    now = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": str(delivery.pk),
        "webhook-timestamp": str(now),
        "webhook-signature": signature(delivery.webhook.secret, str(delivery.pk), now, body),
    }
    status, error = None, ""
    try:
        if not delivery.webhook.is_active:
            raise Invalid("The webhook was switched off.")
        # Looked up again: the name may point elsewhere since the webhook was made.
        address_check(delivery.webhook.url)
        status = client.post(delivery.webhook.url, content=body, headers=headers).status_code
        error = "" if 200 <= status < 300 else f"Answered {status}."
    except (httpx.HTTPError, Invalid) as problem:
        error = str(problem)[:300] or type(problem).__name__
    delivery.response_status, delivery.error = status, error
    if not error:
        delivery.state, delivery.delivered_at = WebhookDelivery.State.DELIVERED, timezone.now()
        result = "delivered"
    elif delivery.attempts > len(BACKOFF_S) or not delivery.webhook.is_active:
        delivery.state, result = WebhookDelivery.State.FAILED, "failed"
    else:
        result = "again"
    delivery.save(update_fields=["response_status", "error", "state", "delivered_at"])
    return result
