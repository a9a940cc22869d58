"""docker/nginx.conf, with Debian's nginx in front of the real web server: media, ranges, websockets, limits."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import psycopg2
import pytest
import requests
from websockets.sync.client import connect

from core import servers
from tests.chaos.stack import ROOT, Stack, free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed (apt-get install nginx-light)"),
]

DATA = bytes(range(256)) * 4096  # 1 MiB
SETUP = """
from core.media import blob_store
from core.people import person_ensure, sign_in_link_create
from core.events import publish
blob_store(bytes(range(256)) * 4096, "video/mp4")
print(sign_in_link_create(user=person_ensure(username="rob", roles=("researcher",))))
publish("round:1", "first")
"""


@pytest.fixture(scope="module")
def site(new_home):
    """The product behind nginx, and a signed-in session."""
    home, front = new_home(), free_port()
    url = f"http://127.0.0.1:{front}"
    # Here also the database and the broker are someone else's, as in production.
    ours = Path(os.environ["DREAMFORK_HOME"])
    database = os.environ.get("DATABASE_URL", servers.postgres_url(ours))  # a worker of xdist is told where the controller's servers are
    broker = os.environ.get("REDIS_URL", servers.valkey_url(ours)).partition("?")[0]
    administration = psycopg2.connect(database.replace("/dreamfork?", "/postgres?"))
    administration.autocommit = True
    administration.cursor().execute("CREATE DATABASE behind_nginx")
    administration.close()
    stack = Stack(
        home, DREAMFORK_URL=url, DREAMFORK_BEHIND_PROXY="true", DREAMFORK_X_ACCEL="true",
        DATABASE_URL=database.replace("/dreamfork?", "/behind_nginx?"), REDIS_URL=f"{broker}?db=9",
    )  # fmt: skip
    text = (ROOT / "docker" / "nginx.conf").read_text()
    for old, new in {
        "web:8000": f"127.0.0.1:{stack.port}", "listen 80;": f"listen 127.0.0.1:{front};", "/data/blobs/": f"{home}/blobs/",
        "/tmp/nginx.pid": f"{home}/nginx.pid", "worker_processes auto;": "worker_processes 1; daemon off; error_log stderr;",
    }.items():  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    if os.geteuid() == 0:
        text = "user root;\n" + text  # the test's directory is closed to others
    (home / "nginx.conf").write_text(text)
    nginx = subprocess.Popen(["nginx", "-c", str(home / "nginx.conf"), "-p", str(home)], stderr=subprocess.DEVNULL)
    try:
        stack.wait_up()
        made = stack.manage("shell", "-v", "0", "-c", SETUP)
        assert made.returncode == 0, made.stderr
        session = requests.Session()
        link = url + made.stdout.split()[-1]
        page = session.get(link)
        token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        assert session.post(link, data={"csrfmiddlewaretoken": token}, headers={"Referer": url}).status_code == 200
        yield url, session, stack
    finally:
        nginx.terminate()
        nginx.wait(10)
        stack.stop()
    assert stack.family() == []


def test_nginx_sends_media_after_the_check(site):
    url, session, stack = site
    address = f"{url}/media/{hashlib.sha256(DATA).hexdigest()}"
    assert requests.get(address).status_code == 401
    answer = session.get(address)
    assert answer.status_code == 200
    assert answer.content == DATA
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "immutable" in answer.headers["Cache-Control"]
    part = session.get(address, headers={"Range": "bytes=1000-1999"})
    assert not any("postgres" in process.name() for process in stack.family()), "a database that is given is used, not started"
    assert (part.status_code, part.content) == (206, DATA[1000:2000])
    assert session.get(address, headers={"Range": f"bytes={len(DATA)}-"}).status_code == 416
    assert session.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert session.get(f"{url}/protected-blobs/{address[-64:-62]}/").status_code == 404, "no way around the check"


def test_websockets_come_through(site):
    url, session, stack = site
    cookie = f"sessionid={session.cookies['sessionid']}"
    with connect(url.replace("http", "ws") + "/ws/events/?topic=round:1", additional_headers={"Cookie": cookie}, origin=url) as socket:
        first = json.loads(socket.recv(timeout=10))
        assert first["topic"] == "round:1"
        stack.manage("shell", "-v", "0", "-c", "from core.events import publish; publish('round:1', 'second')")
        # It also says from time to time where it is.
        wait_for(lambda: json.loads(socket.recv(timeout=30))["last"] > first["last"], timeout_s=60, why="the ping of the second event")


def test_metrics_stay_inside(site):
    url, session, stack = site
    assert session.get(f"{url}/metrics").status_code == 404
    assert stack.status("/metrics") == 403


def test_sign_in_is_slowed_down(site):
    url, _, _ = site
    codes = {requests.get(f"{url}/sign-in/").status_code for _ in range(40)}
    assert codes == {200, 429}
    wait_for(lambda: requests.get(f"{url}/sign-in/").status_code == 200, timeout_s=30, why="only for a moment")
