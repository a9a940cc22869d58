from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page

from tests.e2e.browser import MISSING, chromium, chromium_path, sign_in
from tests.e2e.site import Site

PAIRS = 300  # each page leases fifteen, and a browser that is closed in the middle of a test gives none back
# Each test compares as somebody of its own, so that none depends on what another has answered.
PEOPLE = {
    # Axe looks at the comparison page in four looks and at the other pages in two.
    "annotator": [
        *["ann", "ann", "bea", "cem", "dan", "dan", "eve", "fay", "gus", "hal", "ida", "jan", "kim", "lee", "mia", "mia"],
        *["ned", "oda", "pia", "quy", "rae", "sol", "tom", "una", "pat", "rel"],
        *["axe"] * 4,
        *["axe-annotator"] * 2,
    ],
    "researcher": ["axe-researcher", "axe-researcher", *["eva"] * 4],
    "admin": ["axe-admin", "axe-admin", "ada", "abe"],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(600))
            if chromium_path() is None:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="package")
def site(new_home: Callable[[], Path]) -> Iterator[Site]:
    with Site(new_home(), pairs=PAIRS, people=PEOPLE) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def problems() -> list[str]:
    """What the browser complained about; a test that expects a complaint empties it."""
    return []


@pytest.fixture
def open_page(site: Site, browser: Browser, problems: list[str]) -> Iterator[Callable[..., Page]]:
    """`open_page("ann", "/label/")`: a page of a fresh browser profile in which this person is signed in."""
    contexts: list[BrowserContext] = []

    def open_(name: str, path: str, **options: object) -> Page:
        context = browser.new_context(base_url=site.url, **{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        sign_in(page, site.sign_in_link(name))
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        for page in context.pages:
            with suppress(Error):  # one that a test has left in a bad way
                page.goto("about:blank")  # who leaves a page gives its pairs back; of one that just goes away they are only free when the lease ends
        context.close()
