"""What each part of the policy learns from demonstrations: one recipe each, for `loop.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from rollouts.dreams.codec import Codec
from rollouts.dreams.flow import sample_times, velocity_error
from rollouts.dreams.idm import InverseDynamics
from rollouts.dreams.probe import DOG, ROBOT, ProbeNet
from rollouts.dreams.transformer import VideoTransformer
from rollouts.worlds.household.camera import to_frame

from .clips import Clips, clip_text


class CodecRecipe(nn.Module):
    """Reconstruction: absolute and squared pixel error and the error of pixel differences; what moves weighs five times.

    Batches hold two frames of each episode; where they differ, something moved. Mostly crops around the robot, the dog and
    the objects, which is where the detail is; a quarter of the batches are whole frames. Noise on the latents makes nearby
    latents decode alike, so that the flow's small errors stay small in the picture.
    """

    def __init__(self, codec: Codec, clips: Clips, batch: int, *, crop: int = 32, latent_noise: float = 0.12):
        super().__init__()
        self.codec, self.clips, self.batch, self.crop, self.latent_noise = codec, clips, batch, crop, latent_noise

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        whole = torch.rand(1, generator=generator, device=self.clips.device).item() < 0.25
        frames = self._frames(self.batch // 4 if whole else self.batch, generator, whole)
        a, b = frames.chunk(2)
        moved = ((a - b).abs().amax(1, keepdim=True) > 0.08).float()
        weight = 1 + 4 * F.max_pool2d(moved, 5, 1, 2).repeat(2, 1, 1, 1)
        raw = self.codec.encoder(frames * 2 - 1)
        spread = raw.detach().float().std((0, 2, 3), keepdim=True)
        noise = torch.randn(raw.shape, generator=generator, device=raw.device) * spread * self.latent_noise
        out = self.codec.decoder(raw + noise) * 0.5 + 0.5
        error = out.float() - frames
        slopes = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        loss = (weight * error.abs()).mean() + 4 * (weight * error**2).mean() + slopes + 1e-5 * raw.float().square().mean()
        return loss, {"mse": (error.detach() ** 2).mean()}

    def _frames(self, count: int, generator: torch.Generator, whole: bool) -> torch.Tensor:
        """float [count, 3, H, W]: the first and second half are pairs of one episode, cropped alike."""
        clips, device = self.clips, self.clips.device
        first = clips.draw(count // 2, generator)
        other = first + torch.randint(1, clips.horizon + 1, first.shape, generator=generator, device=device)
        frames = clips.frames[torch.cat([first, other])].movedim(-1, -3)
        if whole:
            return frames.float() / 255
        places = torch.cat([clips.robot[first, None, :2], clips.dog[first, None, :2], clips.objects[first]], 1)
        weight = (~places[..., 0].isnan()).float()
        weight[:, :2] *= 3
        which = torch.multinomial(weight, 1, generator=generator)[:, 0]
        spot = places[torch.arange(len(first), device=device), which].cpu().numpy()
        size = frames.shape[-1]
        corner = torch.from_numpy(to_frame(spot) * size).to(device) - self.crop / 2
        corner = corner + torch.rand(corner.shape, generator=generator, device=device) * 16 - 8 - torch.tensor([0.0, 5.0], device=device)
        corner = corner.round().long().clamp(0, size - self.crop).repeat(2, 1)
        reach = torch.arange(self.crop, device=device)
        rows, columns = corner[:, 1, None] + reach, corner[:, 0, None] + reach
        index = torch.arange(len(frames), device=device)[:, None, None]
        return frames.movedim(1, -1)[index, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).float() / 255

    @torch.no_grad()
    def normalise(self, codec: Codec, frames: int = 8192) -> None:
        """Sets the codec's `shift` and `scale` from the data."""
        chosen = torch.randint(len(self.clips.frames), (frames,), device=self.clips.device)
        parts = [codec.encoder(self.clips.frames[part].movedim(-1, -3).float() / 255 * 2 - 1) for part in chosen.split(256)]
        raw = torch.cat(parts).float()
        codec.shift.copy_(raw.mean((0, 2, 3)))
        codec.scale.copy_(raw.std((0, 2, 3)))


