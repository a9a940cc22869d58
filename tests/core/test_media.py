"""The content-addressed store and how it is served."""

import hashlib
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from core.media import NoSpace, blob_bytes, blob_name, blob_path, blob_store, storage
from core.models import Blob
from core.people import api_token_create

pytestmark = pytest.mark.django_db

DATA = bytes(range(256)) * 4  # 1 KiB


@pytest.fixture
def blob():
    return blob_store(DATA, "image/png")


def test_it_is_named_by_its_sha256(blob):
    assert blob.sha256 == hashlib.sha256(DATA).hexdigest()
    assert blob.url == f"/media/{blob.sha256}"
    assert blob.size == 1024
    assert blob_bytes(blob.sha256) == DATA


def test_the_same_bytes_are_stored_once(blob, tmp_path):
    (tmp_path / "same").write_bytes(DATA)
    assert blob_store(tmp_path / "same", "image/png") == blob
    assert Blob.objects.count() == 1


def test_the_wider_audience_holds():
    assert blob_store(b"x", "image/png", audience="researchers").audience == "researchers"
    assert blob_store(b"x", "image/png", audience="people").audience == "people"
    assert blob_store(b"x", "image/png", audience="researchers").audience == "people"


def test_bytes_that_are_gone_are_stored_again(blob):
    blob_path(blob.sha256).unlink()
    with pytest.raises(FileNotFoundError):
        blob_bytes(blob.sha256)
    blob_store(DATA, "image/png")
    assert blob_bytes(blob.sha256) == DATA


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "g" * 64])
def test_a_name_never_becomes_a_path_unchecked(name):
    with pytest.raises(ValueError, match="is not a sha256"):
        blob_name(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_said_and_leaves_nothing(settings, tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount a disk")
    try:
        settings.STORAGES = {**settings.STORAGES, "blobs": {**settings.STORAGES["blobs"], "OPTIONS": {"location": str(tmp_path)}}}
        with pytest.raises(NoSpace, match="No space is left"):
            blob_store(os.urandom(1024 * 1024), "video/mp4")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert not Blob.objects.exists()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


# -- over HTTP --------------------------------------------------------------------------------------------------------


def body(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_it_serves_the_whole(annotator_client, blob):
    answer = annotator_client.get(blob.url)
    assert answer.status_code == 200
    assert body(answer) == DATA
    headers = answer.headers
    assert headers["ETag"] == f'"{blob.sha256}"'
    assert headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "image/png"
    assert headers["Content-Disposition"] == "inline"
    assert "sandbox" in headers["Content-Security-Policy"]


def test_it_needs_a_session(client, blob):
    assert client.get(blob.url).status_code == 401


def test_a_program_comes_with_its_token(client, annotator, blob):
    _, secret = api_token_create(user=annotator, name="t")
    assert client.get(blob.url, headers={"Authorization": f"Token {secret}"}).status_code == 200
    assert client.get(blob.url, headers={"Authorization": "Token wrong"}).status_code == 401


def test_it_checks_the_role(stranger_client, annotator_client, researcher_client, blob):
    secret = blob_store(b"weights", "application/octet-stream", audience="researchers")
    assert stranger_client.get(blob.url).status_code == 403
    assert annotator_client.get(secret.url).status_code == 403
    assert body(researcher_client.get(secret.url)) == b"weights"


def test_it_checks_the_role_before_it_says_not_modified(stranger_client, blob):
    assert stranger_client.get(blob.url, headers={"If-None-Match": f'"{blob.sha256}"'}).status_code == 403


def test_what_a_browser_would_run_is_a_download(annotator_client):
    page = blob_store(b"<script>alert(1)</script>", "text/html")
    assert annotator_client.get(page.url).headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("name", ["0" * 64, "zz", "..%2F..%2Fetc%2Fpasswd"])
def test_it_does_not_find_what_is_not_there(annotator_client, name):
    assert annotator_client.get(f"/media/{name}").status_code == 404


def test_it_answers_head(annotator_client, blob):
    answer = annotator_client.head(blob.url)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "1024", b"")


def test_it_rejects_post(annotator_client, blob):
    assert annotator_client.post(blob.url).status_code == 405


def test_not_modified(annotator_client, blob):
    for tag in (f'"{blob.sha256}"', f'W/"{blob.sha256}"', f'"other", "{blob.sha256}"', "*"):
        assert annotator_client.get(blob.url, headers={"If-None-Match": tag}).status_code == 304, tag
    assert annotator_client.get(blob.url, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=1000-", 1000, 1023),
        ("bytes=-24", 1000, 1023),
        ("bytes=1000-9999", 1000, 1023),
        ("bytes=-9999", 0, 1023),
    ],
)
def test_it_serves_a_range(annotator_client, blob, asked, first, last):
    answer = annotator_client.get(blob.url, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert body(answer) == DATA[first : last + 1]


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_outside_is_416(annotator_client, blob, asked):
    answer = annotator_client.get(blob.url, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=a-b", "bytes=-", "items=0-1", "bytes=0-1,5-6"])
def test_a_range_that_is_not_understood_gets_the_whole(annotator_client, blob, asked):
    answer = annotator_client.get(blob.url, headers={"Range": asked})
    assert (answer.status_code, body(answer)) == (200, DATA)


def test_if_range(annotator_client, blob):
    same = annotator_client.get(blob.url, headers={"Range": "bytes=0-9", "If-Range": f'"{blob.sha256}"'})
    other = annotator_client.get(blob.url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code, body(other)) == (206, 200, DATA)


def test_a_large_file_is_streamed(annotator_client):
    data = os.urandom(700_000)
    large = blob_store(data, "video/mp4")
    answer = annotator_client.get(large.url, headers={"Range": "bytes=100-600099"})
    assert answer.streaming
    assert body(answer) == data[100:600_100]


def test_behind_nginx_only_the_name_is_sent(annotator_client, blob, settings):
    settings.BLOB_ACCEL = True
    answer = annotator_client.get(blob.url)
    assert answer.headers["X-Accel-Redirect"] == f"/protected-blobs/{blob.sha256[:2]}/{blob.sha256[2:4]}/{blob.sha256}"
    assert answer.content == b""
    assert answer.headers["Content-Type"] == "image/png"


# -- S3: the same store behind a server that speaks S3 -------------------------------------------------------------------


@pytest.fixture
def s3(settings, tmp_path, monkeypatch):
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="k", aws_secret_access_key="s", region_name="us-east-1").create_bucket(Bucket="dreams")
    options = {
        "bucket_name": "dreams", "endpoint_url": endpoint, "region_name": "us-east-1", "access_key": "k", "secret_key": "s",
        "querystring_expire": 300, "file_overwrite": True, "signature_version": "s3v4", "addressing_style": "path",
    }  # fmt: skip
    settings.STORAGES = {**settings.STORAGES, "blobs": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}}
    settings.CACHE_DIR = tmp_path / "cache"
    yield endpoint
    server.stop()


def test_s3_keeps_and_gives_back(s3, tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    blob = blob_store(tmp_path / "file", "image/png")
    assert storage().exists(blob_name(blob.sha256))
    path = blob_path(blob.sha256)
    assert path.is_relative_to(tmp_path / "cache")
    assert path.read_bytes() == DATA
    with pytest.raises(FileNotFoundError):
        blob_bytes("0" * 64)


def test_s3_bytes_that_were_changed_are_refused(s3):
    blob = blob_store(DATA, "image/png")
    from django.core.files.base import ContentFile

    storage().save(blob_name(blob.sha256), ContentFile(b"evil"))
    with pytest.raises(ValueError, match="came back changed"):
        blob_bytes(blob.sha256)


def test_s3_is_served_by_a_signed_address(s3, annotator_client, stranger_client):
    blob = blob_store(DATA, "image/png")
    assert stranger_client.get(blob.url).status_code == 403
    answer = annotator_client.get(blob.url)
    assert answer.status_code == 302
    assert "immutable" not in answer.headers["Cache-Control"]
    assert answer.headers["Location"].startswith(s3)
    with urllib.request.urlopen(answer.headers["Location"]) as got:
        assert got.read() == DATA
        assert got.headers["Content-Type"] == "image/png"


def test_blobs_lie_two_levels_deep(blob):
    assert blob_path(blob.sha256).relative_to(Path(storage().location)).parts == (blob.sha256[:2], blob.sha256[2:4], blob.sha256)
