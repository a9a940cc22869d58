"""Wilson's interval, which every page with a rate shows."""

import pytest
from scipy.stats import binomtest

from rollouts.intervals import wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (8, 10), (37, 200), (200, 200)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_it_agrees_with_scipy(hits, n, confidence):
    other = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert wilson(hits, n, confidence) == pytest.approx((other.low, other.high), abs=1e-9)


def test_without_trials_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "n"), [(-1, 4), (5, 4)])
def test_it_refuses_impossible_counts(hits, n):
    with pytest.raises(ValueError, match=f"got {hits} of {n}"):
        wilson(hits, n)
