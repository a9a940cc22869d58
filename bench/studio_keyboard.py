"""A new admin goes from nothing to 20 approved start frames of a new dog scenario, by keyboard, in a real browser.

`python -m bench.studio_keyboard` starts the whole product in an empty directory, without demo content, and presses keys only: no
mouse, no script sets a value. For every frame the admin looks for `--look` seconds, then presses A or R; the decision follows what
the page says about the frame (the probe's disagreement with the words), as a hurried person's would. The first batch is generated from
words; what is missing to 20 after its review is captured in the world with the scenario's factors. Writes screenshots to docs/screenshots/
and, with the range over `--trials`, bench/results/studio_keyboard.json: `studio_seconds_to_20` (goal < 300).
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from bench.common import figure, write_results
from tests.e2e.browser import chromium, sign_in, tab_to, tab_to_selector
from tests.e2e.site import ROOT

SHOTS = ROOT / "docs" / "screenshots"
WANTED = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", type=float, default=1.5, help="seconds that the admin looks at each frame")
    parser.add_argument("--batch", type=int, default=32, help="frames that are generated at once")
    parser.add_argument("--trials", type=int, default=3, help="new admins, each in an installation of their own")
    options = parser.parse_args()
    started = time.time()
    found = []
    for trial in range(options.trials):
        with tempfile.TemporaryDirectory(prefix="dreamfork-keyboard-") as home:
            found.append(with_product(Path(home), options))
        print(f"trial {trial + 1}: {found[-1]}", flush=True)
    figures = {}
    for name in found[0]:
        values = [one[name] for one in found]
        unit = "s" if name.endswith("_s") or "seconds" in name else "frames" if name.startswith("approved_") else ""
        figures[name] = figure(statistics.median(values), n=len(values), low=min(values), high=max(values), unit=unit)
    write_results("studio_keyboard", figures, started)


def with_product(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run `manage.py up --no-demo` around the walk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DREAMFORK_")}
    environment = {**kept, "DREAMFORK_HOME": str(home), "DREAMFORK_URL": f"http://127.0.0.1:{port}"}
    with (home / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--no-demo", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: b"Ctrl-C stops everything" in (home / "up.log").read_bytes() or up.poll() is not None, 240)
        if up.poll() is not None:
            raise SystemExit((home / "up.log").read_text(errors="replace")[-3000:])
        said = subprocess.run(
            [sys.executable, "manage.py", "sign_in_link", "newcomer", "--role", "admin"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        link = said.stdout.strip().splitlines()[-1].split(": ", 1)[1]
        with chromium() as browser:
            page = browser.new_context(base_url=f"http://127.0.0.1:{port}", viewport={"width": 1440, "height": 900}).new_page()
            sign_in(page, link)
            return walk(page, options)
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(60)
        except subprocess.TimeoutExpired:
            up.kill()


def wait_for(ready: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.3)


def walk(page: Page, options: argparse.Namespace) -> dict[str, Any]:
    """The whole way; returns the figures."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    marks: dict[str, float] = {}

    def mark(name: str) -> None:
        marks[name] = round(time.monotonic() - began, 1)

    page.goto("/scenarios/")
    tab_to(page, "New scenario")
    page.keyboard.press("Enter")
    page.wait_for_url("**/scenarios/new/")
    tab_to(page, "Name")
    page.keyboard.type("Dog in the doorway")
    tab_to(page, "Robot prompt")
    page.keyboard.type("go to the red ball")
    tab_to(page, "Dog")
    page.keyboard.type("lying")  # a select takes the first letters of an option
    tab_to(page, "Where the dog is")
    page.keyboard.type("on the")
    tab_to(page, "Light")
    page.keyboard.type("normal")
    tab_to(page, "Tags")
    page.keyboard.type("dog, doorway")
    page.screenshot(path=SHOTS / "studio-form.png")
    page.keyboard.press("Enter")
    page.wait_for_url("**/scenarios/dog-in-the-doorway/")
    mark("scenario_created_s")

    approved = rejected = rounds = keys = 0
    sources: list[int] = []
    while approved < WANTED and rounds < 6:
        rounds += 1
        # What the world model does not get right, the world itself provides.
        tab_to(page, "Generate from words" if rounds == 1 else "Capture from the world")
        page.keyboard.press("Enter")
        tab_to(page, "How many")
        page.keyboard.press("Control+a")
        page.keyboard.type(str(options.batch if rounds == 1 else WANTED - approved + 4))
        page.keyboard.press("Enter")
        if rounds == 1:
            page.wait_for_selector("#arriving img", timeout=120_000)
            mark("first_frame_seen_s")
            page.screenshot(path=SHOTS / "studio-arriving.png")
        page.wait_for_selector("[data-island=frame-grid] .review-cell", timeout=240_000)
        if rounds == 1:
            mark("frames_generated_s")
        page.goto("/scenarios/dog-in-the-doorway/?state=proposed#frames")
        page.wait_for_selector(".review-cell")
        tab_to_selector(page, ".review-cell")
        for _ in range(page.locator(".review-cell").count()):
            page.wait_for_timeout(options.look * 1000)
            doubtful = page.evaluate("document.activeElement.innerText").lower()
            bad = any(word in doubtful for word in ("none is seen", "is seen;", "no robot", "near twin"))
            page.keyboard.press("r" if bad else "a")
            keys += 1
            approved, rejected = approved + (not bad), rejected + bad
            if rounds == 1 and keys == 12:
                page.screenshot(path=SHOTS / "studio-review.png")
            if approved >= WANTED:
                break
        page.wait_for_timeout(500)
        sources.append(approved - sum(sources))
        page.goto("/scenarios/dog-in-the-doorway/")
    mark("approved_s")
    shown = page.locator(".figure", has_text="Approved").locator("dd").first.inner_text()
    page.screenshot(path=SHOTS / "studio-scenario.png")
    return {
        "studio_seconds_to_20": marks["approved_s"],
        "approved_on_the_page": int(shown),
        "approved_generated": sources[0],
        "approved_captured": sum(sources[1:]),
        "rejected": rejected,
        "generations": rounds,
        "seconds_a_look": options.look,
        **marks,
    }


if __name__ == "__main__":
    main()
