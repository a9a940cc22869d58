"""The whole story, told once by the people in it: in a browser, on the product as `manage.py up` runs it, workers included.

Only the weights are small (`tests.e2e.story_policy`): what they dream is nonsense and a round on four steps earns no promotion,
so the researcher uses the recorded override, which is part of the product too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.chaos.stack import ROOT, Stack
from tests.e2e.browser import all_saved, answer, lease_shown, sign_in
from tests.e2e.story_policy import NAME as PARENT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Slow enough for a machine that trains in the background; a quiet one needs a tenth of it.
SLOW = 600_000
EACH = 6  # answers of each annotator: a round wants ten
REASON = "A rehearsal with small weights: the gate asks for more episodes than were played."


@pytest.fixture(scope="module")
def product(new_home: Callable[[], Path]) -> Iterator[Stack]:
    running = Stack(new_home())
    try:
        running.wait_line("Ctrl-C stops everything", timeout_s=600)
        running.wait_up()
        done = subprocess.run([sys.executable, "-m", "tests.e2e.story_policy"], cwd=ROOT, env=running.environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr[-3000:]
        yield running
    finally:
        running.stop()
        print("\n".join(running.lines[-60:]))  # shown when the test failed


@pytest.fixture
def enter(product: Stack, browser: Browser) -> Iterator[Callable[[str, str], Page]]:
    """`enter("ada", "admin")`: a page of a fresh browser profile in which a new person of this role is signed in."""
    contexts: list[BrowserContext] = []

    def enter_(name: str, role: str) -> Page:
        made = product.manage("sign_in_link", name, "--role", role, "--base", product.url)
        link = re.search(r"https?://\S+", made.stdout)
        assert link, made.stdout + made.stderr
        context = browser.new_context(base_url=product.url, viewport={"width": 1440, "height": 900})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        sign_in(page, link[0])
        return page

    yield enter_
    for context in contexts:
        context.close()


def test_a_choice_becomes_a_better_policy(product: Stack, enter: Callable[[str, str], Page]) -> None:
    admin = enter("ada", "admin")
    scenario = scenario_written(admin)
    frames_approved(admin, scenario, count=3)
    queue_set(admin)

    researcher = enter("rhea", "researcher")
    rollouts_sampled(researcher, scenario, count=6)

    first, second = enter("ann", "annotator"), enter("bob", "annotator")
    for page in (first, second):
        compared(page, EACH)
    people = product.query("SELECT u.username, count(*) FROM labeling_choice c JOIN core_user u ON u.id = c.annotator_id GROUP BY 1 ORDER BY 1")
    assert people == [("ann", EACH), ("bob", EACH)]

    child = round_watched(researcher, choices=2 * EACH)
    gate_overridden(researcher, child)
    versions = product.query("SELECT name, state, is_active FROM rollouts_policyversion WHERE is_active OR name = %s", PARENT)
    assert sorted(versions) == [(PARENT, "promoted", False), (child, "promoted", True)]

    expect(researcher.locator("#live")).to_contain_text("wait for annotators", timeout=SLOW)
    seen_by(first, child)
    expect(admin.goto("/audit/") and admin.locator("main")).to_contain_text(REASON)


def scenario_written(page: Page) -> str:
    """A new scenario, made active. Returns the path of its page."""
    page.goto("/scenarios/new/")
    page.get_by_label("Name").fill("Dog asleep on the way")
    page.get_by_label("Robot prompt").fill("go to the red ball")
    page.get_by_label("Dog", exact=True).select_option("lying")
    page.get_by_label("Where the dog is").select_option("on_path")
    page.get_by_role("button", name="Create the draft").click()
    page.wait_for_url("**/scenarios/dog-asleep-on-the-way/")
    page.get_by_role("button", name="Activate").click()
    expect(page.locator("h1")).to_contain_text("active")
    return "/scenarios/dog-asleep-on-the-way/"


def frames_approved(page: Page, scenario: str, count: int) -> None:
    """Photographs of the world, taken by a worker; one more than is approved is rejected with a usual reason, all by single keys."""
    page.goto(scenario)
    page.get_by_role("button", name="Capture from the world").click()
    dialog = page.locator("dialog#capture")
    dialog.get_by_label("How many").fill(str(count + 1))
    dialog.get_by_role("button", name="Capture").click()
    # The page reloads itself when the job has ended.
    expect(page.locator("[data-island=frame-grid] .review-cell")).to_have_count(count + 1, timeout=SLOW)
    page.locator(".review-cell").first.focus()
    for number in range(count):
        page.keyboard.press("a")
        expect(page.locator(".review-cell .badge-approved")).to_have_count(number + 1)
    page.keyboard.press("5")
    expect(page.locator(".review-cell[data-state=rejected]")).to_contain_text("Blurred or smeared")
    expect(page.locator("#counts .figure", has_text="Approved")).to_contain_text(str(count))  # follows without a reload
    page.reload()
    expect(page.locator(".review-cell .badge-approved")).to_have_count(count)
    expect(page.locator(".review-cell[data-state=rejected]")).to_contain_text("Rejected: Blurred or smeared")


def queue_set(page: Page) -> None:
    """Small weights dream impossible motion, and two people answer little: compare rejected dreams too, and keep a short queue."""
    page.goto("/annotators/settings/")
    page.get_by_label("Pair rejected").check()
    page.get_by_label("Queue ahead").fill("40")
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_label("Pair rejected")).to_be_checked()
    page.reload()
    expect(page.get_by_label("Pair rejected")).to_be_checked()


def rollouts_sampled(page: Page, scenario: str, count: int) -> None:
    """Futures of the approved frames; the job's page shows how it ends."""
    page.goto(scenario)
    page.get_by_role("button", name="Sample rollouts of the approved").click()
    dialog = page.locator("dialog#sample")
    dialog.get_by_label("Rollouts a frame").fill(str(count))
    dialog.get_by_role("button", name="Sample").click()
    page.wait_for_url("**/jobs/*/")
    expect(page.locator("main [data-island=job-progress]")).to_have_count(0, timeout=SLOW)  # the page has reloaded itself at the end
    expect(page.locator("main .badge-succeeded")).to_be_visible()
    page.goto("/rollouts/")
    expect(page.locator(".viewer-item").first).to_be_visible()


