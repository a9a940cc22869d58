"""Is the process alive, can it serve, and how it does."""

import secrets
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.models import Job
from core.people import ADMIN, has_role
from core.selectors import queues_served


@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. It asks nobody else, so a broken database does not get web servers killed."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """200 if database and broker answer and every queue has a worker; otherwise 503 and which one is missing.

    A missing worker is reported but does not make it 503: pages and choices work without one.
    """
    checks: dict[str, Any] = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        served = queues_served()
        checks["database"] = "ok"
        checks["workers"] = {queue: "ok" if queue in served else "none seen for 45 s" for queue in Job.Queue.values}
    except DatabaseError:
        checks["database"] = "does not answer"
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2) as broker:
            broker.ping()
        checks["broker"] = "ok"
    except redis.RedisError:
        checks["broker"] = "does not answer"
    ready = checks["database"] == checks["broker"] == "ok"
    return JsonResponse({"ready": ready, **checks}, status=200 if ready else 503)


@never_cache
@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus: with the bearer token DREAMFORK_METRICS_TOKEN, or as an admin."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not (settings.METRICS_TOKEN and secrets.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())) and not has_role(request.user, ADMIN):
        raise PermissionDenied("Metrics need the token DREAMFORK_METRICS_TOKEN, or an admin.")
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
