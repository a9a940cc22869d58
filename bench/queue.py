"""50 simulated annotators over HTTP against the real server, which is killed once, like its database. `python -m bench.queue [--seconds 300]`

An own PostgreSQL and Valkey, the real web server (one uvicorn process, as `manage.py up` runs it), comparisons with overlap 1. The annotators
judge from pixels through the probe and answer without pause; what the server does not acknowledge they send again under the same key. At a third
of the time the web server is killed (SIGKILL) and started again, at two thirds PostgreSQL is crashed (immediate shutdown) and recovers.

Afterwards the database is asked: `lost` (acknowledged, not stored), `doubled` (one annotator twice, or more answers than the overlap),
`leased_to_two` (two annotators held one pair at the same time). All have to be 0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from bench.common import ROOT, figure, write_results

FRAMES, ROLLOUTS_PER_FRAME, CLIPS = 6, 72, 4
DOWN_S = 2.0


class Servers:
    """PostgreSQL, Valkey and the web server of one data directory, to start, kill and start again."""

    def __init__(self, home: Path) -> None:
        from core import servers

        self.servers, self.home = servers, home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.commands = {"postgres": servers.postgres_command(home), "valkey": servers.valkey_command(home)}
        self.running: dict[str, subprocess.Popen] = {}

    def start(self, name: str) -> None:
        if name != "web":
            self.running[name] = self.servers.start(self.commands[name], log=self.home / f"{name}.log")
            return
        argv = [
            sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", "127.0.0.1", "--port", str(self.port),
            "--no-access-log", "--no-server-header", "--lifespan", "off", "--ws", "websockets-sansio",
        ]  # fmt: skip
        with (self.home / "web.log").open("ab") as log:
            environment = os.environ | {"DREAMFORK_URL": self.url}
            self.running[name] = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log, env=environment)
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise RuntimeError(f"the web server does not start: {(self.home / 'web.log').read_text()[-800:]}")

    def crash(self, name: str) -> None:
        """SIGKILL; for PostgreSQL its immediate shutdown, which aborts everything and leaves recovery to the next start."""
        self.running[name].send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        self.running[name].wait()

    def stop(self) -> None:
        if web := self.running.pop("web", None):
            web.terminate()
            web.wait()
        for name, process in reversed(self.running.items()):
            self.servers.stop(process, self.commands[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--frames", type=int, default=FRAMES, help="Start frames; each gives 2,556 comparisons.")
    parser.add_argument("--weights", type=Path, help="Policy whose probe is the judge's eyes (default: the shipped one; tiny random weights if there is none).")
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="dreamfork-bench-"))
    home.chmod(0o755)
    os.environ |= {"DREAMFORK_HOME": str(home), "DREAMFORK_LOG_LEVEL": "WARNING", "DJANGO_SETTINGS_MODULE": "config.settings"}
    import django

    django.setup()
    started = time.time()
    running = Servers(home)
    try:
        running.start("postgres")
        running.start("valkey")
        running.servers.database_ensure(home)
        figures = measure(running, arguments)
        write_results("queue", figures, started)
    except Exception:
        print((home / "web.log").read_text(errors="replace")[-6000:] if (home / "web.log").exists() else "the web server was not started")
        raise
    finally:
        running.stop()
        shutil.rmtree(home, ignore_errors=True)
    if any(figures[name]["value"] for name in ("lost", "doubled", "leased_to_two")):
        sys.exit("an answer was lost or doubled, or a pair was leased to two")


def measure(running: Servers, arguments: argparse.Namespace) -> dict:
    from django.core.management import call_command
    from django.db import connection

    from labeling.services.simulation import simulation_run
    from labeling.simulate import Judge, Teacher
    from rollouts.dreams.policy import Policy

    call_command("migrate", verbosity=0)
    base = arguments.weights or ROOT / "rollouts" / "weights" / "base"
    # The clips are dreams of tiny random weights: made in no time, as large as real ones, and it is the queue that is loaded.
    dreamer = Policy.tiny()
    policy = Policy.load(base) if (base / "config.json").exists() else dreamer
    pairs = fill(dreamer, arguments.frames)
    print(f"{pairs} comparisons; eyes: {'the probe of ' + base.name if policy is not dreamer else 'a tiny random probe'}", flush=True)
    running.start("web")
    stop = threading.Event()
    trouble = threading.Thread(target=disturb, args=(running, arguments.seconds, stop), daemon=True)
    connection.close()
    trouble.start()
    try:
        simulation = simulation_run(
            judge=Judge(policy.probe), teacher=Teacher(skip=0.02), annotators=arguments.annotators, seconds=arguments.seconds, url=running.url, wait=True
        )
        connection.close()
        return figures_of(simulation, arguments)
    finally:
        stop.set()
        trouble.join()


def disturb(running: Servers, seconds: float, stop: threading.Event) -> None:
    for name, share in (("web", 1 / 3), ("postgres", 1 / 3)):
        if stop.wait(seconds * share):
            return
        print(f"crash of {name}", flush=True)
        running.crash(name)
        time.sleep(DOWN_S)
        running.start(name)
        print(f"{name} is back", flush=True)
    # A server is ended with the thread that started it, so this one stays to the end.
    stop.wait()


def fill(policy, frames: int) -> int:
    """Start frames of the real world, dreams of them, and every pair of their rollouts. Rollouts of one frame share CLIPS sprites."""
    from django.utils import timezone

    from core.media import blob_store
    from labeling import services
    from labeling.models import Project
    from labeling.services.comparisons import NewPair
    from rollouts.images import png_bytes, sprite_sheet
    from rollouts.models import PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame
    from rollouts.worlds import make_world

    Project.objects.update_or_create(pk=1, defaults={"qualifying_pairs": 0, "gold_share": 0.0, "repeat_share": 0.02, "required_overlap": 1, "queue_ahead": 0})
    prompt = "go to the red ball"
    version = PolicyVersion.objects.create(name="bench", components={})
    scenario = Scenario.objects.create(slug="bench", name="Bench", state="active")
    text = ScenarioVersion.objects.create(scenario=scenario, number=1, prompt=prompt, scene_text="a dog lies in the way")
    size = policy.codec.config.size
    world = make_world("household", width=size, height=size)
    made = 0
    for number in range(frames):
        world.reset(seed=number, options={"prompt": prompt, "factors": {"dog": "lying", "dog_place": "on_path"}})
        image = world.render()
        frame = StartFrame.objects.create(
            scenario_version=text, source="uploaded", image=blob_store(png_bytes(image), "image/png"), width=size, height=size, state="approved", phash=number,
            reviewed_at=timezone.now(),
        )  # fmt: skip
        dreams = policy.dream(image, prompt, n=CLIPS, seed=number)
        sprites = [blob_store(png_bytes(sprite_sheet(dream.frames)), "image/png") for dream in dreams]
        rows = Rollout.objects.bulk_create(
            Rollout(
                start_frame=frame, policy_version=version, prompt=prompt, seed=seed, sampler={}, sampler_hash="0" * 64, sprite=sprites[seed % CLIPS],
                latents=sprites[seed % CLIPS], frame_count=len(dreams[seed % CLIPS].frames), fps=3, width=size, height=size,
                actions=dreams[seed % CLIPS].actions.tolist(), path=dreams[seed % CLIPS].path.tolist(),
                path_pixels=dreams[seed % CLIPS].path_pixels.tolist(), verdict=dreams[seed % CLIPS].verdict.to_dict(), accepted=True,
                value=dreams[seed % CLIPS].value, success=dreams[seed % CLIPS].success,
            )
            for seed in range(ROLLOUTS_PER_FRAME)
        )  # fmt: skip
        pairs = [NewPair((a.pk, b.pk), frame.pk, "uniform", priority=(a.seed * 31 + b.seed * 17 + number) % 101) for a in rows for b in rows if a.pk < b.pk]
        made += len(services.comparisons_create(pairs=pairs))
    return made


def figures_of(simulation, arguments: argparse.Namespace) -> dict:
    from django.db import connection

    from labeling.models import Choice

    outcomes = list(simulation.outcomes.values())
    acknowledged = {key for outcome in outcomes for key in outcome.answered}
    stored = {str(key) for key in Choice.objects.filter(undone_by__isnull=True).values_list("pk", flat=True)}

    def count(sql: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    twice = count("SELECT count(*) FROM (SELECT 1 FROM labeling_choice WHERE undone_by_id IS NULL GROUP BY annotator_id, comparison_id HAVING count(*) > 1) d")
    over = count(
        "SELECT count(*) FROM (SELECT 1 FROM labeling_choice ch JOIN labeling_comparison c ON c.id = ch.comparison_id "
        "WHERE ch.undone_by_id IS NULL GROUP BY c.id HAVING count(*) > c.required_overlap) d"
    )
    to_two = count(
        "SELECT count(*) FROM labeling_lease a JOIN labeling_lease b ON a.comparison_id = b.comparison_id AND a.annotator_id <> b.annotator_id "
        "AND a.created_at <= b.created_at AND a.id <> b.id WHERE b.created_at < coalesce(a.ended_at, a.expires_at)"
    )
    counters = count(
        "SELECT count(*) FROM labeling_comparison c "
        "WHERE c.leased <> (SELECT count(*) FROM labeling_lease l WHERE l.comparison_id = c.id AND l.state = 'active') "
        "OR c.answered <> (SELECT count(*) FROM labeling_choice ch WHERE ch.comparison_id = c.id AND ch.undone_by_id IS NULL)"
    )
    times = {"next": [s for outcome in outcomes for s in outcome.next_s], "submit": [s for outcome in outcomes for s in outcome.submit_s]}
    n = len(acknowledged)
    figures = {
        "answers_per_s": figure(n / simulation.seconds, n=n, unit="1/s"),
        "lost": figure(len(acknowledged - stored), n=n),
        "doubled": figure(twice + over, n=n),
        "leased_to_two": figure(to_two, n=n),
        "counters_wrong": figure(counters, n=n),
        "stored_unacknowledged": figure(len(stored - acknowledged), n=n),
        "retried_requests": figure(sum(outcome.retried for outcome in outcomes), n=n),
        "refused_answers": figure(sum(sum(outcome.refused.values()) for outcome in outcomes), n=n),
        "annotators": figure(arguments.annotators, n=arguments.annotators),
    }
    for name, seconds in times.items():
        cuts = statistics.quantiles([1000 * s for s in seconds], n=100)
        figures[f"{name}_p50_ms"] = figure(cuts[49], n=len(seconds), unit="ms")
        figures[f"{name}_p95_ms"] = figure(cuts[94], n=len(seconds), unit="ms")
    return figures


if __name__ == "__main__":
    main()