class WorldModelRecipe(nn.Module):
    """Flow matching of the future frames; the start frame is given and not part of the loss.

    emphasis: how much more latents that differ from the start frame weigh. Most of a room stands still and is soon right;
    what the model has to learn moves. parts: until `parts_until` of the run a step trains on this share of the tubelets of
    its clips, drawn at random: where things go and how they look is learned from parts for a part of the price; how
    neighbouring frames hang together needs whole clips, in the end.
    """

    def __init__(
        self,
        model: VideoTransformer,
        clips: Clips,
        batch: int,
        *,
        drop_text: float = 0.1,
        plan: float = 0.3,
        emphasis: float = 2.0,
        parts: float = 0.5,
        parts_until: float = 0.7,
    ):
        super().__init__()
        self.model, self.clips, self.batch = model, clips, batch
        self.drop_text, self.plan, self.emphasis = drop_text, plan, emphasis
        self.parts, self.parts_until, self.progress = parts, parts_until, 0.0

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        starts = self.clips.draw(self.batch, generator)
        tubelets = None
        if self.progress < self.parts_until:
            count = self.model.config.frames // self.model.config.tubelet
            order = torch.randperm(count, generator=generator, device=starts.device)
            tubelets = order[: max(1, round(self.parts * count))].sort().values
        error, moving, _ = self.errors(starts, generator, tubelets=tubelets)
        weight = 1 + self.emphasis * moving
        return (weight * error).mean() / weight.mean(), {"flow": error.detach().mean()}

    def errors(
        self, starts: torch.Tensor, generator: torch.Generator, *, times: torch.Tensor | None = None, tubelets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of given clips: unreduced velocity errors [B, T, C, h, w], where something moved (0 or 1) [B, T, 1, h, w], and the
        noise levels [B]; T is the frames of `tubelets` int64 [K] where given."""
        clips = self.clips
        assert clips.latents is not None
        window = clips.window(starts)
        if tubelets is not None:
            reach = torch.arange(self.model.config.tubelet, device=starts.device)
            frames = (tubelets[:, None] * self.model.config.tubelet + reach).flatten() + 1
            window = torch.cat([window[:, :1], window[:, frames]], 1)
        latents = clips.latents[window].float()
        text, mask = clip_text(clips, starts, self.model.config.text_tokens, plan=self.plan, generator=generator)
        drop = torch.rand(len(starts), generator=generator, device=starts.device) < self.drop_text
        context = self.model.encode_context(latents[:, 0], text, mask, drop)
        future = latents[:, 1:]
        noise = torch.randn(future.shape, generator=generator, device=future.device)
        t = sample_times(len(starts), generator=generator, device=future.device) if times is None else times
        moving = ((future - latents[:, :1]).square().mean(2, keepdim=True) > 0.25).float()
        return velocity_error(self.model, future, context, noise=noise, t=t, tubelets=tubelets), moving, t


class StartFrameRecipe(nn.Module):
    """Flow matching of single frames from scene descriptions; any frame near an episode's start serves its description."""

    def __init__(self, model: VideoTransformer, clips: Clips, batch: int, *, drop_text: float = 0.1):
        super().__init__()
        self.model, self.clips, self.batch, self.drop_text = model, clips, batch, drop_text
        change = torch.ones(len(clips.episode), dtype=torch.bool, device=clips.device)
        change[1:] = clips.episode[1:] != clips.episode[:-1]
        self.first = change.nonzero()[:, 0]

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        assert clips.words is not None
        pick = torch.randint(len(self.first), (self.batch,), generator=generator, device=clips.device)
        latents = clips.latents[self.first[pick]].float()[:, None]
        text, mask = clips.words.pack(None, clips.scene[pick], self.model.config.text_tokens)
        drop = torch.rand(self.batch, generator=generator, device=clips.device) < self.drop_text
        context = self.model.encode_context(None, text, mask, drop)
        noise = torch.randn(latents.shape, generator=generator, device=clips.device)
        t = sample_times(self.batch, generator=generator, device=clips.device)
        return velocity_error(self.model, latents, context, noise=noise, t=t).mean(), {}


class IdmRecipe(nn.Module):
    """Regression of actions and positions; latents are jittered, since dreams are never quite on the codec's manifold."""

    def __init__(self, model: InverseDynamics, clips: Clips, batch: int, jitter: float = 0.15):
        super().__init__()
        self.model, self.clips, self.batch, self.jitter = model, clips, batch, jitter
        model.action_mean.copy_(clips.actions.mean(0))
        model.action_scale.copy_(clips.actions.std(0).clamp(min=0.05))

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        window = clips.window(clips.draw(self.batch, generator))
        latents = clips.latents[window].float()
        level = self.jitter * torch.rand(len(latents), 1, 1, 1, 1, generator=generator, device=latents.device)
        latents = latents + level * torch.randn(latents.shape, generator=generator, device=latents.device)
        actions, positions = self.model(latents)
        target, place = self.targets(window)
        scaled = (actions.float() - target) / self.model.action_scale
        loss = F.smooth_l1_loss(scaled, torch.zeros_like(scaled), beta=0.5) + 2 * F.smooth_l1_loss(positions.float(), place, beta=0.1)
        return loss, {"action_mae": (actions.detach() - target).abs().mean(), "place_mae": (positions.detach() - place).abs().mean()}

    def targets(self, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Actions [B, T, 5] whose velocities are those that the robot achieved (a blocked robot's command cannot be
        seen), and positions [B, T + 1, 2]."""
        place = self.clips.robot[window][..., :2]
        actions = self.clips.actions[window[:, :-1]].clone()
        actions[..., :2] = place.diff(dim=1) * 3.0
        return actions, place


class ProbeRecipe(nn.Module):
    """Presence, floor position, dog heading and arms, from single frames."""

    def __init__(self, net: ProbeNet, clips: Clips, batch: int):
        super().__init__()
        self.net, self.clips, self.batch = net, clips, batch

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        pick = torch.randint(len(clips.frames), (self.batch,), generator=generator, device=clips.device)
        latents = clips.latents[pick].float()
        # Some jitter, so that artefacts of the codec and of dreams do not decide.
        level = 0.15 * torch.rand(self.batch, 1, 1, 1, generator=generator, device=clips.device)
        logits, xy, pose = self.net(latents + level * torch.randn(latents.shape, generator=generator, device=clips.device))
        dog, objects, robot = clips.dog[pick], clips.objects[pick], clips.robot[pick]
        place = torch.cat([robot[:, None, :2], dog[:, None, :2], objects], 1)
        present = ~place[..., 0].isnan()
        seen = present[..., None].float()
        presence = F.binary_cross_entropy_with_logits(logits.float(), present.float())
        position = (F.smooth_l1_loss(xy.float(), place.nan_to_num(), beta=0.1, reduction="none") * seen).sum() / seen.sum()
        heading = torch.stack([dog[:, 2].cos(), dog[:, 2].sin()], -1).nan_to_num()
        turned = ((pose[:, :2].float() - heading) ** 2 * present[:, DOG, None]).mean()
        arms = ((pose[:, 2:].float() - robot[:, 3:5]) ** 2).mean()
        mae = ((xy.detach() - place.nan_to_num()).abs() * seen).sum((0, 2)) / (2 * seen.sum((0, 2)).clamp(min=1))
        return presence + 4 * position + turned + 2 * arms, {
            "presence": presence.detach(),
            "robot_mae": mae[ROBOT],
            "dog_mae": mae[DOG],
            "object_mae": mae[2:].mean(),
        }
