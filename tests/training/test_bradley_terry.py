import math

import pytest
import torch

from training.learn.bradley_terry import (
    expected_calibration_error,
    fit_theta,
    rao_kupper_nll,
    rao_kupper_probabilities,
    theta_from_tie_rate,
)


def test_probabilities_sum_to_one():
    win, tie, lose = rao_kupper_probabilities(torch.linspace(-5, 5, 11), theta=1.8)
    torch.testing.assert_close(win + tie + lose, torch.ones(11))


def test_without_ties_theta_is_one():
    assert theta_from_tie_rate(0.0) == 1.0
    win, tie, lose = rao_kupper_probabilities(torch.zeros(1), theta=1.0)
    assert (win.item(), tie.item(), lose.item()) == (0.5, 0.0, 0.5)


def test_theta_reproduces_the_tie_rate_between_equals():
    _, tie, _ = rao_kupper_probabilities(torch.zeros(1), theta_from_tie_rate(0.175))
    assert tie.item() == pytest.approx(0.175)


def test_it_rejects_a_tie_rate_over_one():
    with pytest.raises(ValueError, match="tie_rate"):
        theta_from_tie_rate(1.2)


def test_fit_recovers_theta_from_sampled_outcomes():
    g = torch.Generator().manual_seed(0)
    margin = torch.randn(20_000, generator=g)
    win, tie, _ = rao_kupper_probabilities(margin, theta=1.6)
    draw = torch.rand(20_000, generator=g)
    outcome = torch.where(draw < win, 1.0, torch.where(draw < win + tie, 0.0, -1.0))
    assert fit_theta(margin, outcome) == pytest.approx(1.6, abs=0.05)


def test_fit_without_ties_is_one():
    assert fit_theta(torch.randn(10), torch.ones(10)) == 1.0
    assert fit_theta(torch.zeros(0), torch.zeros(0)) == 1.0


def test_nll_is_ln2_for_equals_without_ties():
    nll = rao_kupper_nll(torch.zeros(2), torch.tensor([1.0, -1.0]), torch.tensor(0.0))
    torch.testing.assert_close(nll, torch.full((2,), math.log(2)))


def test_ece_of_a_calibrated_and_of_an_overconfident_judge():
    g = torch.Generator().manual_seed(0)
    p = torch.rand(50_000, generator=g)
    happened = (torch.rand(50_000, generator=g) < p).float()
    calibrated, rows = expected_calibration_error(p, happened)
    assert calibrated < 0.01
    assert sum(row["n"] for row in rows) == 50_000
    overconfident, _ = expected_calibration_error(torch.ones(1000), torch.ones(1000) * 0)
    assert overconfident == 1.0
