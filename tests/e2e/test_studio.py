"""The studio by keyboard, in a real browser: a scenario is written, pictures are uploaded, every frame is decided on, and the audit log knows all of it."""

from __future__ import annotations

import time
from typing import Any

from playwright.sync_api import Page, expect

from tests.e2e.browser import tab_to, tab_to_selector
from tests.e2e.site import Site
from tests.rollouts.hostile import picture

FRAMES = 8


def decisions(site: Site) -> list[tuple[Any, ...]]:
    """State and reason of the scenario's frames, in the order of the grid: the newest first."""
    return site.query(
        "SELECT f.state, f.reason FROM rollouts_startframe f JOIN rollouts_scenarioversion v ON v.id = f.scenario_version_id "
        "JOIN rollouts_scenario s ON s.id = v.scenario_id WHERE s.slug = 'dog-by-the-door' ORDER BY f.id DESC"
    )


def wait_for(site: Site, wanted: list[tuple[str, str]]) -> None:
    deadline = time.monotonic() + 30
    while (found := decisions(site)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_an_admin_writes_a_scenario_and_reviews_its_frames_by_keyboard(open_page, site: Site, problems: list[str]) -> None:
    page: Page = open_page("ada", "/scenarios/")
    tab_to(page, "New scenario")
    page.keyboard.press("Enter")
    page.wait_for_url("**/scenarios/new/")
    words = {"Name": "Dog by the door", "Robot prompt": "go to the red ball", "Dog": "lying", "Where the dog is": "beside", "Tags": "dog, door"}
    for label, text in words.items():
        tab_to(page, label)
        page.keyboard.type(text)  # a select takes the first letters of an option
    page.keyboard.press("Enter")
    page.wait_for_url("**/scenarios/dog-by-the-door/")

    tab_to(page, "Upload")
    page.keyboard.press("Enter")
    honest = [{"name": f"room-{n}.png", "mimeType": "image/png", "buffer": picture(seed=n)} for n in range(FRAMES)]
    sly = {"name": "sly.png", "mimeType": "image/png", "buffer": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"}
    page.locator("#upload-files").set_input_files([*honest, sly])
    tab_to(page, "Upload")  # of the dialog, which keeps the focus
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{FRAMES} uploaded, to be reviewed.")).to_be_visible()
    expect(page.get_by_text("“sly.png” was refused: it is an SVG document")).to_be_visible()
    open_ = ("proposed", "")
    wanted = [open_] * FRAMES
    wait_for(site, wanted)

    tab_to_selector(page, ".review-cell")
    page.keyboard.press("a")
    page.keyboard.press("1")
    page.keyboard.press("Shift+Digit2")
    wanted[:3] = [("approved", ""), ("rejected", "Not as described"), ("flagged", "Dog missing or broken")]
    wait_for(site, wanted)

    # Many at once, from where the focus is: what was decided before stays as it is.
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("a")
    wanted[3:6] = [("approved", "")] * 3
    wait_for(site, wanted)
    page.keyboard.press("u")
    wanted[5] = open_
    wait_for(site, wanted)
    expect(page.locator("#counts .figure", has_text="Approved").locator("dd")).to_have_text("3")

    tab_to(page, "Activate")
    page.keyboard.press("Enter")
    expect(page.get_by_text("“Dog by the door” is active now.")).to_be_visible()
    page.goto("/audit/?q=ada")
    rows = [row.locator("td").all_inner_texts() for row in page.locator("tbody tr").all()]
    acts = [row[2] for row in rows if row[1] == "ada"]
    assert acts[0] == "scenario.activate"
    assert sorted(acts[1:]) == sorted(
        [
            "scenario.create",
            *["start_frame.upload"] * FRAMES,
            *["start_frame.approved"] * 4,
            "start_frame.rejected",
            "start_frame.flagged",
            "start_frame.proposed",
        ]
    )
    page.locator("tbody tr").first.get_by_text("Show").click()
    expect(page.locator("tbody tr").first.locator("pre")).to_contain_text("active")
    assert problems == []


def test_a_moment_that_is_shown_becomes_a_start_frame_by_keyboard(open_page, problems: list[str]) -> None:
    page: Page = open_page("abe", "/rollouts/1/", reduced_motion="reduce")
    expect(page.locator("[data-island=rollout-viewer] canvas").first).to_have_attribute("data-frame", "0")
    tab_to_selector(page, "[data-island=rollout-viewer]")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Go on from a moment").focus()  # it stands above the viewer
    page.keyboard.press("Enter")
    expect(page.locator("dialog#continue").get_by_label("Moment")).to_have_value("4")
    tab_to(page, "Propose it")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("to review")
    expect(page.locator("main")).to_contain_text("frame 4 of rollout 1")
    assert problems == []
