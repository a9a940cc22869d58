"""Events by topic, over HTTP and by websocket."""

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import connection, transaction

from config.asgi import application
from core.events import events_after, publish, topic_access
from core.jobs import submit
from core.models import AuditEntry, Event


@pytest.mark.django_db
def test_it_reads_what_was_missed(researcher_client):
    first, second, other = publish("round:1", "a", {"n": 1}), publish("round:1", "b"), publish("round:2", "c")
    answer = researcher_client.get(f"/api/v1/events/?topic=round:1&after={first.pk}").json()
    assert [event["id"] for event in answer["events"]] == [second.pk]
    assert answer["last"] == second.pk
    assert researcher_client.get(f"/api/v1/events/?topic=round:1&after={other.pk}").json() == {"events": [], "last": other.pk}


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "topic=", "topic=x", "topic=round:1&after=-1", "topic=round:1&after=x", "topic=round:%00"])
def test_it_refuses_a_bad_question(researcher_client, query):
    answer = researcher_client.get(f"/api/v1/events/?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"]


@pytest.mark.django_db
def test_who_may_read_a_topic(annotator_client, researcher_client, annotator, researcher):
    mine, theirs = submit(kind="core.check", created_by=annotator), submit(kind="core.check", created_by=researcher)
    assert annotator_client.get(f"/api/v1/events/?topic={mine.topic}").status_code == 200
    assert annotator_client.get(f"/api/v1/events/?topic={theirs.topic}").status_code == 403
    assert annotator_client.get("/api/v1/events/?topic=round:1").status_code == 403, "for researchers unless an app says otherwise"
    assert researcher_client.get(f"/api/v1/events/?topic={mine.topic}").status_code == 200


@pytest.mark.django_db
def test_an_app_decides_about_its_prefix(annotator_client):
    topic_access("t-open", lambda user, rest: rest == "1")
    assert annotator_client.get("/api/v1/events/?topic=t-open:1").status_code == 200
    assert annotator_client.get("/api/v1/events/?topic=t-open:2").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_ids_of_a_topic_become_visible_in_order():
    """A reader who has seen id N never finds a smaller one later: the second publisher waits for the first to commit."""
    entered, release, order = threading.Event(), threading.Event(), []

    def slow() -> None:
        try:
            with transaction.atomic():
                order.append(publish("round:1", "slow").pk)
                entered.set()
                release.wait(10)
        finally:
            connection.close()

    def fast() -> None:
        try:
            publish("round:1", "fast")
        finally:
            connection.close()

    first = threading.Thread(target=slow)
    first.start()
    entered.wait(10)
    second = threading.Thread(target=fast)
    second.start()
    second.join(1.0)
    assert second.is_alive(), "the second waits"
    assert events_after(topic="round:1", after=0) == []
    release.set()
    first.join(10)
    second.join(10)
    assert [event.kind for event in events_after(topic="round:1", after=0)] == ["slow", "fast"]


@pytest.mark.django_db(transaction=True)
def test_the_audit_log_cannot_be_changed():
    from django.db.utils import Error

    from core.audit import record

    entry = record(actor=None, action="t.t", target="x")
    for act in (lambda: AuditEntry.objects.filter(pk=entry.pk).update(reason="forged"), lambda: AuditEntry.objects.all().delete()):
        with pytest.raises(Error, match="append-only"), transaction.atomic():
            act()


# -- websockets -------------------------------------------------------------------------------------------------------


def socket_for(client, topic: str, origin: str = "http://127.0.0.1") -> WebsocketCommunicator:
    cookie = client.cookies["sessionid"].value if "sessionid" in client.cookies else ""
    headers = [(b"cookie", f"sessionid={cookie}".encode()), (b"origin", origin.encode()), (b"host", b"127.0.0.1")]
    return WebsocketCommunicator(application, f"/ws/events/?topic={topic}", headers=headers)


@pytest.mark.django_db(transaction=True)
def test_a_page_is_told_that_something_changed(researcher_client):
    before = publish("round:1", "a")

    async def scenario():
        socket = socket_for(researcher_client, "round:1")
        assert (await socket.connect())[0]
        assert await socket.receive_json_from(30) == {"topic": "round:1", "last": before.pk}
        after = await sync_to_async(publish)("round:1", "b")
        assert await socket.receive_json_from(30) == {"topic": "round:1", "last": after.pk}
        await sync_to_async(publish)("round:2", "c")
        assert await socket.receive_nothing(0.3)
        await socket.disconnect()

    asyncio.run(scenario())


@pytest.mark.django_db(transaction=True)
def test_a_topic_of_others_closes_the_socket(annotator_client, client):
    async def code(one) -> int:
        socket = socket_for(one, "round:1")
        await socket.connect()
        message = await socket.receive_output(30)
        return message["code"]

    assert asyncio.run(code(annotator_client)) == 4403
    assert asyncio.run(code(client)) == 4403


@pytest.mark.django_db(transaction=True)
def test_another_sites_page_gets_no_socket(researcher_client):
    async def connected() -> bool:
        return (await socket_for(researcher_client, "round:1", origin="http://evil.example").connect())[0]

    assert not asyncio.run(connected())


@pytest.mark.django_db
def test_old_routine_jobs_that_went_well_are_forgotten(settings, researcher):
    from datetime import timedelta

    from django.utils import timezone

    from core.jobs import kinds, submit
    from core.models import Job
    from core.tidy import tidy_all

    routine = next(kind.name for kind in kinds() if kind.every_s is not None)
    long_ago = timezone.now() - timedelta(days=settings.EVENT_KEEP_DAYS + 1)
    _old, failed, asked, new, other = (submit(kind=kind, created_by=by) for kind, by in (
        (routine, None), (routine, None), (routine, researcher), (routine, None), ("core.check", None),
    ))  # fmt: skip
    Job.objects.update(state="succeeded", finished_at=timezone.now())
    Job.objects.filter(pk=failed.pk).update(state="failed", error="It broke.")
    Job.objects.exclude(pk=new.pk).update(created_at=long_ago)
    assert tidy_all()["jobs"] == 1
    assert set(Job.objects.values_list("pk", flat=True)) == {job.pk for job in (failed, asked, new, other)}


@pytest.mark.django_db
def test_old_events_are_forgotten(settings):
    from datetime import timedelta

    from django.utils import timezone

    from core.tidy import tidy_all

    old, new = publish("round:1", "old"), publish("round:1", "new")
    Event.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=settings.EVENT_KEEP_DAYS + 1))
    assert tidy_all()["events"] == 1
    assert list(Event.objects.values_list("pk", flat=True)) == [new.pk]
