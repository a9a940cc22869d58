"""Tables in the docs are made from bench/results."""

from bench.tables import CARD, card, figures
from tests.chaos.stack import ROOT


def test_the_tables_in_the_docs_are_those_of_the_results():
    assert (ROOT / "docs" / "figures.md").read_text() == figures(), "python -m bench.tables makes them anew"
    assert CARD.read_text() == card(CARD.read_text()), "python -m bench.tables makes it anew"
