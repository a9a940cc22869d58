"""The content-addressed store: bytes go in, their sha256 is their name for ever.

On disk (`DREAMFORK_HOME/blobs`) or S3. A name is never written twice, so readers need no locks and caches no expiry.
"""

import errno
import hashlib
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from core.models import Blob

_CHUNK = 1024 * 1024


class NoSpace(Exception):
    """The disk is full; the message says which one."""


def storage() -> Storage:
    return storages["blobs"]


def blob_name(sha256: str) -> str:
    """Where a blob lies in its storage; two levels keep directories small.

    Raises:
        ValueError: not a sha256 in lower-case hex (a name never becomes a path unchecked).
    """
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError(f"{sha256!r} is not a sha256")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def blob_store(data: bytes | Path, content_type: str, audience: str = Blob.Audience.PEOPLE) -> Blob:
    """Keep bytes, or the content of a file. Storing the same bytes again returns the blob that is there.

    Stored twice for different audiences, the wider one holds: the bytes are the same, and whoever
    shows them to people means to.

    Raises:
        NoSpace: the disk is full. Nothing half-written is left.
    """
    digest, size = _digest(data)
    name = blob_name(digest)
    known = Blob.objects.filter(pk=digest).first()
    if known is None or not storage().exists(name):
        if isinstance(storage(), FileSystemStorage):
            _write_atomically(Path(storage().path(name)), data)
        else:
            with data.open("rb") if isinstance(data, Path) else BytesIO(data) as file:
                content = File(file)
                content.content_type = content_type  # type: ignore[attr-defined]  # S3 keeps it with the object
                storage().save(name, content)
    blob, made = Blob.objects.get_or_create(sha256=digest, defaults={"size": size, "content_type": content_type, "audience": audience})
    if not made and blob.audience == Blob.Audience.RESEARCHERS and audience == Blob.Audience.PEOPLE:
        Blob.objects.filter(pk=digest).update(audience=audience)
        blob.audience = audience
    return blob


def blob_path(sha256: str) -> Path:
    """A local file with the bytes; from S3 it is downloaded into the cache first and checked.

    Raises:
        FileNotFoundError: the storage does not have it.
        ValueError: what came is not what the name says.
    """
    name = blob_name(sha256)
    if isinstance(storage(), FileSystemStorage):
        path = Path(storage().path(name))
        if not path.exists():
            raise FileNotFoundError(f"blob {sha256} is not in {settings.BLOB_DIR}")
        return path
    path = settings.CACHE_DIR / "blobs" / name
    if not path.exists():
        data = blob_bytes_remote(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError(f"blob {sha256} came back changed from the storage")
        _write_atomically(path, data)
    return path


def blob_bytes_remote(name: str) -> bytes:
    try:
        with storage().open(name) as file:
            return file.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"blob {name} is not in the storage") from None


def blob_bytes(sha256: str) -> bytes:
    """The bytes.

    Raises:
        FileNotFoundError: the storage does not have them.
    """
    return blob_path(sha256).read_bytes()


def _digest(data: bytes | Path) -> tuple[str, int]:
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest(), len(data)
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def _write_atomically(path: Path, data: bytes | Path) -> None:
    """Readers see all of it or nothing, also after a power cut."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    with data.open("rb") as source:
                        _copy(source, file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"No space is left on the disk of {settings.HOME}; free some and try again.") from error
        raise


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(_CHUNK):
        target.write(chunk)
