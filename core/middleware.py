"""A request's id, its measure, who may come without a name, and what a page is told when its session has expired."""

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url

from core.metrics import REQUEST_SECONDS

log = structlog.get_logger("dreamfork.request")
Handler = Callable[[HttpRequest], HttpResponseBase]
_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


def request_id(get_response: Handler) -> Handler:
    """Every log line and response carries the request's id; a proxy's own id is kept."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        identity = given if _ID.fullmatch(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=identity)
        request.request_id = identity  # type: ignore[attr-defined]
        response = get_response(request)
        response.headers["X-Request-ID"] = identity
        return response

    return middleware


def measure(get_response: Handler) -> Handler:
    """One line and one observation per request. The path is logged; its query (which may hold secrets) is not."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = get_response(request)
        seconds = time.perf_counter() - began
        match = request.resolver_match
        view = match.view_name if match else "none"
        REQUEST_SECONDS.labels(request.method or "?", view, str(response.status_code)).observe(seconds)
        if not request.path.startswith((settings.STATIC_URL, "/healthz", "/readyz", "/metrics")):
            # A one-time link's secret stands in its path.
            path = "/sign-in/link/…" if view == "core:sign_in_link" else request.path
            log.info("request", method=request.method, path=path, status=response.status_code, ms=round(seconds * 1000, 1))
        return response

    return middleware


def asked_from_inside(get_response: Handler) -> Handler:
    """Probes and scrapers come by whatever address the process has; nothing in what they are told is made of it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if request.path in ("/healthz", "/readyz", "/metrics"):
            request.META["HTTP_HOST"] = "localhost"
        return get_response(request)

    return middleware


def expired_session(get_response: Handler) -> Handler:
    """An htmx request of a person who has been signed out gets 401 and where to sign in, not a sign-in page in a table cell.

    The page stays as it is, with what was typed; the front end offers to sign in in another tab.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not request.headers.get("HX-Request") or response.status_code != 302 or request.user.is_authenticated:
            return response
        if not response.headers.get("Location", "").startswith(resolve_url(settings.LOGIN_URL)):
            return response
        return HttpResponse(status=401, headers={"X-Sign-In": response.headers["Location"]})

    return middleware
