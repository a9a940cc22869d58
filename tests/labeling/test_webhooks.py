from __future__ import annotations

import base64
import hashlib
import hmac
import json

import httpx
import pytest
from django.urls import reverse
from django.utils import timezone

from core.models import Job
from labeling import services
from labeling.errors import Invalid
from labeling.models import AnnotatorProfile, Webhook, WebhookDelivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(admin_person, settings):
    settings.DEBUG = True
    webhook, secret = services.webhook_create(url="https://example.test/hook", by=admin_person)
    webhook.shown = secret
    return webhook


class Receiver(httpx.MockTransport):
    """Stands where the other end of the wire would be; everything on our side of it is real."""

    def __init__(self, status: int = 204) -> None:
        self.requests: list[httpx.Request] = []
        super().__init__(lambda request: (self.requests.append(request), httpx.Response(status))[1])


def test_a_choice_is_announced_signed(hook, make_comparisons, annotator, answer):
    make_comparisons(1)
    choice = answer(annotator)
    receiver = Receiver()
    assert services.webhooks_deliver(transport=receiver) == {"delivered": 1, "again": 0, "failed": 0}
    (request,) = receiver.requests
    body = json.loads(request.content)
    assert (body["type"], body["data"]["choice"], body["data"]["answer"]) == ("choice.created", str(choice.pk), choice.answer)
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.content
    key = base64.b64decode(hook.shown.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert services.webhooks_deliver(transport=receiver)["delivered"] == 0


def test_an_undo_is_announced_too(hook, make_comparisons, annotator, answer):
    make_comparisons(1)
    services.choice_undo(annotator=annotator, choice_id=answer(annotator).pk)
    receiver = Receiver()
    services.webhooks_deliver(transport=receiver)
    assert [json.loads(request.content)["type"] for request in receiver.requests] == ["choice.created", "choice.undone"]


def test_a_refused_delivery_is_tried_again_and_given_up_in_the_end(hook, make_comparisons, annotator, answer):
    make_comparisons(1)
    answer(annotator)
    for attempt in range(6):
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
        counts = services.webhooks_deliver(transport=Receiver(500))
        assert counts == {"delivered": 0, "again": int(attempt < 5), "failed": int(attempt == 5)}
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts, delivery.response_status, delivery.error) == ("failed", 6, 500, "Answered 500.")


def test_simulated_choices_are_announced_only_where_wanted(hook, admin_person, make_comparisons, annotator, answer):
    make_comparisons(2)
    AnnotatorProfile.objects.filter(user=annotator).delete()
    AnnotatorProfile.objects.create(user=annotator, is_simulated=True, qualification="waived")
    answer(annotator)
    assert not WebhookDelivery.objects.exists()
    Webhook.objects.update(include_simulated=True)
    answer(annotator)
    assert WebhookDelivery.objects.count() == 1
    services.webhook_switch(webhook=hook, on=False, by=admin_person)
    assert services.webhooks_deliver(transport=Receiver())["failed"] == 1


def test_it_does_not_reach_into_the_own_network(admin_person, settings):
    settings.DEBUG = False
    for url in (
        "http://127.0.0.1/x",
        "http://localhost:6379",
        "https://169.254.169.254/latest",
        "ftp://example.com",
        "https://me@example.com",
        "http://[::1]/",
    ):
        with pytest.raises(Invalid):
            services.webhook_create(url=url, by=admin_person)
    assert not Webhook.objects.exists()


def test_a_burst_is_one_job(hook, make_comparisons, annotator, answer):
    make_comparisons(4)
    for _ in range(4):
        answer(annotator)
    assert Job.objects.filter(kind="labeling.webhooks").count() == 1
    assert WebhookDelivery.objects.count() == 4


def test_the_page_shows_the_secret_once(admin_client_, settings):
    settings.DEBUG = True
    page = reverse("labeling:webhooks")
    answer = admin_client_.post(page, {"url": "https://example.test/hook", "description": "lab"})
    secret = Webhook.objects.get().secret
    assert secret in answer.content.decode()
    assert secret not in admin_client_.get(page).content.decode()
    admin_client_.post(reverse("labeling:webhook_switch", args=[Webhook.objects.get().pk]))
    assert not Webhook.objects.get().is_active
