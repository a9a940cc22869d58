"""Simulated annotators: programs that look at the pixels of a pair through a probe and answer through the HTTP API."""

from .client import Outcome, SimulatedAnnotator
from .judge import Judge, Verdict
from .teacher import Teacher, Utility

__all__ = ["Judge", "Outcome", "SimulatedAnnotator", "Teacher", "Utility", "Verdict"]
