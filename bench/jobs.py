"""How soon a job goes on after its worker was killed, with the settings that ship: `python -m bench.jobs`.

Seconds from the last heartbeat of a `kill -9`ed worker to the moment the job is queued again (`job_requeue_s`), and to
its end (`job_recovered_s`), over a few kills of a real worker.
"""

import statistics
import tempfile
import time
from pathlib import Path

from bench.common import figure, write_results
from tests.chaos.stack import Stack

KILLS = 3
STEPS, STEP_S = 15, 0.2


def main() -> None:
    started = time.time()
    requeue, recovered = [], []
    with tempfile.TemporaryDirectory(prefix="bench-jobs-") as home:
        stack = Stack(Path(home))
        try:
            stack.wait_up()
            for _ in range(KILLS):
                job = stack.submit(steps=STEPS, step_s=STEP_S)
                stack.wait_steps(job, 3, timeout_s=120)
                worker = stack.find("-Q", "cpu")
                assert worker is not None
                worker.kill()
                (beat,) = stack.query("SELECT heartbeat_at FROM core_job WHERE id = %s", job)[0]
                stack.wait_job(job, "succeeded", timeout_s=180)
                when = dict(stack.query("SELECT kind, created_at FROM core_event WHERE topic = %s AND kind IN ('requeued', 'succeeded')", f"job:{job}"))
                requeue.append((when["requeued"] - beat).total_seconds())
                recovered.append((when["succeeded"] - beat).total_seconds())
        finally:
            stack.stop()
    figures = {
        name: figure(statistics.mean(values), n=KILLS, low=min(values), high=max(values), unit="s")
        for name, values in (("job_requeue_s", requeue), ("job_recovered_s", recovered))
    }
    write_results("jobs", figures, started)


if __name__ == "__main__":
    main()
