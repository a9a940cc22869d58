"""The comparison page in a real browser: 100 pairs by keyboard alone.

Measured: key press -> next pair's first frame painted; whether both sides show the same frame, on every animation frame by what the
player says and, in a second pass, by the pixels on both canvases; memory of the page after 10 and after 100 pairs. Between two pairs a
key that does nothing is pressed and its next paint stamped in the same way: what this browser on this machine needs at least (`floor_*`).

    python -m bench.player
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import CDPSession, Page

from bench.common import figure, write_results
from tests.e2e.browser import MISSING, all_saved, chromium, chromium_path, lease_shown, sign_in
from tests.e2e.site import Site

PAIRS = 100
PIXEL_PAIRS = 10
LOOK_S = 1.0  # between two answers; a person needs three to five seconds
KEYS = "fjtbn"

# Runs before the page's own scripts. It remembers what was leased (to know the pixels of each frame), and stamps the first paint after
# a key: the callback of requestAnimationFrame comes right before a paint, a message posted in it right after.
WATCH = """
window.bench = {painted: [], floor: [], frames: 0, apart: 0, pixels: 0, pixelsApart: 0, unknown: 0, assignments: {}, readPixels: false};
{
  const fetch = window.fetch;
  window.fetch = async (...call) => {
    const answer = await fetch(...call);
    if (String(call[0]).includes("/labeling/next/")) answer.clone().json().then((body) => {
      for (const one of body.assignments) window.bench.assignments[one.lease] = one;
    });
    return answer;
  };
  let pressed = null;
  let idle = null;
  addEventListener("keydown", (event) => {
    const root = document.querySelector("[data-island=player]");
    if (root && event.isTrusted && "fjtbn".includes(event.key)) pressed = {at: event.timeStamp, lease: root.dataset.lease};
    else if (event.isTrusted && event.key === "y") idle = event.timeStamp;
  }, true);
  const stamp = (list, at) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => list.push(performance.now() - at);
    channel.port2.postMessage(0);
  };
  const canvases = () => ["left", "right"].map((side) => document.querySelector(`.stage-${side} canvas`));
  const look = () => {
    const root = document.querySelector("[data-island=player]");
    const [left, right] = root ? canvases() : [];
    if (left && right && left.dataset.frame !== undefined && !root.querySelector(".player-work").hidden) {
      window.bench.frames += 1;
      if (left.dataset.frame !== right.dataset.frame) window.bench.apart += 1;
      if (window.bench.readPixels) window.bench.check(root.dataset.lease, left, right);
      if (pressed && root.dataset.lease !== pressed.lease && left.dataset.frame === "0") {
        stamp(window.bench.painted, pressed.at);
        pressed = null;
      }
      if (idle !== null) {
        stamp(window.bench.floor, idle);
        idle = null;
      }
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);

  const sheets = {};
  const read = (source, x, y, w, h, width, height) => {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.imageSmoothingEnabled = false;
    context.drawImage(source, x, y, w, h, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data.join();
  };
  const frames = async (one, side) => {
    const bitmap = await createImageBitmap(await (await fetch(one[side].sprite_url)).blob());
    const {width: w, height: h, frame_count: n} = one;
    return Array.from({length: n}, (_, i) => read(bitmap, (i % one[side].columns) * w, Math.floor(i / one[side].columns) * h, w, h, w, h));
  };
  window.bench.prepare = async (lease) => {
    const one = window.bench.assignments[lease];
    sheets[lease] = {left: await frames(one, "left"), right: await frames(one, "right"), one};
  };
  // Which frames of the sheet look exactly like what is on the canvas; a robot that stands still gives several.
  const shown = (canvas, sheet, one) => {
    const pixels = read(canvas, 0, 0, canvas.width, canvas.height, one.width, one.height);
    return sheet.flatMap((frame, index) => (frame === pixels ? [index] : []));
  };
  window.bench.check = (lease, left, right) => {
    const known = sheets[lease];
    if (!known) return;
    const a = shown(left, known.left, known.one), b = shown(right, known.right, known.one);
    window.bench.pixels += 1;
    if (a.length === 0 || b.length === 0) window.bench.unknown += 1;
    else if (!a.some((index) => b.includes(index))) window.bench.pixelsApart += 1;
  };
}
"""


def main() -> None:
    if chromium_path() is None:
        raise SystemExit(MISSING)
    started = time.time()
    with (
        tempfile.TemporaryDirectory(prefix="dreamfork-bench-") as home,
        Site(Path(home), pairs=PAIRS + PIXEL_PAIRS + 20, people={"annotator": ["bench"]}) as site,
        chromium() as browser,
    ):
        page = browser.new_context(base_url=site.url, viewport={"width": 1440, "height": 900}).new_page()
        sign_in(page, site.sign_in_link("bench"))
        page.add_init_script(WATCH)
        page.goto("/label/")
        lease_shown(page)
        page.wait_for_timeout(3000)
        session = page.context.new_cdp_session(page)
        process = renderer(browser)
        memory = {}
        load = [os.getloadavg()[0]]
        for number in range(1, PAIRS + 1):
            press(page, KEYS[number % len(KEYS)], LOOK_S)
            if number in (10, PAIRS):
                memory[number] = measure(session, process)
                load.append(os.getloadavg()[0])
        all_saved(page, timeout_s=120)
        seen = page.evaluate("() => ({painted: bench.painted, floor: bench.floor, frames: bench.frames, apart: bench.apart})")
        page.evaluate("() => { bench.readPixels = true }")
        for number in range(PIXEL_PAIRS):
            page.evaluate("lease => bench.prepare(lease)", lease_shown(page))
            page.wait_for_timeout(4500)
            press(page, KEYS[number % len(KEYS)], 0.3)
        pixels = page.evaluate("() => ({seen: bench.pixels, apart: bench.pixelsApart, unknown: bench.unknown})")
        all_saved(page, timeout_s=120)
        rows = site.query("SELECT count(*), count(DISTINCT comparison_id) FROM labeling_choice")[0]
    assert rows == (PAIRS + PIXEL_PAIRS, PAIRS + PIXEL_PAIRS), f"{rows[0]} answers to {rows[1]} pairs are stored"
    latency = np.asarray(seen["painted"])
    floor = np.asarray(seen["floor"])
    assert len(latency) == PAIRS, f"{len(latency)} of {PAIRS} first frames were seen"
    n = len(latency)
    write_results(
        "player",
        {
            "pair_latency_p50_ms": figure(float(np.median(latency)), n=n, unit="ms", **interval(latency, 50)),
            "pair_latency_p95_ms": figure(float(np.percentile(latency, 95)), n=n, unit="ms", **interval(latency, 95)),
            "pair_latency_max_ms": figure(float(latency.max()), n=n, unit="ms"),
            "floor_p50_ms": figure(float(np.median(floor)), n=len(floor), unit="ms", **interval(floor, 50)),
            "floor_p95_ms": figure(float(np.percentile(floor, 95)), n=len(floor), unit="ms", **interval(floor, 95)),
            "frames_apart": figure(seen["apart"], n=seen["frames"], unit="frames by index"),
            "frames_apart_pixels": figure(pixels["apart"], n=pixels["seen"], unit="frames by pixels"),
            "frames_unknown_pixels": figure(pixels["unknown"], n=pixels["seen"], unit="frames like none of the sheet"),
            "heap_after_10_mib": figure(memory[10][0], n=1, unit="MiB"),
            "heap_after_100_mib": figure(memory[PAIRS][0], n=1, unit="MiB"),
            "renderer_after_10_mib": figure(memory[10][1], n=1, unit="MiB"),
            "renderer_after_100_mib": figure(memory[PAIRS][1], n=1, unit="MiB"),
            "load_average": figure(float(np.mean(load)), n=len(load), unit="runnable"),
        },
        started,
    )


def press(page: Page, key: str, look_s: float) -> None:
    lease = lease_shown(page)
    page.wait_for_timeout(look_s * 500)
    page.keyboard.press("y")
    page.wait_for_timeout(look_s * 500)
    page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('[data-island=player]').dataset.lease !== before", arg=lease)


def renderer(browser: object) -> psutil.Process:
    """The process that draws the page: of this browser's renderers the one with the most memory."""
    session = browser.new_browser_cdp_session()  # type: ignore[attr-defined]
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return max((psutil.Process(one["id"]) for one in found if one["type"] == "renderer"), key=lambda process: process.memory_info().rss)


def measure(session: CDPSession, process: psutil.Process) -> tuple[float, float]:
    """JavaScript heap after a collection, and the renderer's resident memory (decoded frames are outside of the heap), in MiB."""
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 2**20, process.memory_info().rss / 2**20


def interval(values: np.ndarray, percentile: float) -> dict[str, float]:
    """95% percentile bootstrap of a percentile."""
    rng = np.random.default_rng(0)
    draws = np.percentile(rng.choice(values, (2000, len(values))), percentile, axis=1)
    return {"low": float(np.percentile(draws, 2.5)), "high": float(np.percentile(draws, 97.5))}


if __name__ == "__main__":
    main()
