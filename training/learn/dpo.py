"""Flow-DPO: direct preference optimisation of a flow-matching world model.

Shapes in names: P pairs, B samples (B = 2P, winners first, then losers), T future frames, C latent
channels, H and W latent height and width. The start frame is no part of T: it conditions the model,
is shared by both sides of a pair, and carries no loss.

Paths are straight: ``x_t = (1 - t) x + t noise`` with velocity ``v = noise - x``; t = 1 is pure noise.

With the squared velocity errors e of the trained model and e_ref of the frozen parent, the implicit
reward of a clip is ``r = -beta/2 (e - e_ref)`` and the margin of a pair is ``D = r_w - r_l``. The loss
``-log sigmoid(D)`` is Diffusion-DPO (Wallace et al. 2023, arXiv:2311.12908), written for flow matching
with a constant beta as in VideoAlign (Liu et al. 2025, arXiv:2501.13918). Errors are *means* over
frames, channels and pixels, so a margin of 1 needs a gap of 2/beta between the two error changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WorldModel(Protocol):
    """What the loss needs of a world model; ``rollouts.dreams`` provides the real one."""

    def encode_context(self, start_latents: Tensor, text: Any, copies: int = 1) -> Any:
        """Context of start frames and prompts, the whole batch repeated ``copies`` times."""
        ...

    def velocity(self, x_t: Tensor, t: Tensor, context: Any) -> Tensor: ...


@dataclass
class PairBatch:
    """P preferences over clips that share a start frame and a prompt.

    Attributes:
        winner_PTCHW, loser_PTCHW: latents of the two clips; which is which means nothing for a tie.
        start_PCHW: latents of the shared start frame.
        text: encoded prompts, a tensor whose first dimension is P, or a tuple of such tensors.
        tie_P: 1.0 where the annotator saw no difference, else 0.0.
        weight_P: annotator weight times strength weight, at least 0; a mean of 1 keeps the scale.
        mask_PT: which future frames the preference is about, in [0, 1]; every row has a positive sum.
        own_C: bool, which channels the agent itself decides; None stands for all. A preference is about these alone: were
            the others its business, it would teach a dream in which the dog gets out of the way.
    """

    winner_PTCHW: Tensor
    loser_PTCHW: Tensor
    start_PCHW: Tensor
    text: Any
    tie_P: Tensor
    weight_P: Tensor
    mask_PT: Tensor
    own_C: Tensor | None = None

    def __len__(self) -> int:
        return self.winner_PTCHW.shape[0]

    def to(self, device: torch.device) -> PairBatch:
        """The same batch on a device."""
        return PairBatch(
            winner_PTCHW=self.winner_PTCHW.to(device),
            loser_PTCHW=self.loser_PTCHW.to(device),
            start_PCHW=self.start_PCHW.to(device),
            text=each_tensor(self.text, lambda x: x.to(device)),
            tie_P=self.tie_P.to(device),
            weight_P=self.weight_P.to(device),
            mask_PT=self.mask_PT.to(device),
            own_C=None if self.own_C is None else self.own_C.to(device),
        )

    def __post_init__(self) -> None:
        if self.winner_PTCHW.shape != self.loser_PTCHW.shape:
            raise ValueError(f"winner and loser latents differ in shape: {tuple(self.winner_PTCHW.shape)} and {tuple(self.loser_PTCHW.shape)}")
        if self.mask_PT.shape != self.winner_PTCHW.shape[:2]:
            raise ValueError(f"mask_PT has shape {tuple(self.mask_PT.shape)}, expected {tuple(self.winner_PTCHW.shape[:2])}")
        if bool((self.mask_PT.sum(dim=1) <= 0).any()):
            raise ValueError("a preference whose mask covers no frame teaches nothing")
        if self.own_C is not None and (self.own_C.shape != self.winner_PTCHW.shape[2:3] or not bool(self.own_C.any())):
            raise ValueError(f"own_C has shape {tuple(self.own_C.shape)} and names {int(self.own_C.sum())} of {self.winner_PTCHW.shape[2]} channels")

    def owned(self, residual_BTCHW: Tensor) -> Tensor:
        """The channels that the preference is about -> [B,T,C',H,W]."""
        return residual_BTCHW if self.own_C is None else residual_BTCHW[:, :, self.own_C]


@dataclass
class DPOTerms:
    """Everything one batch of preferences yields, unreduced (one value per pair).

    Attributes:
        loss_P: weighted preference loss plus anchor, plus what keeps the others' doings as they are; average it to train.
        preference_P: preference loss before weights and anchor, without gradient.
        anchor_P: the winner's error (of a tie: both sides' mean), with gradient; alone it is SFT.
        chosen_rewards_P, rejected_rewards_P: implicit rewards, without gradient.
        winner_error_P, loser_error_P: squared velocity errors of the trained model, without gradient.
        winner_error_ref_P, loser_error_ref_P: those of the frozen parent.
        drift_P: mean squared difference of the two models' velocities (KL-like, up to the schedule).
        world_P: the same in the channels that are not the agent's own, with gradient; 0 where all are.
        loser_scale_P: factor on the loser's gradient, 1 unless it was scaled down.
        t_P: the time of each pair.
    """

    loss_P: Tensor
    preference_P: Tensor
    anchor_P: Tensor
    chosen_rewards_P: Tensor
    rejected_rewards_P: Tensor
    winner_error_P: Tensor
    loser_error_P: Tensor
    winner_error_ref_P: Tensor
    loser_error_ref_P: Tensor
    drift_P: Tensor
    world_P: Tensor
    loser_scale_P: Tensor
    t_P: Tensor


class FlowDPOLoss(nn.Module):
    """Preference loss on per-sample errors, with ties by Rao and Kupper (1967).

    ``P(w beats l) = sigmoid(D - ln theta)`` and
    ``P(tie) = (theta^2 - 1) sigmoid(D - ln theta) sigmoid(-D - ln theta)``; theta = 1 is plain
    Bradley-Terry, in which a tie has probability zero.

    Args:
        beta: inverse temperature of the implicit reward, > 0, for errors that are means.
        tie_theta: threshold of Rao and Kupper, >= 1 (see ``bradley_terry.theta_from_tie_rate``).
        label_smoothing: assumed share of flipped labels, in [0, 0.5) (conservative DPO).

    Raises:
        ValueError: for a setting outside its range, or ties given while ``tie_theta`` is 1.
    """

    def __init__(self, *, beta: float, tie_theta: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f"beta must be positive, got {beta=}")
        if not tie_theta >= 1:
            raise ValueError(f"tie_theta must be at least 1, got {tie_theta=}")
        if not 0 <= label_smoothing < 0.5:
            raise ValueError(f"label_smoothing must be in [0, 0.5), got {label_smoothing=}")
        self.beta = beta
        self.log_theta = math.log(tie_theta)
        self.label_smoothing = label_smoothing

    def forward(
        self,
        winner_error_P: Tensor,
        loser_error_P: Tensor,
        winner_error_ref_P: Tensor,
        loser_error_ref_P: Tensor,
        tie_P: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return unreduced (loss_P, chosen_rewards_P, rejected_rewards_P); rewards are detached."""
        chosen_P = -0.5 * self.beta * (winner_error_P - winner_error_ref_P)
        rejected_P = -0.5 * self.beta * (loser_error_P - loser_error_ref_P)
        margin_P = chosen_P - rejected_P
        win_P = F.logsigmoid(margin_P - self.log_theta)
        lose_P = F.logsigmoid(-margin_P - self.log_theta)
        loss_P = -(1 - self.label_smoothing) * win_P - self.label_smoothing * lose_P
        if tie_P is not None and bool((tie_P > 0).any()):
            if self.log_theta == 0.0:
                raise ValueError("ties have probability zero at tie_theta=1; drop them or fit theta")
            tie_loss_P = -(math.log(math.expm1(2 * self.log_theta)) + win_P + lose_P)
            loss_P = torch.where(tie_P > 0, tie_loss_P, loss_P)
        return loss_P, chosen_P.detach(), rejected_P.detach()


def flow_interpolate(x: Tensor, noise: Tensor, t_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x_t, velocity target) of straight paths; t_B in [0, 1], 1 is noise."""
    t = t_B.view(-1, *([1] * (x.dim() - 1)))
    return (1 - t) * x + t * noise, noise - x


def masked_error(residual_BTCHW: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean squared residual per sample over the frames in the mask -> [B]."""
    per_frame_BT = residual_BTCHW.float().square().mean(dim=(2, 3, 4))
    return (per_frame_BT * mask_BT).sum(dim=1) / mask_BT.sum(dim=1)


def loser_gradient_scale(
    winner_residual_PTCHW: Tensor,
    loser_residual_PTCHW: Tensor,
    mask_PT: Tensor,
    safety: float,
) -> Tensor:
    """Largest factor on the loser's gradient that can not raise the winner's error -> [P] in [0, 1].

    To first order, and with the gradients taken at the model's output, a step along
    ``-(g_w - s g_l)`` lowers the winner's error as long as ``s <w, l> <= |w|^2`` for the residuals w
    and l. Where the two do not conflict (``<w, l> <= 0``) the factor is 1. The idea is that of
    Diffusion-SDPO (Fu et al. 2025, arXiv:2511.03317); ``safety`` in (0, 1] keeps a distance to the bound.
    """
    mask = mask_PT[:, :, None, None, None]
    w = (winner_residual_PTCHW.detach().float() * mask).flatten(1)
    loser = (loser_residual_PTCHW.detach().float() * mask).flatten(1)
    conflict = (w * loser).sum(dim=1)
    bound = safety * w.square().sum(dim=1) / conflict.clamp_min(1e-12)
    return torch.where(conflict > 0, bound.clamp(max=1.0), torch.ones_like(bound))


def each_tensor(text: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply ``change`` to every tensor of encoded text: a tensor, or a container of tensors."""
    if isinstance(text, Tensor):
        return change(text)
    if isinstance(text, tuple | list):
        return type(text)(each_tensor(part, change) for part in text)
    if isinstance(text, dict):
        return {key: each_tensor(part, change) for key, part in text.items()}
    raise TypeError(f"encoded text holds a {type(text).__name__}, expected tensors")


def velocity_residuals(model: WorldModel, batch: PairBatch, noise_PTCHW: Tensor, t_P: Tensor) -> tuple[Tensor, Tensor]:
    """Predict velocities for both sides from the *same* noise and time.

    Returns:
        (residual_BTCHW, predicted_BTCHW), winners in the first half of B.
    """
    x = torch.cat([batch.winner_PTCHW, batch.loser_PTCHW])
    t_B = torch.cat([t_P, t_P])
    x_t, target = flow_interpolate(x, torch.cat([noise_PTCHW, noise_PTCHW]), t_B)
    # Both sides fork from one start frame: its context is computed once.
    context = model.encode_context(batch.start_PCHW, batch.text, copies=2)
    predicted = model.velocity(x_t, t_B, context)
    return predicted - target, predicted


@dataclass
class ReferencePass:
    """What the frozen parent says about a batch: errors [B] in the batch's own channels and velocities [B,T,C,H,W] in all."""

    error_B: Tensor
    predicted_BTCHW: Tensor


@torch.no_grad()
def reference_pass(reference: WorldModel, batch: PairBatch, noise_PTCHW: Tensor, t_P: Tensor) -> ReferencePass:
    """Run the parent without gradient, on the noise and times that the model will see."""
    residual, predicted = velocity_residuals(reference, batch, noise_PTCHW, t_P)
    return ReferencePass(masked_error(batch.owned(residual), torch.cat([batch.mask_PT, batch.mask_PT])), predicted)


def flow_dpo_terms(
    model: WorldModel,
    reference: ReferencePass,
    batch: PairBatch,
    noise_PTCHW: Tensor,
    t_P: Tensor,
    loss: FlowDPOLoss,
    *,
    anchor_weight: float = 0.0,
    world_weight: float = 0.0,
    loser_safety: float | None = None,
) -> DPOTerms:
    """One forward pass of the trained model and the unreduced loss.

    Args:
        reference: the frozen parent's pass over the same batch, noise and times.
        noise_PTCHW, t_P: shared by the two sides of a pair and by the two models.
        anchor_weight: weight of the winner's own flow-matching error (SFT term), >= 0. Without it the
            winner's error may rise while the margin grows; ties anchor both sides.
        world_weight: of what holds the channels that are not the agent's own to the parent's velocities, >= 0. Giving them no credit is not
            enough: a network that changes its mind about the robot changes it about the dog as well.
        loser_safety: in (0, 1] scales the loser's gradient (``loser_gradient_scale``); None leaves it.
    """
    pairs = len(batch)
    mask_BT = torch.cat([batch.mask_PT, batch.mask_PT])
    error_ref_B = reference.error_B
    residual, predicted = velocity_residuals(model, batch, noise_PTCHW, t_P)
    difference = (predicted - reference.predicted_BTCHW).float()
    residual = batch.owned(residual)
    error_B = masked_error(residual, mask_BT)
    winner_P, loser_P = error_B[:pairs], error_B[pairs:]

    scale_P = torch.ones_like(t_P)
    scaled_loser_P = loser_P
    if loser_safety is not None:
        scale_P = loser_gradient_scale(residual[:pairs], residual[pairs:], batch.mask_PT, loser_safety)
        # A tie has no loser to hold back.
        scale_P = torch.where(batch.tie_P > 0, torch.ones_like(scale_P), scale_P)
        # The value stays the true error; only the gradient shrinks.
        scaled_loser_P = loser_P.detach() + scale_P * (loser_P - loser_P.detach())

    preference_P, chosen_P, rejected_P = loss(winner_P, scaled_loser_P, error_ref_B[:pairs], error_ref_B[pairs:], batch.tie_P)
    anchor_P = torch.where(batch.tie_P > 0, 0.5 * (winner_P + loser_P), winner_P)
    drift_B = difference.detach().square().mean(dim=(1, 2, 3, 4))
    world_B = torch.zeros_like(drift_B)
    if batch.own_C is not None and not bool(batch.own_C.all()):
        world_B = difference[:, :, ~batch.own_C].square().mean(dim=(1, 2, 3, 4))
    world_P = 0.5 * (world_B[:pairs] + world_B[pairs:])
    return DPOTerms(
        loss_P=batch.weight_P * (preference_P + anchor_weight * anchor_P) + world_weight * world_P,
        preference_P=preference_P.detach(),
        anchor_P=anchor_P,
        chosen_rewards_P=chosen_P,
        rejected_rewards_P=rejected_P,
        winner_error_P=winner_P.detach(),
        loser_error_P=loser_P.detach(),
        winner_error_ref_P=error_ref_B[:pairs],
        loser_error_ref_P=error_ref_B[pairs:],
        drift_P=0.5 * (drift_B[:pairs] + drift_B[pairs:]),
        world_P=world_P,
        loser_scale_P=scale_P,
        t_P=t_P,
    )


def flow_matching_error(
    model: WorldModel,
    clip_BTCHW: Tensor,
    start_BCHW: Tensor,
    text: Any,
    noise_BTCHW: Tensor,
    t_B: Tensor,
) -> Tensor:
    """Plain flow-matching error per clip -> [B]; for replayed pretraining clips and SFT."""
    x_t, target = flow_interpolate(clip_BTCHW, noise_BTCHW, t_B)
    predicted = model.velocity(x_t, t_B, model.encode_context(start_BCHW, text))
    return (predicted - target).float().square().mean(dim=(1, 2, 3, 4))


def sample_times(count: int, generator: torch.Generator, mean: float, std: float, least: float = 0.0) -> Tensor:
    """Draw t ~ sigmoid(N(mean, std)), at least ``least`` -> [count]: logit-normal, dense where the error is informative."""
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator)).clamp_min(least)
