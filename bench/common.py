"""What the benches share: where figures go, what machine made them, and a product of their own to measure."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"


def figure(value: float, *, n: int, low: float | None = None, high: float | None = None, unit: str = "") -> dict[str, Any]:
    """A figure as every bench reports it: never without its number of trials; with its interval where it has one."""
    return {"value": value, "n": n, "low": low, "high": high, "unit": unit}


def write_results(name: str, figures: dict[str, dict[str, Any]], started: float, directory: Path = RESULTS) -> Path:
    """Write `bench/results/<name>.json`.

    Args:
        figures: {"<figure>": {"value", "n", "low", "high", "unit"}}, see `figure`.
        started: `time.time()` when the bench began.
        directory: somewhere else for figures that are not about the shipped weights.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    body = {"figures": figures, "machine": machine(), "commit": commit(), "seconds": round(time.time() - started, 1)}
    path.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n")
    for key, row in sorted(figures.items()):
        interval = f" [{row['low']:.4g}, {row['high']:.4g}]" if row.get("low") is not None else ""
        print(f"{key:<32} {row['value']:.4g}{interval} {row.get('unit', '')} (n = {row['n']})")
    return path


def machine() -> dict[str, Any]:
    """Processor, cores and memory; and the GPU, if torch sees one."""
    found: dict[str, Any] = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                found["processor"] = line.split(":", 1)[1].strip()
                break
        found["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    with contextlib.suppress(ImportError):
        import torch

        found["torch"] = torch.__version__
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def commit() -> str:
    """The commit that was measured, with "-dirty" if files differ from it."""
    run = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def gemm_rate(size: int = 1024, seconds: float = 0.2, windows: int = 10) -> float:
    """Measured matrix multiplication rate of this process in FLOP/s, with the threads that torch has now and in the arithmetic that
    networks run in here (`rollouts.dreams.precision`): the practical ceiling of a training step. The best of several windows, since whatever
    else the machine does meanwhile would lower the ceiling and so make a step look better."""
    import torch

    from rollouts.dreams.precision import native_bfloat16

    kind = torch.bfloat16 if native_bfloat16("cpu") else torch.float32
    a, b = torch.randn(size, size).to(kind), torch.randn(size, size).to(kind)
    best = 0.0
    for _ in range(windows):
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            a @ b
            count += 1
        best = max(best, 2 * size**3 * count / spent)
    return best


@contextlib.contextmanager
def product(home: Path) -> Iterator[None]:
    """Django on a PostgreSQL and a Valkey of its own in `home`, migrated. What it stores stays there, so a bench can resume.

    Call before anything imports Django.
    """
    home = home.expanduser().absolute()  # the servers' own directory is another
    os.environ["DREAMFORK_HOME"] = str(home)
    os.environ.setdefault("DREAMFORK_LOG_LEVEL", "WARNING")
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from core import servers

    servers.home_prepare(home)
    running = []
    try:
        for command in (servers.postgres_command(home), servers.valkey_command(home)):
            running.append((servers.start(command, log=home / f"{command.name}.log"), command))
        servers.database_ensure(home)
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections.close_all()
        for process, command in reversed(running):
            servers.stop(process, command)


def run_here(job: Any) -> Any:
    """Run a waiting job in this process, as a worker's child would; returns its fresh row."""
    from core.jobs.execution import execute
    from core.jobs.services import job_claim

    claimed = job_claim(queue=job.queue, worker="bench", job_id=job.pk)
    if claimed is not None:
        execute(claimed)
    job.refresh_from_db()
    return job


def finish_round(row: Any) -> Any:
    """Run a round's stages one after the other in this process until it ends; returns its fresh row."""
    from training.models import Round

    while True:
        row = Round.objects.select_related("job", "parent", "child").get(pk=row.pk)
        if row.is_finished or row.job is None:
            return row
        run_here(row.job)
