import math

import pytest
import torch

from tests.training.tiny import TinyWorldModel, random_pairs, shared_noise
from training.learn.dpo import (
    FlowDPOLoss,
    PairBatch,
    flow_dpo_terms,
    flow_interpolate,
    loser_gradient_scale,
    masked_error,
    reference_pass,
    velocity_residuals,
)


def swapped(batch: PairBatch) -> PairBatch:
    return PairBatch(
        winner_PTCHW=batch.loser_PTCHW,
        loser_PTCHW=batch.winner_PTCHW,
        start_PCHW=batch.start_PCHW,
        text=batch.text,
        tie_P=batch.tie_P,
        weight_P=batch.weight_P,
        mask_PT=batch.mask_PT,
    )


def terms(model, reference, batch, loss=None, **options):
    noise, t = shared_noise(len(batch))
    parent = reference_pass(reference, batch, noise, t)
    return flow_dpo_terms(model, parent, batch, noise, t, loss or FlowDPOLoss(beta=100.0), **options)


def test_loss_is_ln2_at_the_reference():
    out = terms(TinyWorldModel(0), TinyWorldModel(0), random_pairs())
    torch.testing.assert_close(out.loss_P, torch.full((6,), math.log(2)))
    torch.testing.assert_close(out.drift_P, torch.zeros(6))


def test_loss_falls_as_the_chosen_error_falls():
    loss = FlowDPOLoss(beta=100.0)
    ref = torch.full((5,), 1.0)
    chosen = torch.linspace(1.02, 0.98, 5)
    values, rewards, _ = loss(chosen, ref, ref, ref)
    assert (values.diff() < 0).all()
    assert (rewards.diff() > 0).all()


def test_swapping_the_pair_flips_the_sign_of_the_margin():
    model, reference, batch = TinyWorldModel(0), TinyWorldModel(1), random_pairs()
    one, other = terms(model, reference, batch), terms(model, reference, swapped(batch))
    margin = one.chosen_rewards_P - one.rejected_rewards_P
    assert margin.abs().min() > 1e-3
    torch.testing.assert_close(margin, -(other.chosen_rewards_P - other.rejected_rewards_P))


def test_the_reference_receives_no_gradient():
    model, reference = TinyWorldModel(0), TinyWorldModel(1)
    terms(model, reference, random_pairs(), anchor_weight=0.5).loss_P.mean().backward()
    assert all(parameter.grad is None for parameter in reference.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_theta_of_one_is_plain_bradley_terry():
    errors = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    plain, chosen, rejected = FlowDPOLoss(beta=10.0, tie_theta=1.0)(*errors)
    torch.testing.assert_close(plain, -torch.nn.functional.logsigmoid(chosen - rejected))


def test_a_tie_pulls_the_margin_to_zero():
    loss = FlowDPOLoss(beta=2.0, tie_theta=1.5)
    chosen = torch.linspace(-1, 1, 21).requires_grad_()
    zero = torch.zeros(21)
    values, _, _ = loss(chosen, zero, zero, zero, torch.ones(21))
    assert values.argmin() == 10
    (gradient,) = torch.autograd.grad(values.sum(), chosen)
    assert (gradient[:10] < 0).all()
    assert (gradient[11:] > 0).all()


def test_win_tie_and_loss_probabilities_sum_to_one():
    loss = FlowDPOLoss(beta=2.0, tie_theta=1.7)
    gap, zero = torch.linspace(-3, 3, 13), torch.zeros(13)
    win = loss(gap, zero, zero, zero)[0]
    lose = loss(-gap, zero, zero, zero)[0]
    tie = loss(gap, zero, zero, zero, torch.ones(13))[0]
    torch.testing.assert_close((-win).exp() + (-lose).exp() + (-tie).exp(), torch.ones(13))


def test_a_far_margin_makes_a_tie_unlikely_and_a_wide_threshold_makes_it_certain():
    zero, tie = torch.zeros(1), torch.ones(1)
    far = FlowDPOLoss(beta=2.0, tie_theta=1.5)(torch.full((1,), 40.0), zero, zero, zero, tie)[0]
    assert far.item() > 30
    wide = FlowDPOLoss(beta=2.0, tie_theta=1e6)(zero, zero, zero, zero, tie)[0]
    assert wide.item() < 1e-5


def test_it_rejects_ties_without_a_threshold():
    with pytest.raises(ValueError, match="tie_theta"):
        terms(TinyWorldModel(0), TinyWorldModel(0), random_pairs(ties=True))


@pytest.mark.parametrize(
    "settings",
    [{"beta": 0.0}, {"beta": 1, "tie_theta": 0.9}, {"beta": 1, "label_smoothing": 0.5}],
)
def test_it_rejects_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="must be"):
        FlowDPOLoss(**settings)


