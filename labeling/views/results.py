"""Pages for what came out: the leaderboard and exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.people import has_role, role_required
from labeling import exports
from labeling.forms import ChoiceFilterForm
from labeling.models import Choice, Comparison
from labeling.selectors.leaderboard import versions_ranked
from labeling.selectors.rounds import ChoiceFilter, live_choices
from labeling.views import PersonRequest

CONTENT_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
# An annotator sees how versions stand only after some own answers, so that names and ranks do not lead the first ones.
OWN_ANSWERS_FIRST = 10


@require_GET
@role_required("annotator", "researcher", "admin")
def leaderboard(request: PersonRequest) -> HttpResponse:
    own = Choice.objects.filter(annotator=request.user, undone_by__isnull=True).count()
    hidden = not has_role(request.user, "researcher") and own < OWN_ANSWERS_FIRST
    context: dict[str, Any] = {"hidden": hidden, "own": own, "needed": OWN_ANSWERS_FIRST}
    if not hidden:
        source = request.GET.get("source", "")
        where = ChoiceFilter(simulated={"people": False, "simulated": True}.get(source))
        context |= {"board": versions_ranked(where), "source": source, "sources": ChoiceFilterForm.SOURCES}
    return render(request, "labeling/leaderboard.html", context)


@require_GET
@role_required("researcher")
def exports_page(request: PersonRequest) -> HttpResponse:
    form = ChoiceFilterForm(request.GET)
    context = {"form": form, "columns": [(name, kind, text) for name, (kind, text) in exports.COLUMNS.items()]}
    if form.is_valid():
        until = exports.rows.settled_now()
        choices = live_choices(form.to_filter()).filter(created_at__lt=until)
        query = request.GET.copy()
        query.pop("as", None)
        context |= {"count": choices.count(), "simulated": choices.filter(is_simulated=True).count(), "query": query.urlencode()}
    context["any"] = Comparison.objects.exists()
    return render(request, "labeling/exports.html", context, status=200 if form.is_valid() else 422)


def export_response(request: PersonRequest, where: ChoiceFilter, kind: str, after, until) -> StreamingHttpResponse:
    """An export as a download that streams: the server holds one batch at a time."""
    batches = exports.export_rows(where, until=until, after=after)
    blocks = exports.jsonl_stream(batches) if kind == "jsonl" else exports.parquet_stream(batches)
    content = _in_thread(blocks) if isinstance(getattr(request, "_request", request), ASGIRequest) else blocks
    response = StreamingHttpResponse(content, content_type=CONTENT_TYPES[kind])
    response["Content-Disposition"] = f'attachment; filename="dreamfork-choices-{until:%Y%m%d-%H%M%S}.{kind}"'
    # What a client needs to go on after a broken download: the same end, and its own last row.
    response["X-Export-Until"] = until.isoformat()
    response["Cache-Control"] = "private, no-store"
    return response


async def _in_thread(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A synchronous generator for an ASGI server, without reading it to its end first."""
    take = sync_to_async(lambda: next(blocks, None), thread_sensitive=True)
    while (block := await take()) is not None:
        yield block
