"""Pictures of the comparison page for the documentation, of a running installation, so that they show real dreams.

`manage.py up` with its demo content, then `python -m tests.e2e.screenshots LINK` with an annotator's sign-in link writes docs/screenshots/.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from tests.e2e.browser import answer, chromium, lease_shown, sign_in
from tests.e2e.site import ROOT

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


def take(browser: Browser, link: str) -> None:
    base = "{0.scheme}://{0.netloc}".format(urlsplit(link))
    first = browser.new_context(base_url=base)
    sign_in(first.new_page(), link)
    signed_in = first.storage_state()
    first.close()
    for look, options in LOOKS.items():
        context = browser.new_context(base_url=base, storage_state=signed_in, **options)
        page = context.new_page()
        for name, scene in {"compare": compare, "review": review, "keys": keys}.items():
            if look == "narrow" and name != "compare":
                continue
            scene(page)
            page.screenshot(path=OUT / f"{name}-{look}.png")
        context.close()


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    OUT.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        take(browser, sys.argv[1])
    print("\n".join(f"docs/screenshots/{name}-{look}.png" for look in LOOKS for name in ("compare", "review", "keys") if look != "narrow" or name == "compare"))


if __name__ == "__main__":
    main()
