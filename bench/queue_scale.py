"""`next` at 1,000, 100,000 and 1,000,000 open comparisons. `python -m bench.queue_scale [--home DIR] [--calls N]`

An own PostgreSQL (durable, as in production) is filled with rollouts of a few start frames and their pairs, in three steps; at each step one
annotator asks for the next pair N times, through the whole service (sweep of expired leases, profile lock, queue query, lease, rollouts for
the player), and gives it back. The annotator is a hard one: they have answered a tenth of the pairs at the head of the queue (10,000 at most),
all of which are still open for others (overlap 2). Writes the query plan at a million into bench/results/queue_scale_plan.txt.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.common import RESULTS, figure, product, write_results

SIZES = {"1k": 1_000, "100k": 100_000, "1m": 1_000_000}
ROLLOUTS_PER_FRAME = 500  # 124,750 pairs
ANSWERED_SHARE, ANSWERED_AT_MOST = 0.1, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="Data directory; a temporary one by default.")
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    home = arguments.home or Path(tempfile.mkdtemp(prefix="dreamfork-bench-"))
    home.chmod(0o755)
    started = time.time()
    try:
        with product(home):
            figures, plan = measure(arguments.calls)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "queue_scale_plan.txt").write_text(plan + "\n")
        write_results("queue_scale", figures, started)
    finally:
        if arguments.home is None:
            shutil.rmtree(home, ignore_errors=True)


def measure(calls: int) -> tuple[dict, str]:
    from django.db import connection

    from core.people import person_ensure
    from labeling.models import Project
    from labeling.services import leases as queue

    annotator = person_ensure(username="bench-annotator", roles=("annotator",))
    other = person_ensure(username="bench-other", roles=("annotator",))
    project = Project.current()
    project.qualifying_pairs, project.gold_share, project.repeat_share, project.queue_ahead = 0, 0, 0, 0
    project.save()
    figures, have, plan = {}, 0, ""
    for name, size in SIZES.items():
        began = time.time()
        fill(size - have, have)
        have = size
        answer_head(annotator, min(int(size * ANSWERED_SHARE), ANSWERED_AT_MOST))
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        print(f"{size} comparisons after {time.time() - began:.0f} s")
        cold = timed(annotator, 1)
        times = timed(annotator, calls)
        fresh = timed(other, calls)
        figures[f"next_ms_{name}"] = spread(times)
        figures[f"next_ms_{name}_p95"] = figure(percentile(times, 95), n=len(times), unit="ms")
        figures[f"next_ms_{name}_newcomer"] = spread(fresh)
        figures[f"next_ms_{name}_first"] = figure(cold[0], n=1, unit="ms")
        with connection.cursor() as cursor:
            for who, place in (("from the cursor", cursor_of(annotator)), ("from the start", queue.START_OF_QUEUE)):
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + queue.NEXT_SQL + queue.LOCKED, {"annotator": annotator.pk, "count": 1, **place})
                plan += f"-- {size} comparisons, {who}\n" + "\n".join(row[0] for row in cursor.fetchall()) + "\n\n"
    plan = f"The query of labeling/services/leases.py:\n{queue.NEXT_SQL}{queue.LOCKED}\n\n" + plan
    return figures, plan


def timed(annotator, calls: int) -> list[float]:
    """Milliseconds of `next`, each pair given back outside the clock."""
    from labeling import services

    times = []
    for _ in range(calls):
        began = time.perf_counter()
        found = services.leases_next(annotator=annotator)
        times.append(1000 * (time.perf_counter() - began))
        assert found.status == "ok", found.status
        services.leases_return(annotator=annotator, lease_ids=[lease.pk for lease in found.leases])
    return times


def cursor_of(annotator) -> dict:
    from labeling.models import AnnotatorProfile

    profile = AnnotatorProfile.objects.get(user=annotator)
    return {"priority": profile.cursor_priority, "id": profile.cursor_id}


def fill(count: int, have: int) -> None:
    """`count` more comparisons with random priorities. Written by SQL: a million objects are not what is measured."""
    from django.db import connection
    from django.utils import timezone

    from core.models import Blob
    from rollouts.models import PolicyVersion, Rollout, Scenario, ScenarioVersion, StartFrame

    version, _ = PolicyVersion.objects.get_or_create(name="bench", defaults={"components": {}})
    scenario, _ = Scenario.objects.get_or_create(slug="bench", defaults={"name": "Bench", "state": "active"})
    text, _ = ScenarioVersion.objects.get_or_create(scenario=scenario, number=1, defaults={"prompt": "go to the red ball", "scene_text": "a dog"})
    made = 0
    while made < count:
        number = StartFrame.objects.count()
        blob = Blob.objects.create(sha256=f"{number:064x}", size=1, content_type="image/png")
        frame = StartFrame.objects.create(
            scenario_version=text, source="uploaded", image=blob, width=96, height=96, state="approved", phash=number, reviewed_at=timezone.now()
        )
        Rollout.objects.bulk_create(
            Rollout(
                start_frame=frame, policy_version=version, prompt="go to the red ball", seed=seed, sampler={}, sampler_hash="0" * 64, sprite=blob,
                latents=blob, frame_count=13, fps=3, width=96, height=96, actions=[[0.0] * 5] * 12, path=[[0.0, 0.0]] * 13,
                path_pixels=[[0.5, 0.5]] * 13, verdict={"accepted": True, "checks": []}, accepted=True, value=0, success=0.5,
            )
            for seed in range(ROLLOUTS_PER_FRAME)
        )  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO labeling_comparison (rollout_a_id, rollout_b_id, start_frame_id, kind, state, strategy, reason, priority, required_overlap,
                    answered, leased, gold_note, qualifying, created_at)
                SELECT a.id, b.id, %(frame)s, 'normal', 'open', 'uniform', '', random(), 2, 0, 0, '', false, now()
                FROM rollouts_rollout a JOIN rollouts_rollout b ON a.start_frame_id = b.start_frame_id AND a.id < b.id
                WHERE a.start_frame_id = %(frame)s LIMIT %(count)s
                """,
                {"frame": frame.pk, "count": count - made},
            )
            made += cursor.rowcount


