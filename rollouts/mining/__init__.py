"""Adversarial mining without Django: the search, and what makes a start frame worth proposing."""

from rollouts.mining.evidence import Evidence, evidence_of
from rollouts.mining.search import Genome, Search, Tried, best_per_cell

__all__ = ["Evidence", "Genome", "Search", "Tried", "best_per_cell", "evidence_of"]
