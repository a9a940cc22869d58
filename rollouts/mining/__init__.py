"""Adversarial mining without Django: the search, and what makes a start frame worth proposing."""

from rollouts.mining.evidence import Assessment, Evidence, assess, dreamed_contact, evidence_of
from rollouts.mining.search import Genome, Search, Tried, proposals, unsure_finds, worst_finds

__all__ = ["Assessment", "Evidence", "Genome", "Search", "Tried", "assess", "dreamed_contact", "evidence_of", "proposals", "unsure_finds", "worst_finds"]