def test_label_smoothing_bounds_the_wished_margin():
    loss = FlowDPOLoss(beta=2.0, label_smoothing=0.1)
    chosen = torch.linspace(-8, 8, 1601)
    zero = torch.zeros(1601)
    best = chosen[loss(chosen, zero, zero, zero)[0].argmin()]
    # The optimum of the conservative loss is the log odds of a true label.
    assert -best.item() == pytest.approx(math.log(0.9 / 0.1), abs=0.02)


def test_frames_outside_the_segment_do_not_matter():
    model, reference, batch = TinyWorldModel(0), TinyWorldModel(1), random_pairs()
    batch.mask_PT[:, 2:] = 0.0
    residual = torch.randn(6, 4, 2, 3, 3)
    changed = residual.clone()
    changed[:, 2:] = 7.0
    torch.testing.assert_close(masked_error(residual, batch.mask_PT), masked_error(changed, batch.mask_PT))
    assert not torch.allclose(
        terms(model, reference, batch).loss_P,
        terms(model, reference, random_pairs()).loss_P,
    )


def test_no_gradient_flows_from_frames_outside_the_segment():
    residual = torch.randn(6, 4, 2, 3, 3, requires_grad=True)
    mask = torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(6, 4)
    masked_error(residual, mask).sum().backward()
    assert residual.grad[:, 1:3].abs().max() == 0
    assert residual.grad[:, 0].abs().min() > 0


def test_a_preference_is_about_the_agents_own_channels_only():
    """What the dog does in a dream neither counts nor is taught; the parent's velocities are known in all channels, for the drift."""
    model, reference, batch = TinyWorldModel(0), TinyWorldModel(1), random_pairs()
    batch.own_C = torch.tensor([True, False])
    mine = terms(model, reference, batch)
    noise, t = shared_noise(6)
    residual, _ = velocity_residuals(model, batch, noise, t)
    torch.testing.assert_close(mine.winner_error_P, residual[:6, :, :1].square().mean(dim=(1, 2, 3, 4)))
    assert not torch.allclose(mine.loss_P, terms(model, reference, random_pairs()).loss_P)
    mine.loss_P.sum().backward()
    assert model.out.weight.grad is not None
    # The last layer writes each channel apart: what the other channel's rows write gets no gradient.
    gradient = model.out.weight.grad.view(4, 2, 9, -1)
    assert gradient[:, 0].abs().max() > 0
    assert gradient[:, 1].abs().max() == 0


def test_the_others_doings_are_held_to_where_the_parent_dreams_them():
    model, batch = TinyWorldModel(0), random_pairs()
    batch.own_C = torch.tensor([True, False])
    same = terms(model, TinyWorldModel(0), batch)
    torch.testing.assert_close(same.world_P, torch.zeros(6))
    reference = TinyWorldModel(1)
    free, held = (terms(model, reference, batch, world_weight=weight) for weight in (0.0, 3.0))
    noise, t = shared_noise(6)
    mine, theirs = (velocity_residuals(net, batch, noise, t)[1][:, :, 1:] for net in (model, reference))
    apart = (mine - theirs).square().mean(dim=(1, 2, 3, 4)).view(2, 6).mean(0)
    torch.testing.assert_close(held.world_P, apart)
    torch.testing.assert_close(held.loss_P - free.loss_P, 3.0 * apart)
    assert terms(model, reference, random_pairs(), world_weight=3.0).world_P.abs().max() == 0, "all channels are the agent's own"


@pytest.mark.parametrize("own", [torch.tensor([True, False, True]), torch.tensor([False, False])])
def test_it_refuses_channels_that_do_not_fit(own):
    with pytest.raises(ValueError, match="own_C"):
        PairBatch(**{**random_pairs().__dict__, "own_C": own})


def test_it_rejects_an_empty_segment():
    batch = random_pairs()
    mask = batch.mask_PT.clone()
    mask[2] = 0
    with pytest.raises(ValueError, match="covers no frame"):
        PairBatch(**{**batch.__dict__, "mask_PT": mask})


def test_weights_scale_the_loss():
    model, reference, batch = TinyWorldModel(0), TinyWorldModel(1), random_pairs()
    plain = terms(model, reference, batch).loss_P
    batch.weight_P = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 1.0])
    torch.testing.assert_close(terms(model, reference, batch).loss_P, plain * batch.weight_P)


def test_the_anchor_is_the_winners_error():
    model, reference, batch = TinyWorldModel(0), TinyWorldModel(1), random_pairs()
    plain, anchored = (terms(model, reference, batch, anchor_weight=w) for w in (0.0, 0.3))
    torch.testing.assert_close(anchored.loss_P - plain.loss_P, 0.3 * plain.winner_error_P)


