"""What an evaluation shows, in a real browser: every plot is drawn and can be taken away, and dream and world run in step."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.site import Site

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def evaluations(site: Site) -> tuple[int, int, int]:
    parent, child, child_best = map(int, site.run("-m", "tests.e2e.evaluation_content").split())
    return parent, child, child_best


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page("eva", "/evaluations/")


def taken_away(page: Page, press: Callable[[], None]) -> tuple[str, bytes]:
    """Name and content of the file that pressing something saves."""
    with page.expect_download() as saved:
        press()
    return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()


def chart_is_whole(page: Page, chart: Locator, name: str) -> list[list[str]]:
    """The chart is drawn, not empty, and comes as a picture and as the numbers behind it, which are returned."""
    expect(chart.locator("canvas")).to_be_visible()
    file, picture = taken_away(page, chart.get_by_role("button", name="PNG").click)
    assert (file, picture[:8]) == (f"{name}.png", PNG)
    assert len(picture) > 3000, "a picture of nothing"
    file, table = taken_away(page, chart.get_by_role("button", name="CSV").click)
    assert file == f"{name}.csv"
    return list(csv.reader(io.StringIO(table.decode())))


def test_predicted_and_measured_success_are_drawn_with_their_figures(page: Page, evaluations: tuple[int, int, int], problems: list[str]) -> None:
    page.goto("/evaluations/")
    chart = page.locator("[data-island=chart]")
    head, *rows = chart_is_whole(page, chart, "predicted-against-measured-clean-success")
    assert head[:4] == ["predicted by the value head", "adversarial", "adversarial low", "adversarial high"]
    assert len(rows) == 4  # two versions, each with its adversarial and its ordinary episodes
    for name in ("Pearson", "MMRV", "Ranking accuracy"):
        expect(page.locator(".figure", has_text=name)).to_contain_text(" to ")
    page.get_by_text("The points").click()
    expect(page.locator("details table tbody tr")).to_have_count(4)
    assert problems == []


def test_an_evaluation_shows_before_and_after_contacts_and_best_of_n(page: Page, evaluations: tuple[int, int, int], problems: list[str]) -> None:
    _, child, _ = evaluations
    page.goto(f"/evaluations/{child}/")
    expect(page.get_by_role("heading", name="By scenario, against judged")).to_be_visible()
    expect(page.locator("table", has_text="dog lying in the way").locator("tbody tr")).to_have_count(3)
    head, *rows = chart_is_whole(page, page.locator("[data-island=chart]"), "best-of-n-clean-success")
    assert [row[0] for row in rows] == ["1", "4"]
    assert head[1:4] == ["adversarial", "adversarial low", "adversarial high"]

    card = page.locator(".card", has=page.get_by_role("heading", name="Where the dog was touched"))
    touched = int(re.match(r"\d+", card.locator("p").inner_text())[0])  # type: ignore[index]
    expect(card.locator("svg.heat .heat-cell").first).to_be_visible()
    file, picture = taken_away(page, card.get_by_role("link", name="PNG").click)
    assert (file, picture[:8]) == (f"evaluation-{child}-contacts.png", PNG)
    _, table = taken_away(page, card.get_by_role("link", name="CSV").click)
    assert len(table.decode().splitlines()) == 1 + touched > 1
    _, table = taken_away(page, page.locator(".card", has_text="By scenario").get_by_role("link", name="CSV").click)
    assert "contact change low" in table.decode().splitlines()[0]
    _, table = taken_away(page, page.get_by_role("link", name="Episodes as CSV").click)
    assert len(table.decode().splitlines()) == 81
    assert problems == []


def test_dream_and_world_run_frame_by_frame_in_step(page: Page, evaluations: tuple[int, int, int]) -> None:
    page.goto(f"/evaluations/{evaluations[1]}/")
    viewer = page.locator("[data-island=rollout-viewer]").first
    expect(viewer.locator("canvas")).to_have_count(2)
    expect(viewer.locator("canvas[data-frame]")).to_have_count(2)  # both are decoded and drawn
    seen = viewer.evaluate(
        """root => new Promise((resolve) => {
            const seen = [];
            const until = performance.now() + 4000;
            const look = () => {
                seen.push([...root.querySelectorAll("canvas")].map((one) => one.dataset.frame));
                if (performance.now() < until) requestAnimationFrame(look); else resolve(seen);
            };
            look();
        })"""
    )
    assert all(dreamed == real for dreamed, real in seen)
    assert len({dreamed for dreamed, _ in seen}) > 5


def test_a_running_evaluation_fills_while_it_is_watched(page: Page, site: Site, evaluations: tuple[int, int, int]) -> None:
    """A worker's writes reach the page without a reload: the row is set back to running, as if its last batch were still being played."""
    child = evaluations[2]
    site.query("UPDATE training_evaluation SET state = 'running', finished_at = NULL WHERE id = %s", child)
    kept = site.query("SELECT id FROM training_episode WHERE evaluation_id = %s AND index >= 40", child)
    site.query("UPDATE training_episode SET evaluation_id = %s, index = index + 1000 WHERE id = ANY(%s)", evaluations[0], [row[0] for row in kept])
    page.goto(f"/evaluations/{child}/")
    expect(page.locator("#live")).to_contain_text("40 of 80 episodes are played (by a round)")
    expect(page.locator("#live table").first).not_to_contain_text("no dog")
    site.query("UPDATE training_episode SET evaluation_id = %s, index = index - 1000 WHERE id = ANY(%s)", child, [row[0] for row in kept])
    publish = f"from core.events import publish; publish('evaluation:{child}', 'episodes', {{'done': 80, 'total': 80}})"
    site.run("manage.py", "shell", "--command", publish)
    expect(page.locator("#live")).to_contain_text("80 of 80 episodes are played", timeout=30_000)
    expect(page.locator("#live table").first).to_contain_text("no dog")
    site.query("UPDATE training_evaluation SET state = 'done', finished_at = now() WHERE id = %s", child)