def compared(page: Page, count: int) -> None:
    """Answers by keyboard; the first look may come before the first pairs are made."""
    page.goto("/label/")
    expect(page.locator(".player-work")).to_be_visible(timeout=SLOW)
    for number in range(count):
        answer(page, "fj"[number % 2])
    all_saved(page, timeout_s=60)


def round_watched(page: Page, choices: int) -> str:
    """A small round, started on its form and watched live until the gate has decided. Returns the child's name."""
    page.goto("/rounds/new/")
    expect(page.locator("#preview")).to_contain_text(f"{choices} choices of 2 annotators")
    page.get_by_label("Adversarial episodes").fill("2")
    page.get_by_label("Ordinary episodes").fill("2")
    page.get_by_text("DPO settings").click()
    page.get_by_label("Steps").fill("4")
    page.get_by_role("button", name="Start the round").click()
    page.wait_for_url(re.compile(r"/rounds/\d+/"))
    child = page.locator("h1").inner_text().split()[0]
    for stage in ("Snapshot", "Value head"):  # two that are seen to pass without a reload by hand
        expect(page.locator(".round-stage-done", has_text=stage)).to_be_visible(timeout=SLOW)
    expect(page.locator("h1")).to_contain_text("rejected", timeout=SLOW)
    expect(page.locator(".round-stage-done")).to_have_count(5)
    expect(page.locator("#live")).to_contain_text("Only 2 adversarial episodes; the gate asks for 20.")
    expect(page.locator(".chart canvas").first).to_be_visible()
    return child


def gate_overridden(page: Page, child: str) -> None:
    page.get_by_role("button", name="Override the gate").click()
    dialog = page.locator("dialog#override")
    dialog.get_by_label("Reason").fill(REASON)
    dialog.get_by_role("button", name="Override and activate").click()
    expect(page.locator("h1")).to_contain_text("promoted")
    expect(page.locator("#live")).to_contain_text(f"Overridden by rhea: {REASON}")
    page.goto("/versions/")
    expect(page.locator("tr", has_text=child).locator(".badge-active")).to_be_visible()
    page.goto("/rounds/")
    page.get_by_role("link", name=child, exact=True).click()


def seen_by(page: Page, child: str) -> None:
    """The annotator is never told before answering whose dream it is; afterwards the child's name is there."""
    page.goto("/label/")
    expect(page.locator(".player-work")).to_be_visible(timeout=SLOW)
    for number in range(60):
        lease_shown(page)
        answer(page, "fj"[number % 2])
        page.locator(".last-sides .muted").first.wait_for()
        if child in page.locator(".last-sides").inner_text():
            return
    raise AssertionError(f"none of 60 pairs was of {child}")
