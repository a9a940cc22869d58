"""A person loses the network, goes on, reloads, and loses nothing; and what was kept for that is theirs alone."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Error, Page, expect

from tests.e2e.browser import all_saved, answer, kept, lease_shown, sign_in, wait_for_kept
from tests.e2e.site import Site
from tests.e2e.test_comparing import CHOICES, held, wait_for_reserve

RESERVE = 15  # fourteen ahead and the one on the screen


def ready_to_lose_the_network(open_page, site: Site, name: str) -> Page:
    page: Page = open_page(name, "/label/")
    lease_shown(page)
    wait_for_reserve(site, name, RESERVE)
    wait_for_kept(page, 1, RESERVE)
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    return page


@pytest.mark.slow
def test_a_minute_offline_with_ten_answers_and_a_reload(open_page, site: Site, problems: list[str]) -> None:
    page = ready_to_lose_the_network(open_page, site, "ned")
    page.context.set_offline(True)
    began = time.monotonic()
    for i in range(10):
        answer(page, "fj"[i % 2])
        page.wait_for_timeout(max(0.0, began + 6 * (i + 1) - time.monotonic()) * 1000)
    assert time.monotonic() - began >= 60
    next_one = lease_shown(page)
    page.reload()
    expect(page.locator(".player-outbox")).to_have_text("10 to send")
    expect(page.locator(".player-banner")).to_contain_text("10 answers are kept in this browser")
    assert lease_shown(page) == next_one, "the pair that was on the screen comes back, and none that was answered"
    expect(page.locator(".player-banner")).to_contain_text("You can go on: 4 more pairs are here.")
    assert site.query(CHOICES, "ned") == []
    page.context.set_offline(False)
    all_saved(page)
    rows = site.query(CHOICES, "ned")
    assert [row[1] for row in rows] == ["left", "right"] * 5
    assert len({row[3] for row in rows}) == 10
    answer(page, "t")
    all_saved(page)
    assert [row[1] for row in site.query(CHOICES, "ned")] == ["left", "right"] * 5 + ["neither"]
    shown = lease_shown(page)
    page.keyboard.press("u")
    page.wait_for_function("lease => document.querySelector('[data-island=player]').dataset.lease !== lease", arg=shown)
    problems.clear()  # the browser counts each failed request


def test_it_comes_up_while_the_server_is_down(open_page, site: Site, problems: list[str]) -> None:
    page = ready_to_lose_the_network(open_page, site, "oda")
    site.stop_web()
    try:
        answer(page, "f")
        second = lease_shown(page)
        page.reload()
        assert lease_shown(page) == second
        answer(page, "j")
        page.keyboard.press("u")  # not sent yet: taken back without the server
        page.wait_for_function("lease => document.querySelector('[data-island=player]').dataset.lease === lease", arg=second)
        page.reload()
        assert lease_shown(page) == second, "an answer that was taken back is asked for again"
        answer(page, "t")
        with pytest.raises(Error):
            page.goto("/label/guide/")
        page.wait_for_url("chrome-error://**")  # the browser's own page comes up a moment after it has given up
        page.goto("/label/")
        expect(page.locator(".player-outbox")).to_have_text("2 to send")
    finally:
        site.start_web()
    all_saved(page, timeout_s=60)
    assert [row[1] for row in site.query(CHOICES, "oda")] == ["left", "neither"]
    problems.clear()


def test_answers_of_before_a_reload_can_be_taken_back(open_page, site: Site, problems: list[str]) -> None:
    page = ready_to_lose_the_network(open_page, site, "pia")
    page.context.set_offline(True)
    first = lease_shown(page)
    answer(page, "f")
    page.reload()
    assert lease_shown(page) != first
    page.context.set_offline(False)
    all_saved(page)
    page.keyboard.press("u")
    page.wait_for_function("() => document.querySelector('[data-island=player]')")
    deadline = time.monotonic() + 10
    while [row[6] for row in site.query(CHOICES, "pia")] != [True]:
        assert time.monotonic() < deadline, "the answer was not taken back"
        page.wait_for_timeout(100)
    problems.clear()


def test_signing_out_leaves_nothing(open_page, site: Site, problems: list[str]) -> None:
    page = ready_to_lose_the_network(open_page, site, "quy")
    page.goto("/label/stats/")
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/sign-in/**")
    assert kept(page) == {"pages": 0, "pairs": 0}
    page.context.set_offline(True)
    with pytest.raises(Error):
        page.goto("/label/")
    problems.clear()


def test_somebody_else_finds_nothing(open_page, site: Site, problems: list[str]) -> None:
    page = ready_to_lose_the_network(open_page, site, "rae")
    page.context.clear_cookies()
    sign_in(page, site.sign_in_link("sol"))
    wait_for_kept(page, 0, 0)
    page.goto("/label/")
    wait_for_reserve(site, "sol", RESERVE)
    wait_for_kept(page, 1, RESERVE)
    page.context.set_offline(True)
    page.reload()
    assert page.locator("meta[name=person]").get_attribute("content") == str(site.query("SELECT id FROM core_user WHERE username = 'sol'")[0][0])
    problems.clear()


def test_pairs_of_a_browser_that_crashed_go_back(open_page, site: Site) -> None:
    page = ready_to_lose_the_network(open_page, site, "tom")
    site.query("UPDATE labeling_lease SET expires_at = now() + interval '1 hour' WHERE state = 'active' RETURNING id")
    before = {row[0] for row in site.query("SELECT l.id FROM labeling_lease l JOIN core_user u ON u.id = l.annotator_id WHERE u.username = 'tom'")}
    context = page.context
    with pytest.raises(Error):
        page.goto("chrome://crash")
    page.close()
    again = context.new_page()
    again.goto("/label/")
    lease_shown(again)
    deadline = time.monotonic() + 20
    sql = "SELECT count(*) FROM labeling_lease WHERE id = ANY(%s) AND state = 'active'"
    while site.query(sql, list(before))[0][0]:
        assert time.monotonic() < deadline, "the pairs of the crashed page are still leased"
        again.wait_for_timeout(100)
    assert held(site, "tom") <= RESERVE


def test_it_works_over_plain_http(browser, site: Site) -> None:
    """A laboratory's server is often http://robot.lan: there is no service worker there, and no crypto.randomUUID."""
    address = site.url.replace("127.0.0.1", "lab.test")
    context = browser.new_context(base_url=address)
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in(page, site.sign_in_link("una").replace(site.url, address))
        page.goto("/label/")
        assert page.evaluate("() => isSecureContext") is False
        for key in "fjt":
            answer(page, key)
        all_saved(page)
        assert [row[1] for row in site.query(CHOICES, "una")] == ["left", "right", "neither"]
        assert complaints == []
    finally:
        context.close()