def answer_head(annotator, count: int) -> None:
    """Let the annotator have answered the `count` pairs that are served first, each once: all stay open for a second annotator."""
    from django.db import connection

    from labeling.models import AnnotatorProfile

    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH head AS (SELECT id FROM labeling_comparison WHERE state = 'open' AND kind = 'normal' ORDER BY priority DESC, id DESC LIMIT %(count)s),
            fresh AS (SELECT id FROM head WHERE NOT EXISTS (SELECT 1 FROM labeling_lease l WHERE l.comparison_id = head.id AND l.annotator_id = %(who)s
                                                            AND l.state = 'answered')),
            leases AS (INSERT INTO labeling_lease (id, annotator_id, comparison_id, state, swapped, created_at, expires_at, ended_at)
                       SELECT gen_random_uuid(), %(who)s, id, 'answered', false, now(), now(), now() FROM fresh RETURNING id, comparison_id),
            choices AS (INSERT INTO labeling_choice (id, annotator_id, comparison_id, lease_id, answer, side, criteria, segments, rationale, response_ms,
                            replays, visible_ms, client_meta, request_hash, is_simulated, late, created_at)
                        SELECT gen_random_uuid(), %(who)s, comparison_id, id, 'tie', 'neither', '{}', '[]', '', 3000, 0, 3000, '{}', 'bench', true, false, now()
                        FROM leases RETURNING comparison_id)
            UPDATE labeling_comparison SET answered = answered + 1 WHERE id IN (SELECT comparison_id FROM choices)
            """,
            {"count": count, "who": annotator.pk},
        )
    AnnotatorProfile.objects.update_or_create(user=annotator, defaults={"cursor_priority": None, "cursor_id": None, "qualification": "waived"})


def percentile(values: list[float], share: float) -> float:
    return statistics.quantiles(values, n=100)[round(share) - 1]


def spread(times: list[float]) -> dict:
    """The median, with the 5th and 95th percentile."""
    return figure(statistics.median(times), n=len(times), low=percentile(times, 5), high=percentile(times, 95), unit="ms")


if __name__ == "__main__":
    main()
