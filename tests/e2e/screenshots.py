"""Pictures of the product for the documentation: `python -m tests.e2e.screenshots` writes docs/screenshots/."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.e2e.browser import answer, chromium, lease_shown, sign_in
from tests.e2e.site import ROOT, Site

OUT = ROOT / "docs" / "screenshots"
LOOKS = {
    "wide": {"viewport": {"width": 1440, "height": 900}},
    "narrow": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
}


def compare(page: Page) -> None:
    """A pair in the middle of its clip, with something said about it, and an answered pair beside it."""
    page.goto("/label/")
    lease_shown(page)
    answer(page, "f")
    page.locator(".last-sides .muted").first.wait_for()
    page.keyboard.press("2")
    page.keyboard.press("p")
    page.wait_for_timeout(1400)
    page.keyboard.down("k")
    page.wait_for_timeout(900)
    page.keyboard.up("k")
    page.keyboard.press(" ")


def review(page: Page) -> None:
    page.goto("/label/")
    lease_shown(page)
    answer(page, "j")
    page.locator(".last-sides .muted").first.wait_for()
    page.keyboard.press("o")
    page.wait_for_timeout(2500)
    page.keyboard.press(" ")


def keys(page: Page) -> None:
    page.goto("/label/")
    lease_shown(page)
    page.keyboard.press("?")
    page.wait_for_timeout(300)


def take(browser: Browser, site: Site) -> None:
    for look, options in LOOKS.items():
        context = browser.new_context(base_url=site.url, **options)
        page = context.new_page()
        sign_in(page, site.sign_in_link("ann"))
        for name, scene in {"compare": compare, "review": review, "keys": keys}.items():
            if look == "narrow" and name != "compare":
                continue
            scene(page)
            page.screenshot(path=OUT / f"{name}-{look}.png")
        context.close()


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    people = {"annotator": ["ann"] * len(LOOKS)}
    with tempfile.TemporaryDirectory(prefix="dreamfork-pictures-") as home, Site(Path(home), pairs=60, people=people) as site, chromium() as browser:
        take(browser, site)
    print("\n".join(str(path.relative_to(ROOT)) for path in sorted(OUT.glob("*.png"))))


if __name__ == "__main__":
    main()