def test_gradient_matches_a_plain_written_out_version():
    """Autograd on the batched loss against finite differences of a loop over pairs and frames."""
    loss = FlowDPOLoss(beta=5.0, tie_theta=1.4, label_smoothing=0.1)
    model, reference = TinyWorldModel(0).double(), TinyWorldModel(1).double()
    batch = random_pairs(pairs=3, ties=True)
    for name in (
        "winner_PTCHW",
        "loser_PTCHW",
        "start_PCHW",
        "text",
        "tie_P",
        "weight_P",
    ):
        setattr(batch, name, getattr(batch, name).double())
    batch.mask_PT = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [1, 0.25, 0.25, 1]]).double()
    batch.weight_P = torch.tensor([1.0, 0.5, 2.0]).double()
    noise, t = (value.double() for value in shared_noise(3))

    def plain() -> float:
        total = 0.0
        for p in range(3):
            start, text = batch.start_PCHW[p : p + 1], batch.text[p : p + 1]

            def error(net, clip, p=p, start=start, text=text):
                x_t = (1 - t[p]) * clip + t[p] * noise[p]
                v = net.velocity(x_t[None], t[p : p + 1], net.encode_context(start, text))[0]
                top = bottom = 0.0
                for frame in range(4):
                    square = (v[frame] - (noise[p] - clip)[frame]) ** 2
                    top += batch.mask_PT[p, frame].item() * square.mean().item()
                    bottom += batch.mask_PT[p, frame].item()
                return top / bottom

            w, lo = (
                error(model, batch.winner_PTCHW[p]),
                error(model, batch.loser_PTCHW[p]),
            )
            w_ref = error(reference, batch.winner_PTCHW[p])
            lo_ref = error(reference, batch.loser_PTCHW[p])
            margin = -2.5 * ((w - w_ref) - (lo - lo_ref))
            win = 1 / (1 + 1.4 * math.exp(-margin))
            lose = 1 / (1 + 1.4 * math.exp(margin))
            if batch.tie_P[p] > 0:
                value = -math.log(1 - win - lose) + 0.2 * 0.5 * (w + lo)
            else:
                value = -0.9 * math.log(win) - 0.1 * math.log(lose) + 0.2 * w
            total += batch.weight_P[p].item() * value
        return total / 3

    parent = reference_pass(reference, batch, noise, t)
    out = flow_dpo_terms(model, parent, batch, noise, t, loss, anchor_weight=0.2)
    assert out.loss_P.mean().item() == pytest.approx(plain(), abs=1e-6)
    out.loss_P.mean().backward()
    for parameter in model.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for index in (0, flat.numel() // 2, flat.numel() - 1):
            kept, step = flat[index].item(), 1e-5
            flat[index] = kept + step
            above = plain()
            flat[index] = kept - step
            below = plain()
            flat[index] = kept
            assert (above - below) / (2 * step) == pytest.approx(gradient[index].item(), abs=2e-6, rel=1e-3)


def test_loser_scale_never_raises_the_winners_error():
    """The scaled output-space step -(w - s l) has no component that grows the winner's residual."""
    g = torch.Generator().manual_seed(3)
    w = torch.randn(64, 4, 2, 3, 3, generator=g)
    loser = 0.9 * w * torch.rand(64, 1, 1, 1, 1, generator=g) * 4 + 0.3 * torch.randn(w.shape, generator=g)
    mask = torch.ones(64, 4)
    scale = loser_gradient_scale(w, loser, mask, safety=1.0)
    along = ((w - scale.view(-1, 1, 1, 1, 1) * loser) * w).flatten(1).sum(1)
    assert (along >= -1e-3).all()
    assert (scale < 1).any()
    assert (scale == 1).any()


def test_loser_scaling_changes_the_gradient_and_not_the_value():
    reference, batch = TinyWorldModel(1), random_pairs()
    gradients, values = [], []
    for safety in (None, 0.2):
        model = TinyWorldModel(0)
        out = terms(model, reference, batch, loser_safety=safety)
        out.loss_P.mean().backward()
        values.append(out.loss_P.detach())
        gradients.append(model.out.weight.grad)
    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(gradients[0], gradients[1])


def test_paths_are_straight_from_clip_to_noise():
    x, noise = torch.randn(2, 4, 2, 3, 3), torch.randn(2, 4, 2, 3, 3)
    start, v = flow_interpolate(x, noise, torch.zeros(2))
    end, _ = flow_interpolate(x, noise, torch.ones(2))
    torch.testing.assert_close(start, x)
    torch.testing.assert_close(end, noise)
    torch.testing.assert_close(v, noise - x)
