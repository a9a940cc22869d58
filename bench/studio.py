"""The studio at size, and under attack. `python -m bench.studio` prints every page's figures and writes bench/results/studio.json.

1. `studio_list_p95_ms`: 200 scenarios, 10,000 start frames (one scenario has 2,000), 2,000 rollouts and 1,000 mining proposals; every list, filter and grid
   is asked for 20 times through the whole Django stack on a real PostgreSQL. Goal: under 200 ms. Asked for the first time after a start, when its
   template is still to be parsed, a page is slower; that is a figure of its own (`studio_first_request_ms`, the slowest page).
2. `studio_hostile_refused`: the 30 hostile uploads of `tests/rollouts/hostile.py` through the upload page: all refused with their
   sentence, none stored, and how much memory that took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

from bench.common import figure, write_results

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

SCENARIOS, FRAMES, BIG, ROLLOUTS, CANDIDATES, REPEATS = 200, 10_000, 2_000, 2_000, 1_000, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    import logging

    import django

    django.setup()
    logging.disable(logging.INFO)
    started = time.time()
    found = with_servers(lambda: {**lists(), **hostile()})
    print(json.dumps(found, indent=2))
    write_results("studio", figures_of(found), started)


def figures_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is kept of a run. The processor's time says what a page costs on a machine that has other things to do."""
    requests, attacks = found["requests"], found["hostile_uploads"]
    return {
        "studio_list_p50_ms": figure(found["studio_list_p50_ms"], n=requests, unit="ms"),
        "studio_list_p95_ms": figure(found["studio_list_p95_ms"], n=requests, unit="ms"),
        "studio_slowest_page_p95_ms": figure(found["studio_slowest_page_p95_ms"], n=REPEATS, unit="ms"),
        "studio_first_request_ms": figure(found["studio_first_request_ms"], n=len(PAGES), unit="ms"),
        "studio_slowest_page_cpu_ms": figure(found["studio_slowest_page_cpu_ms"], n=REPEATS, unit="ms"),
        "studio_images_not_lazy": figure(found["images_not_lazy"], n=requests),
        "studio_hostile_refused": figure(found["studio_hostile_refused"], n=attacks),
        "studio_hostile_stored": figure(found["hostile_stored"], n=attacks),
        "studio_hostile_slowest_s": figure(found["hostile_slowest_s"], n=attacks, unit="s"),
        "studio_hostile_extra_memory_mib": figure(found["hostile_extra_memory_mib"], n=attacks, unit="MiB"),
    }


