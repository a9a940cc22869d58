"""axe-core on the pages: no finding that is serious or critical."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import answer, lease_shown
from tests.e2e.site import ROOT

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "annotator": ["/label/guide/", "/label/stats/", "/account/"],
    "researcher": [
        "/",
        "/scenarios/",
        "/scenarios/dog-on-the-way/",
        "/start-frames/",
        "/start-frames/1/",
        "/rollouts/",
        "/rollouts/1/",
        "/mining/",
        "/rounds/",
        "/rounds/new/",
        "/versions/",
        "/evaluations/",
        "/leaderboard/",
        "/exports/",
        "/jobs/",
    ],
    "admin": [
        "/scenarios/",
        "/scenarios/new/",
        "/scenarios/dog-on-the-way/",
        "/scenarios/dog-on-the-way/edit/",
        "/start-frames/1/",
        "/mining/",
        "/annotators/",
        "/audit/",
        "/people/",
    ],
}

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: run npm ci in frontend/, and the accessibility tests run")


def findings(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{page.url}: {one['id']} ({one['impact']}): {one['help']}: {', '.join(str(node['target'][0]) for node in one['nodes'][:4])}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [(1440, 900), (390, 844)], ids=["wide", "narrow"])
def test_the_comparison_page_has_no_serious_findings(open_page, scheme: str, viewport: tuple[int, int]) -> None:
    width, height = viewport
    page: Page = open_page("axe", "/label/", color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce")
    lease_shown(page)
    answer(page, "f")
    page.locator(".last-sides .muted").first.wait_for()
    assert findings(page) == []
    page.get_by_role("button", name="Keys and habits").click()
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", list(PAGES))
def test_the_pages_of_a_role_have_no_serious_findings(open_page, role: str, scheme: str, problems: list[str]) -> None:
    page: Page = open_page(f"axe-{role}", "/", color_scheme=scheme, reduced_motion="reduce")
    found = []
    for path in PAGES[role]:
        answered = page.goto(path)
        assert answered is not None
        assert answered.status == 200, f"{path} answers {answered.status}"
        found += findings(page)
    assert found == []
    assert problems == [], "the content security policy, or a script, complained"
