"""Adversarial mining without Django: the search, what makes a start frame worth proposing, and what played episodes have taught of that."""

from rollouts.mining.evidence import Assessment, Evidence, assess, evidence_of, touched_at
from rollouts.mining.forecast import Forecast
from rollouts.mining.search import Genome, Search, Tried, proposals, unsure_finds, worst_finds
from rollouts.mining.tries import Attempt, attempt, forecast_for, photograph

__all__ = [
    "Assessment",
    "Attempt",
    "Evidence",
    "Forecast",
    "Genome",
    "Search",
    "Tried",
    "assess",
    "attempt",
    "evidence_of",
    "forecast_for",
    "photograph",
    "proposals",
    "touched_at",
    "unsure_finds",
    "worst_finds",
]
