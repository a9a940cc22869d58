"""Adversarial mining without Django: the search, and what makes a start frame worth proposing."""

from rollouts.mining.evidence import Assessment, Evidence, assess, evidence_of, touched_at
from rollouts.mining.search import Genome, Search, Tried, proposals, unsure_finds, worst_finds

__all__ = ["Assessment", "Evidence", "Genome", "Search", "Tried", "assess", "evidence_of", "proposals", "touched_at", "unsure_finds", "worst_finds"]
