"""The comparison page in a real browser against the real server: nothing is lost, nothing is doubled."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import all_saved, answer, lease_shown, sign_in, wait_for_fetched
from tests.e2e.site import Site

CHOICES = """
SELECT ch.answer, ch.side, l.swapped, ch.comparison_id, ch.response_ms, ch.visible_ms, ch.undone_by_id IS NOT NULL,
       ch.segments, ch.strength, ch.success_a, ch.success_b
FROM labeling_choice ch JOIN labeling_lease l ON l.id = ch.lease_id JOIN core_user u ON u.id = ch.annotator_id
WHERE u.username = %s ORDER BY ch.created_at
"""


def held(site: Site, name: str) -> int:
    sql = "SELECT count(*) FROM labeling_lease l JOIN core_user u ON u.id = l.annotator_id WHERE u.username = %s AND l.state = 'active'"
    return int(site.query(sql, name)[0][0])


def wait_for_reserve(site: Site, name: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while held(site, name) < count:
        assert time.monotonic() < deadline, f"only {held(site, name)} pairs are leased ahead, not {count}"
        time.sleep(0.1)


def test_it_answers_twenty_pairs_by_keyboard(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("ann", "/label/")
    keys = {"f": "left", "j": "right", "t": "neither", "b": "neither", "n": "neither"}
    pressed = [list(keys)[i % 5] for i in range(20)]
    for key in pressed:
        answer(page, key)
    all_saved(page)
    rows = site.query(CHOICES, "ann")
    assert [row[1] for row in rows] == [keys[key] for key in pressed]
    assert len({row[3] for row in rows}) == 20
    # What is stored speaks of the rollouts, not of the sides on which they were drawn.
    for canonical, side, swapped, *_ in rows:
        if side != "neither":
            assert canonical == {("left", False): "a", ("right", False): "b", ("left", True): "b", ("right", True): "a"}[side, swapped]
    assert {swapped for _, _, swapped, *_ in rows} == {True, False}, "sides were never drawn"
    assert all(0 < row[5] <= row[4] + 50 for row in rows), "visible time is longer than the response"
    assert problems == []


def test_both_sides_show_the_same_frame(open_page) -> None:
    page: Page = open_page("ann", "/label/")
    lease_shown(page)
    seen = page.evaluate(
        """() => new Promise((resolve) => {
            const [left, right] = document.querySelectorAll(".stage-left canvas, .stage-right canvas");
            const seen = [];
            const until = performance.now() + 3000;
            const late = until + 20000; // a busy machine draws few frames
            const look = () => {
                seen.push([left.dataset.frame, right.dataset.frame]);
                const enough = performance.now() > until && new Set(seen.map(String)).size > 5;
                if (enough || performance.now() > late) resolve(seen); else requestAnimationFrame(look);
            };
            look();
        })"""
    )
    assert all(left == right for left, right in seen)
    assert len({left for left, _ in seen}) > 5


def test_answers_given_offline_reach_the_server_once_each(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("bea", "/label/")
    lease_shown(page)
    wait_for_fetched(page, 15)
    page.context.set_offline(True)
    for i in range(10):
        answer(page, "fj"[i % 2])
    expect(page.locator(".player-outbox")).to_have_text("10 to send")
    expect(page.locator(".player-banner")).to_contain_text("kept in this browser")
    assert site.query(CHOICES, "bea") == []
    page.context.set_offline(False)
    page.reload()
    all_saved(page)
    rows = site.query(CHOICES, "bea")
    assert len(rows) == 10
    assert len({row[3] for row in rows}) == 10
    assert [row[1] for row in rows] == ["left", "right"] * 5
    problems.clear()  # the browser counts each failed request


def test_answers_survive_a_server_that_is_killed(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("cem", "/label/")
    lease_shown(page)
    wait_for_fetched(page, 6)
    site.stop_web()
    try:
        for _ in range(3):
            answer(page, "f")
        expect(page.locator(".player-outbox")).to_have_text("3 to send")
    finally:
        site.start_web()
    all_saved(page, timeout_s=60)
    assert len(site.query(CHOICES, "cem")) == 3
    problems.clear()


def test_answers_survive_an_expired_session(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("dan", "/label/")
    lease_shown(page)
    wait_for_fetched(page, 4)
    page.context.clear_cookies(name="sessionid")
    answer(page, "f")
    answer(page, "j")
    expect(page.locator(".player-banner")).to_contain_text("Your session has expired")
    assert site.query(CHOICES, "dan") == []
    other = page.context.new_page()
    sign_in(other, site.sign_in_link("dan"))
    other.close()
    page.bring_to_front()
    page.evaluate("dispatchEvent(new Event('focus'))")  # headless windows get no focus of their own
    all_saved(page)
    assert [row[1] for row in site.query(CHOICES, "dan")] == ["left", "right"]
    problems.clear()


def test_answers_are_never_sent_in_another_name(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("eve", "/label/")
    lease_shown(page)
    wait_for_fetched(page, 4)
    page.context.clear_cookies(name="sessionid")  # as it expires: the token that forms carry stays
    answer(page, "f")
    expect(page.locator(".player-banner").get_by_role("link", name="Sign in again")).to_be_visible()
    other = page.context.new_page()
    sign_in(other, site.sign_in_link("fay"))
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator(".player-banner")).to_contain_text("Someone else is signed in")
    assert site.query(CHOICES, "eve") == []
    assert site.query(CHOICES, "fay") == []
    problems.clear()


def test_it_takes_an_answer_back(open_page, site: Site) -> None:
    page: Page = open_page("gus", "/label/")
    first = lease_shown(page)
    expect(page.get_by_role("heading", name="New here?")).to_be_visible()
    page.keyboard.press("1")
    answer(page, "f")
    all_saved(page)
    expect(page.get_by_role("heading", name="New here?")).to_have_count(0)
    expect(page.locator(".player-meta")).to_contain_text("1 today")
    second = lease_shown(page)
    page.keyboard.press("u")
    page.wait_for_function("([a, b]) => ![a, b].includes(document.querySelector('[data-island=player]').dataset.lease)", arg=[first, second])
    expect(page.locator(".player-meta")).to_contain_text("0 today")
    answer(page, "j")
    all_saved(page)
    expect(page.locator(".player-meta")).to_contain_text("1 today")
    assert lease_shown(page) == second, "the pair that was pushed aside comes next"
    rows = site.query(CHOICES, "gus")
    assert [(row[1], row[6]) for row in rows] == [("left", True), ("right", False)]
    assert rows[0][3] == rows[1][3]


def test_it_takes_back_what_was_not_sent_yet(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("hal", "/label/")
    first = lease_shown(page)
    wait_for_fetched(page, 3)
    page.context.set_offline(True)
    answer(page, "f")
    page.keyboard.press("u")
    page.wait_for_function("lease => document.querySelector('[data-island=player]').dataset.lease === lease", arg=first)
    answer(page, "t")
    page.context.set_offline(False)
    all_saved(page)
    assert [(row[1], row[6]) for row in site.query(CHOICES, "hal")] == [("neither", False)]
    problems.clear()


def test_it_keeps_what_was_said_about_a_pair(open_page, site: Site) -> None:
    page: Page = open_page("ida", "/label/")
    lease_shown(page)
    page.keyboard.press("2")
    page.keyboard.press("q")
    page.keyboard.press("p")
    page.keyboard.press("p")
    page.keyboard.press("r")
    page.keyboard.down("k")
    page.wait_for_timeout(1200)
    page.keyboard.up("k")
    page.get_by_label("Safe around people and animals: Left").check()
    page.get_by_label("Why, in a few words").fill("It walks into the dog, JKF and all.")
    page.keyboard.press("Escape")
    answer(page, "f")
    all_saved(page)
    answer_, _side, swapped, *_, segments, strength, success_a, success_b = site.query(CHOICES, "ida")[0]
    right = "a" if swapped else "b"
    assert answer_ == ("b" if swapped else "a")
    assert strength == 2
    assert (success_b, success_a) == (True, False) if swapped else (success_a, success_b) == (True, False)
    assert segments
    assert all(segment["side"] == right and 0 <= segment["from"] <= segment["to"] < 13 for segment in segments)
    criteria, rationale = site.query("SELECT criteria, rationale FROM labeling_choice ORDER BY created_at DESC LIMIT 1")[0]
    assert criteria == {"safe": answer_}
    assert rationale == "It walks into the dog, JKF and all."


def test_it_skips_with_a_reason(open_page, site: Site) -> None:
    page: Page = open_page("jan", "/label/")
    lease = lease_shown(page)
    page.keyboard.press("x")
    expect(page.get_by_role("dialog", name="What is wrong with this pair?")).to_be_visible()
    page.keyboard.press("2")
    page.wait_for_function("before => document.querySelector('[data-island=player]').dataset.lease !== before", arg=lease)
    all_saved(page)
    assert site.query("SELECT reason, flag FROM labeling_skip WHERE lease_id = %s", lease) == [("The two sides do not start from the same frame", True)]


def test_keys_can_be_changed_and_switched_off(open_page, site: Site) -> None:
    page: Page = open_page("kim", "/label/")
    lease_shown(page)
    page.get_by_role("button", name="Keys and habits").click()
    page.locator("[data-action=left]").click()
    page.keyboard.press("a")
    page.get_by_role("button", name="Done").click()
    page.reload()  # at once: the server has not been told yet
    answer(page, "a")
    page.reload()
    answer(page, "a")
    all_saved(page)
    assert [row[1] for row in site.query(CHOICES, "kim")] == ["left", "left"]
    page.get_by_role("button", name="Keys and habits").click()
    page.get_by_label("Use single-key shortcuts", exact=True).uncheck()
    page.get_by_role("button", name="Done").click()
    lease = lease_shown(page)
    page.wait_for_timeout(300)
    page.keyboard.press("a")
    page.wait_for_timeout(500)
    assert lease_shown(page) == lease
    page.get_by_role("button", name="Right is better").click()
    all_saved(page)
    assert [row[1] for row in site.query(CHOICES, "kim")] == ["left", "left", "right"]


def test_leaving_the_page_gives_its_pairs_back(open_page, site: Site) -> None:
    page: Page = open_page("lee", "/label/")
    lease_shown(page)
    wait_for_reserve(site, "lee", 15)
    page.wait_for_load_state("networkidle")  # a lease that is granted after the page has gone can only run out
    page.goto("/label/guide/")
    deadline = time.monotonic() + 10
    while held(site, "lee"):
        assert time.monotonic() < deadline, f"{held(site, 'lee')} pairs are still leased"
        time.sleep(0.1)


def test_paths_are_drawn_before_the_answer_only_where_the_project_wants_that(open_page, site: Site) -> None:
    page: Page = open_page("pat", "/label/")
    lease_shown(page)
    button = page.get_by_role("button", name="Paths")
    expect(button).to_be_hidden()
    site.query("UPDATE labeling_project SET paths_before = true RETURNING id")
    try:
        page.goto("/label/stats/")  # what was leased without paths goes back
        page.goto("/label/")
        lease_shown(page)
        expect(button).to_be_visible()
        page.get_by_label("Frame", exact=True).fill("6")
        left = "() => document.querySelector('.stage-left canvas').toDataURL()"
        bare = page.evaluate(left)
        page.keyboard.press("h")
        expect(button).to_have_attribute("aria-pressed", "true")
        assert page.evaluate(left) != bare
        page.keyboard.press("h")
        expect(button).to_have_attribute("aria-pressed", "false")
        assert page.evaluate(left) == bare
        answer(page, "f")
        expect(button).to_have_attribute("aria-pressed", "false")
        answer(page, "f")
        all_saved(page)
    finally:
        site.query("UPDATE labeling_project SET paths_before = false RETURNING id")
    said = "SELECT ch.client_meta->'paths' FROM labeling_choice ch JOIN core_user u ON u.id = ch.annotator_id WHERE u.username = %s ORDER BY ch.created_at"
    assert site.query(said, "pat") == [(True,), (False,)]


@pytest.mark.parametrize("view", ["blink", "difference"])
def test_it_shows_other_views(open_page, view: str) -> None:
    page: Page = open_page("mia", "/label/")
    lease_shown(page)
    page.locator(f".views [data-view={view}]").click()
    expect(page.locator(".stage-one canvas")).to_be_visible()
    page.get_by_label("Frame", exact=True).fill("12")  # the last one: both sides begin with the same frame, whose difference is black
    expect(page.locator(".stage-one canvas")).to_have_attribute("data-frame", "12")
    drawn = page.evaluate(
        """() => {
            const canvas = document.querySelector(".stage-one canvas");
            return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value, i) => i % 4 < 3 && value > 0);
        }"""
    )
    assert drawn


def test_a_reload_does_not_take_the_new_page_its_pairs(open_page, site: Site) -> None:
    """The farewell of the old page may come after the new one has asked: what it gives back must not be what the new page shows."""
    page: Page = open_page("rel", "/label/")
    for _ in range(3):
        lease_shown(page)
        wait_for_reserve(site, "rel", 15)
        answer(page, "f")
        page.reload()
    wait_for_reserve(site, "rel", 15)
    page.wait_for_load_state("networkidle")
    for _ in range(6):
        answer(page, "j")
    all_saved(page)
    late = "SELECT count(*) FILTER (WHERE ch.late), count(*) FROM labeling_choice ch JOIN core_user u ON u.id = ch.annotator_id WHERE u.username = %s"
    assert site.query(late, "rel") == [(0, 9)]
