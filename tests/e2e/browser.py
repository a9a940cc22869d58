"""A real Chromium, where there is one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

# lab.test stands for a server in a laboratory, on plain http under a name of its own.
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--host-resolver-rules=MAP lab.test 127.0.0.1"]
MISSING = "no Chromium on this machine: install it (Debian: apt-get install chromium-headless-shell) or set CHROMIUM to its path, and the browser tests run"
# The shell is the same browser without windows of its own, each of which takes a whole Chromium most of a second of work, whatever is shown in it.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def chromium_path() -> str | None:
    """Where Chromium is, or None."""
    wanted = os.environ.get("CHROMIUM")
    for name in [wanted] if wanted else NAMES:
        found = shutil.which(name)
        if found and Path(found).exists():
            return found
    return None


KEPT = """async () => {
    const names = (await caches.keys()).filter((name) => name.startsWith("dreamfork-page-"));
    const pages = await Promise.all(names.map(async (name) => Boolean(await (await caches.open(name)).match("/label/"))));
    // Opening a database that is not there would make an empty one, and the page would find no place for its pairs in it.
    const there = (await indexedDB.databases()).some((one) => one.name === "dreamfork-pairs");
    const pairs = !there ? 0 : await new Promise((resolve) => {
        const request = indexedDB.open("dreamfork-pairs");
        request.onsuccess = () => {
            const database = request.result;
            const done = (value) => { database.close(); resolve(value); };
            if (!database.objectStoreNames.contains("pairs")) return done(0);
            const count = database.transaction("pairs").objectStore("pairs").count();
            count.onsuccess = () => done(count.result);
        };
    });
    return {pages: pages.filter(Boolean).length, pairs};
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    path = chromium_path()
    assert path is not None, MISSING
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def sign_in(page: Page, link: str) -> None:
    """Use a sign-in link: it shows who it is for, and signs in on a click."""
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in/" not in url)


def lease_shown(page: Page) -> str:
    """The lease of the pair on the screen, once there is one."""
    expect(page.locator(".player-work")).to_be_visible(timeout=30_000)
    return str(page.locator("[data-island=player]").get_attribute("data-lease"))


def answer(page: Page, key: str) -> None:
    """Press the key of an answer once the pair can be answered, and wait for the next pair (or the page that says there is none)."""
    lease = lease_shown(page)
    page.wait_for_timeout(170)  # a shorter look is taken for a key that bounced
    page.keyboard.press(key)
    page.wait_for_function(
        "before => { const p = document.querySelector('[data-island=player]'); return p.dataset.lease !== before || p.querySelector('.player-work').hidden }",
        arg=lease,
    )


def all_saved(page: Page, timeout_s: float = 30) -> None:
    """Wait until the server has every answer."""
    expect(page.locator(".player-outbox"), f"the player says: {page.locator('.player-banner').inner_text()!r}").to_have_text(
        "All saved", timeout=timeout_s * 1000
    )


def kept(page: Page) -> dict[str, int]:
    """How many people's comparison pages and how many pairs this browser keeps."""
    return dict(page.evaluate(KEPT))


def wait_for_kept(page: Page, pages: int, pairs: int) -> None:
    deadline = time.monotonic() + 30
    while kept(page) != {"pages": pages, "pairs": pairs}:
        assert time.monotonic() < deadline, kept(page)
        page.wait_for_timeout(100)


def wait_for_fetched(page: Page, count: int) -> None:
    """Wait until this browser has the frames of `count` pairs or more, the one on the screen included: so many can be answered without a server."""
    deadline = time.monotonic() + 30
    while kept(page)["pairs"] < count:
        assert time.monotonic() < deadline, kept(page)
        page.wait_for_timeout(100)


_LABEL = """() => { const e = document.activeElement; const l = e.labels && e.labels.length ? e.labels[0].innerText : e.innerText;
return (l || '').replace('(optional)', '').trim(); }"""


def tab_to(page: Page, label: str, limit: int = 120) -> None:
    """Press Tab until the focus is on what is labelled so."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(_LABEL) == label:
            return
    raise AssertionError(f"Tab never reached “{label}” on {page.url}")


def tab_to_selector(page: Page, selector: str, limit: int = 160) -> None:
    """Press Tab until the focus is on an element that fits the selector."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab never reached {selector} on {page.url}")
