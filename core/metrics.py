"""Prometheus metrics. What the database knows (jobs, workers) is asked when scraped, so any web process can answer."""

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import REGISTRY, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

REQUEST_SECONDS = Histogram(
    "dreamfork_request_seconds",
    "Time to answer a request.",
    ["method", "view", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class _FromDatabase(Collector):
    def describe(self) -> list[GaugeMetricFamily]:
        return []  # registering must not ask the database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from core.models import Job, WorkerBeat

        now = timezone.now()
        jobs = GaugeMetricFamily("dreamfork_jobs", "Jobs by kind and state.", labels=["kind", "state"])
        for row in Job.objects.order_by().values("kind", "state").annotate(n=Count("pk")):
            jobs.add_metric([row["kind"], row["state"]], row["n"])
        yield jobs
        waiting = GaugeMetricFamily("dreamfork_oldest_waiting_job_seconds", "Age of the oldest waiting job.", labels=["queue"])
        for oldest in Job.objects.order_by().filter(state=Job.State.QUEUED).values("queue").annotate(oldest=Min("created_at")):
            waiting.add_metric([oldest["queue"]], (now - oldest["oldest"]).total_seconds())
        yield waiting
        seen = GaugeMetricFamily("dreamfork_worker_seen_seconds", "Time since a worker process was last alive.", labels=["worker"])
        for beat in WorkerBeat.objects.all():
            seen.add_metric([beat.name], (now - beat.seen_at).total_seconds())
        yield seen
        yield GaugeMetricFamily("dreamfork_info", "What runs here.", value=1 if settings.SITE_URL else 0)


REGISTRY.register(_FromDatabase())
