"""Blobs over HTTP: permission, one range, a strong ETag, caching for ever."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.storage import FileSystemStorage
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from core.api.authentication import token_user
from core.media import blob_name, storage
from core.models import Blob
from core.people import RESEARCHER, has_any_role, has_role

ACCEL_PREFIX = "/protected-blobs/"  # an internal location of docker/nginx.conf
_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# What a browser shows as itself; everything else is a download, so that no uploaded page runs on our origin.
_INLINE = {"image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4", "video/webm"}


@require_safe
def media(request: HttpRequest, sha256: str) -> HttpResponseBase:
    """A blob, for a session or an API token. Others get 401 (an image cannot follow a redirect to a sign-in page)."""
    user = request.user if request.user.is_authenticated else token_user(request)
    if user is None:
        return HttpResponse("Sign in to see this.", status=401, content_type="text/plain")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise Http404
    blob = get_object_or_404(Blob, pk=sha256)
    if not (has_role(user, RESEARCHER) if blob.audience == Blob.Audience.RESEARCHERS else has_any_role(user)):
        raise PermissionDenied("This file is for researchers.")
    etag = f'"{blob.sha256}"'
    if _matches(request.headers.get("If-None-Match", ""), etag):
        return _headers(HttpResponseNotModified(), blob, etag)
    if not isinstance(storage(), FileSystemStorage):
        # The signed address is valid for minutes: the redirect itself must not be kept.
        parameters = {"ResponseContentType": blob.content_type, "ResponseContentDisposition": _disposition(blob)}
        signed = storage().url(blob_name(sha256), parameters=parameters)  # type: ignore[call-arg]
        return HttpResponseRedirect(signed, headers={"Cache-Control": "private, max-age=120"})
    if settings.BLOB_ACCEL:
        response = HttpResponse(headers={"X-Accel-Redirect": ACCEL_PREFIX + blob_name(sha256)})
        return _headers(response, blob, etag)  # nginx answers ranges by itself
    path = Path(storage().path(blob_name(sha256)))
    if not path.exists():
        raise Http404("The bytes of this file are gone from the disk.")
    return _headers(_from_disk(request, path, blob.size, etag), blob, etag)


def _matches(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in header.split(",")]


def _disposition(blob: Blob) -> str:
    return "inline" if blob.content_type in _INLINE else f'attachment; filename="{blob.sha256[:16]}"'


def _headers(response: HttpResponseBase, blob: Blob, etag: str) -> HttpResponseBase:
    if response.status_code != 416:
        response.headers["Content-Type"] = blob.content_type
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Disposition"] = _disposition(blob)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Vary"] = "Cookie"
    response._csp_replace = {"default-src": ["'none'"], "sandbox": True}  # type: ignore[attr-defined]
    return response


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The first and last byte that a Range header asks for; None for the whole.

    More than one range, or one that is not understood, may be answered with the whole (RFC 9110, 14.2).

    Raises:
        ValueError: the range lies outside.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":
        if int(last) == 0:
            raise ValueError(header)
        return max(0, size - int(last)), size - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise ValueError(header)
    return int(first), min(int(last), size - 1) if last else size - 1


def _from_disk(request: HttpRequest, path: Path, size: int, etag: str) -> HttpResponseBase:
    asked = request.headers.get("Range", "")
    if asked and request.headers.get("If-Range", etag) != etag:
        asked = ""  # it has a part of something else: send everything
    try:
        part = _range(asked, size) if asked else None
    except ValueError:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"}, content_type="text/plain")
    first, last = part or (0, size - 1)
    length = last - first + 1
    headers = {"Content-Length": str(length)}
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if part is not None else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    if length <= _CHUNK:
        return HttpResponse(next(_chunks(path, first, length), b""), status=status, headers=headers)
    stream: Any = _chunks_async(path, first, length) if isinstance(request, ASGIRequest) else _chunks(path, first, length)
    return StreamingHttpResponse(stream, status=status, headers=headers)


def _chunks(path: Path, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length > 0 and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk


async def _chunks_async(path: Path, first: int, length: int) -> AsyncIterator[bytes]:
    """Page-sized reads of a local file: short enough not to hold up the event loop."""
    for chunk in _chunks(path, first, length):
        yield chunk