def with_servers(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Run `work` with a fresh PostgreSQL and Valkey, which are removed afterwards."""
    from django.core.management import call_command

    from core import servers

    home = Path(os.environ["DREAMFORK_HOME"])
    servers.home_prepare(home)
    running = []
    try:
        for command in (servers.postgres_command(home, durable=False), servers.valkey_command(home)):
            running.append((servers.start(command, log=home / f"{command.name}.log"), command))
        servers.database_ensure(home)
        call_command("migrate", verbosity=0)
        return work()
    finally:
        from django.db import connections

        connections.close_all()
        for process, command in reversed(running):
            servers.stop(process, command)
        shutil.rmtree(home, ignore_errors=True)


def client_of(role: str) -> Any:
    from django.test import Client

    import config.asgi  # noqa: F401  # what a server has loaded before it answers
    from core.people import person_ensure

    client = Client(SERVER_NAME="localhost")
    client.handler.load_middleware()
    client.force_login(person_ensure(username=f"bench-{role}", roles=(role,)), backend="django.contrib.auth.backends.ModelBackend")
    return client


def fill() -> None:
    """Rows in bulk: what a year of work leaves behind."""
    import numpy as np
    from django.utils import timezone

    from core.models import Blob
    from rollouts import factors
    from rollouts.models import MiningCandidate, MiningRun, PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame

    rng = np.random.default_rng(0)
    blobs = Blob.objects.bulk_create([Blob(sha256=f"{i:064x}", size=1000, content_type="image/png") for i in range(BIG)])
    cells = factors.all_cells()
    scenarios = Scenario.objects.bulk_create([Scenario(slug=f"scenario-{i}", name=f"Scenario {i}", state=("active", "draft")[i % 2]) for i in range(SCENARIOS)])
    versions = []
    for i, scenario in enumerate(scenarios):
        scene = factors.validate(factors.cell_parse(cells[i % len(cells)]))
        for number in range(1, 4):
            prompt = "go to the red ball" if i % 3 else "bring the green can to the mat"
            versions.append(
                ScenarioVersion(
                    scenario=scenario,
                    number=number,
                    prompt=prompt,
                    factors=scene,
                    tags=[f"tag-{i % 20}", "dog"],
                    scene_text=factors.describe(scene, prompt),
                    severity=1 + i % 5,
                )
            )
    ScenarioVersion.objects.bulk_create(versions)
    latest = versions[2::3]
    rest = (FRAMES - BIG) // (SCENARIOS - 1)
    frames = []
    for i, version in enumerate(latest):
        count = BIG if i == 0 else rest + (i <= (FRAMES - BIG) % (SCENARIOS - 1))
        for k in range(count):
            state = ("proposed", "approved", "rejected", "flagged")[int(rng.choice(4, p=(0.3, 0.5, 0.15, 0.05)))]
            agrees = bool(rng.random() < 0.8)
            frames.append(
                StartFrame(
                    scenario_version=version,
                    source=("generated", "uploaded")[k % 2],
                    image=blobs[k],
                    width=96,
                    height=96,
                    seed=k,
                    scene_text=version.scene_text,
                    state=state,
                    reason="" if state in ("proposed", "approved") else "Blurred",
                    phash=int(rng.integers(-(2**62), 2**62)),
                    reviewed_at=None if state == "proposed" else timezone.now(),
                    probe={"agrees": agrees, "reading": {}, "expected": {}, "disagreements": [] if agrees else ["No robot is seen."]},
                )
            )
    StartFrame.objects.bulk_create(frames, batch_size=2000)
    policy = PolicyVersion.objects.create(name="bench", state="promoted", is_active=True, components={})
    approved = [frame for frame in frames if frame.state == "approved"]
    checks = [{"name": name, "value": 0.5, "limit": 1.0, "margin": 0.5, "ok": name != "jerk"} for name in ("speed", "jerk", "workspace")]
    Rollout.objects.bulk_create(
        [
            Rollout(
                start_frame=approved[i % len(approved)],
                policy_version=policy,
                prompt="go to the red ball",
                seed=i,
                sampler_hash="0" * 64,
                sprite=blobs[i % BIG],
                latents=blobs[i % BIG],
                frame_count=13,
                fps=3,
                width=96,
                height=96,
                actions=[[0.1] * 5] * 12,
                path=[[0.1, 0.2]] * 13,
                path_pixels=[[0.5, 0.5]] * 13,
                verdict={"accepted": i % 4 > 0, "checks": checks},
                accepted=i % 4 > 0,
                value=0.1,
                success=0.5,
            )
            for i in range(ROLLOUTS)
        ],
        batch_size=1000,
    )
    run = MiningRun.objects.create(policy_version=policy, options={"budget": CANDIDATES}, finished_at=timezone.now())
    evidence = {"failure": 0.7, "contact": 0.5, "rejected": 0.25, "best": 0.4, "dreams": 4}
    MiningCandidate.objects.bulk_create(
        [
            MiningCandidate(
                run=run,
                cell=cells[i % len(cells)],
                prompt="go to the red ball",
                world_spec={"world": "household", "prompt": "go to the red ball", "seed": i, "factors": factors.cell_parse(cells[i % len(cells)])},
                objective=float(rng.random()),
                evidence=evidence,
                image=blobs[i],
                strip=blobs[i],
                state=("evaluated", "proposed")[i % 2],
                real={"failed": i % 3 == 0, "dog_contact": i % 5 == 0} if i % 4 == 0 else None,
            )
            for i in range(CANDIDATES)
        ]
    )
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


PAGES = (
    "/scenarios/",
    "/scenarios/?page=8",
    "/scenarios/?q=dog+ball",
    "/scenarios/?dog=lying&severity=3&sort=frames",
    "/scenarios/?tag=tag-7",
    "/start-frames/",
    "/start-frames/?page=160",
    "/start-frames/?state=proposed",
    "/start-frames/?disagrees=yes&source=generated",
    "/start-frames/?q=dog+lies",
    "/start-frames/?scenario=scenario-0",
    "/scenarios/scenario-0/",
    "/scenarios/scenario-0/?page=30&state=approved",
    "/scenarios/scenario-9/",
    "/rollouts/",
    "/rollouts/?scenario=scenario-0",
    "/rollouts/?check=jerk&sort=worst",
    "/mining/",
    "/mining/?state=all&page=40",
    "/start-frames/1/",
    "/api/v1/start-frames/?state=approved",
    "/api/v1/scenarios/",
)


def lists() -> dict[str, Any]:
    """Every list, `REPEATS` times, in turn (so that no page profits from just having been asked for)."""
    import re

    fill()
    client = client_of("admin")
    times: dict[str, list[float]] = {path: [] for path in PAGES}
    cpu: dict[str, list[float]] = {path: [] for path in PAGES}
    first: dict[str, float] = {}
    for path in PAGES:
        began = time.perf_counter()
        client.get(path)
        first[path] = (time.perf_counter() - began) * 1000
    eager = 0
    for _ in range(REPEATS):
        for path in PAGES:
            began, worked = time.perf_counter(), time.process_time()
            response = client.get(path)
            times[path].append((time.perf_counter() - began) * 1000)
            cpu[path].append((time.process_time() - worked) * 1000)
            assert response.status_code == 200, (path, response.status_code)
            html = response.content.decode()
            eager += len(
                [tag for tag in re.findall(r"<img[^>]*>", html) if 'loading="lazy"' not in tag and "card-media" not in tag]
            )  # a page's own picture is no thumbnail
    everything = sorted(ms for many in times.values() for ms in many)
    p95 = {path: round(statistics.quantiles(many, n=20)[18], 1) for path, many in times.items()}
    return {
        "scenarios": SCENARIOS,
        "start_frames": FRAMES,
        "rollouts": ROLLOUTS,
        "candidates": CANDIDATES,
        "requests": len(everything),
        "studio_list_p50_ms": round(statistics.median(everything), 1),
        "studio_list_p95_ms": round(everything[int(0.95 * len(everything))], 1),
        "studio_slowest_page": max(p95, key=p95.__getitem__),
        "studio_slowest_page_p95_ms": max(p95.values()),
        "studio_first_request_ms": round(max(first.values()), 1),
        "studio_slowest_page_cpu_ms": round(max(statistics.median(many) for many in cpu.values()), 1),
        "page_p95_ms": p95,
        "images_not_lazy": eager,
    }


def hostile() -> dict[str, Any]:
    """Each upload in a request of its own, as a browser sends it."""
    from django.core.files.uploadedfile import SimpleUploadedFile

    from core.models import Blob
    from rollouts.models import StartFrame
    from tests.rollouts.hostile import uploads

    client = client_of("admin")
    # Made beforehand, so that the memory of making a bomb is not counted.
    attacks = list(uploads())
    before = Blob.objects.count(), StartFrame.objects.count()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, slowest = 0, 0.0
    for name, content_type, data, word in attacks:
        began = time.perf_counter()
        file = SimpleUploadedFile("x", data, content_type)
        file._name = name  # a browser's form cleans names, an attacker's does not
        response = client.post("/scenarios/scenario-1/upload/", {"files": file}, follow=True)
        slowest = max(slowest, time.perf_counter() - began)
        html = unescape(response.content.decode())
        refused += response.status_code == 200 and (("was refused" in html and word in html) or "Choose one or more" in html)
    after = Blob.objects.count(), StartFrame.objects.count()
    return {
        "hostile_uploads": len(attacks),
        "studio_hostile_refused": refused,
        "hostile_stored": after[0] - before[0] + after[1] - before[1],
        "hostile_slowest_s": round(slowest, 2),
        "hostile_extra_memory_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024, 1),
    }


if __name__ == "__main__":
    main()
