"""What each part of the policy learns from demonstrations: one recipe each, for `loop.py`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.utils import seeding
from torch import nn

from rollouts.dreams.codec import Codec
from rollouts.dreams.flow import sample_times, velocity_error
from rollouts.dreams.grounding import Grounder
from rollouts.dreams.idm import InverseDynamics
from rollouts.dreams.motion import MotionCodec, codes_between, sides
from rollouts.dreams.probe import ProbeNet
from rollouts.dreams.scenes import Renderer
from rollouts.dreams.transformer import VideoTransformer
from rollouts.worlds.household.camera import to_frame
from rollouts.worlds.household.describe import scene_clauses
from rollouts.worlds.household.env import CONTROL_HZ
from rollouts.worlds.household.factors import OBJECTS, HouseholdFactors
from rollouts.worlds.household.layout import sample as sample_layout
from rollouts.worlds.household.tasks import all_prompts, holds_in_mirror, parse
from rollouts.worlds.household.tokens import DOG, FIRST_OBJECT, ROBOT, scene_tokens

from .clips import ClauseTable, Clips, clause_indices, clip_text


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


class MotionRecipe(nn.Module):
    """The tracker learns where things are in single frames; the decoder, a frame's latents from the start frame and how things have moved
    since. What moved weighs more. Places and codes are jittered a little, since they will be a tracker's and a dream's."""

    def __init__(self, codec: MotionCodec, clips: Clips, batch: int, *, emphasis: float = 4.0, jitter: float = 0.02):
        super().__init__()
        self.codec, self.clips, self.batch, self.emphasis, self.jitter = codec, clips, batch, emphasis, jitter

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        first = clips.draw(self.batch, generator)
        other = first + torch.randint(clips.horizon + 1, first.shape, generator=generator, device=first.device)
        start, latents = clips.latents[first].float(), clips.latents[other].float()
        before = clips.places(first)
        codes = codes_between(before, clips.places(other))
        codes = codes + self._normal(codes, generator) * self.jitter * (codes != 0)
        before = replace(before, xy=before.xy + self._normal(before.xy, generator) * self.jitter)
        error = (self.codec.picture(codes, start, before) - latents).square()
        moved = ((latents - start).square().mean(1, keepdim=True) > 0.25).float()
        weight = 1 + self.emphasis * moved
        with torch.no_grad():
            moving = (error.mean(1, keepdim=True) * moved).sum() / moved.sum().clamp(min=1)
        tracked, metrics = tracking(self.codec.tracker, clips, other[: max(1, self.batch // 4)], generator)
        return (weight * error).mean() / weight.mean() + tracked, {"mse": error.detach().mean(), "moving_mse": moving, **metrics}

    @staticmethod
    def _normal(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator, device=like.device)


class GroundingRecipe(nn.Module):
    """Where is the object that a prompt names, and where are the landmarks? Any frame with any prompt about any object, present or not;
    some prompts are followed by a plan that has nothing to do with them. Half of the frames are turned over, left to right, as they are for
    the world model."""

    def __init__(self, net: Grounder, clips: Clips, batch: int, *, jitter: float = 0.25, plan: float = 0.3, mirror: float = 0.5):
        super().__init__()
        assert clips.words is not None
        self.net, self.clips, self.batch, self.jitter, self.plan, self.mirror = net, clips, batch, jitter, plan, mirror
        self.pictured = torch.nonzero(clips.picture >= 0)[:, 0]
        prompts: list[list[str]] = [[] for _ in OBJECTS]
        for prompt in all_prompts():
            target = parse(prompt).target
            if target:
                prompts[OBJECTS.index(target)].append(prompt)
        most = max(map(len, prompts))  # shorter lists go round again
        cycled = [[[own[i % len(own)]] for i in range(most)] for own in prompts]
        self.prompts = torch.stack([clause_indices(own, clips.words, 2) for own in cycled]).to(clips.device)

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips, n, device = self.clips, self.batch, self.clips.device
        assert clips.words is not None

        def draw(limit: int, *shape: int) -> torch.Tensor:
            return torch.randint(limit, shape or (n,), generator=generator, device=device)

        pick = self.pictured[draw(len(self.pictured))]
        mirrored = torch.rand(n, generator=generator, device=device) < self.mirror
        side = sides(mirrored)
        latents = clips.seen(pick, mirrored)
        latents = latents + self.jitter * torch.rand(n, 1, 1, 1, generator=generator, device=device) * torch.randn(
            latents.shape, generator=generator, device=device
        )
        there = ~clips.objects[pick][..., 0].isnan()
        # Mostly objects that are there: one in six or so of those that are not.
        which = torch.multinomial(there.float() + 0.05, 1, generator=generator)[:, 0]
        place, present = clips.objects[pick, which] * side, there[torch.arange(n, device=device), which]
        plans = clips.phase[draw(len(clips.phase), n, 4)]
        plans = torch.where(torch.rand(n, 1, generator=generator, device=device) < self.plan, plans, -1)
        text, mask = clips.words.pack(self.prompts[which, draw(self.prompts.shape[1])], plans, 16)
        logit, xy = self.net(latents, text, mask)
        error = F.smooth_l1_loss(xy, place.nan_to_num(), beta=0.1, reduction="none").sum(-1) * present
        mae = ((xy.detach() - place.nan_to_num()).norm(dim=-1) * present).sum() / present.sum()
        named = F.binary_cross_entropy_with_logits(logit, present.float()) + 4 * error.mean()
        marks, metrics = self._landmarks(pick, latents, side)
        return named + marks, {"place_error": mae, **metrics}

    def _landmarks(self, pick: torch.Tensor, latents: torch.Tensor, side: torch.Tensor) -> tuple[torch.Tensor, dict]:
        """Loss and errors [m] of the landmarks; the dog's count where a frame shows one. side [B, 2]: -1, 1 of a frame that is turned over."""
        clips, facts = self.clips, self.net.landmarks(latents)
        dog, robot = clips.dog[pick], clips.robot[pick]
        there = ~dog[:, :1].isnan()
        dog = dog.nan_to_num()
        place = torch.stack([dog[:, :2], clips.mat[clips.episode[pick]], robot[:, :2]], 1) * side[:, None]
        seen = torch.cat([there, torch.ones_like(there), torch.ones_like(there)], 1)
        off = F.smooth_l1_loss(facts[..., 1:3], place, beta=0.1, reduction="none").sum(-1) * seen
        yaw = torch.stack([dog[:, 2], robot[:, 2]], 1)
        turned = (facts[:, [0, 2], 3:] - torch.stack([yaw.cos(), yaw.sin()], -1) * side[:, None]).square().sum(-1) * seen[:, [0, 2]]
        loss = F.binary_cross_entropy_with_logits(facts[..., 0], seen.float()) + 4 * off.mean() + 0.3 * turned.mean()
        metres = ((facts[..., 1:3] - place).norm(dim=-1) * seen).detach().sum(0) / seen.sum(0)
        return loss, {"dog_error": metres[0], "mat_error": metres[1], "robot_error": metres[2]}


class WorldModelRecipe(nn.Module):
    """Flow matching of the motion codes of the future frames; the start frame is given and not part of the loss. It is jittered, or
    thousands of episodes are learned by heart; for the same reason half of them are shown in a mirror, but for gestures (one hand is orange, and
    prompts tell left from right). Noise levels lean further to noise than for pictures: the twelve frames of a path tell the
    same thing, so that it can be seen, and is decided, nearly to the end of the noise (Chen 2023, "On the Importance of Noise Scheduling for
    Diffusion Models", says so of larger pictures)."""

    def __init__(
        self, model: VideoTransformer, clips: Clips, batch: int, *,
        drop_text: float = 0.1, plan: float = 0.3, jitter: float = 0.25, draws: int = 6, mirror: float = 0.5,
    ):  # fmt: skip
        super().__init__()
        self.model, self.clips, self.batch = model, clips, batch
        self.drop_text, self.plan, self.jitter, self.draws, self.mirror = drop_text, plan, jitter, draws, mirror
        self.mirrors = torch.tensor([holds_in_mirror(meta["prompt"]) for meta in clips.meta], device=clips.device)
        for part in model.frozen():
            part.requires_grad_(False)

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        starts = self.clips.draw(self.batch, generator)
        chosen = torch.rand(len(starts), generator=generator, device=starts.device) < self.mirror
        mirrored = chosen & self.mirrors[self.clips.episode[starts]]
        return self.errors(starts, generator, jitter=self.jitter, draws=self.draws, mirrored=mirrored).mean(), {}

    def errors(
        self, starts: torch.Tensor, generator: torch.Generator, *,
        times: torch.Tensor | None = None, jitter: float = 0.0, draws: int = 1, mirrored: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Unreduced velocity errors [B * draws, T, Z, 1, 1] of the clips that begin at `starts` [B]; `times` [B * draws] in place of drawn
        noise levels. draws: of noise and level for each clip, whose context is computed once. mirrored bool [B]: seen in a mirror, and
        without a plan, whose words tell left from right."""
        clips = self.clips
        text, mask = clip_text(clips, starts, self.model.config.text_tokens, plan=self.plan, generator=generator, unplanned=mirrored)
        drop = torch.rand(len(starts), generator=generator, device=starts.device) < self.drop_text
        frames = clips.seen(starts, mirrored)
        if jitter:
            level = jitter * torch.rand(len(frames), 1, 1, 1, generator=generator, device=frames.device)
            frames = frames + level * torch.randn(frames.shape, generator=generator, device=frames.device)
        context = self.model.encode_context(frames, text, mask, drop).repeat(draws)
        future = clips.motion(starts, mirrored).repeat_interleave(draws, 0)
        noise = torch.randn(future.shape, generator=generator, device=future.device)
        if times is None:
            times = sample_times(len(future), generator=generator, device=future.device, mean=0.9, std=1.2)
        return velocity_error(self.model, future, context, noise=noise, t=times)


class RendererRecipe(nn.Module):
    """Regression of frames' latents from the states of their scenes; what is not in every scene weighs more."""

    def __init__(self, renderer: Renderer, clips: Clips, batch: int, *, emphasis: float = 4.0):
        super().__init__()
        assert clips.latents is not None
        self.renderer, self.clips, self.batch, self.emphasis = renderer, clips, batch, emphasis
        self.usual = clips.latents[:: max(1, len(clips.latents) // 4096)].float().mean(0)
        # Episodes 2k and 2k + 1 share their start (`collect.play_episode`).
        seeds = [meta["seed"] // 2 for meta in clips.meta]
        starts = {seed: scene_tokens(sample_layout(_reset_generator(seed), HouseholdFactors(), None)) for seed in set(seeds)}
        self.scenes = torch.from_numpy(np.stack([starts[seed] for seed in seeds])).to(clips.device)

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        pick = torch.randint(len(clips.latents), (self.batch,), generator=generator, device=clips.device)
        latents = clips.latents[pick].float()
        error = (self.renderer(self.tokens(pick)) - latents).square()
        special = ((latents - self.usual).square().mean(1, keepdim=True) > 1.0).float()
        weight = 1 + self.emphasis * special
        with torch.no_grad():
            special_mse = (error.mean(1, keepdim=True) * special).sum() / special.sum().clamp(min=1)
        return (weight * error).mean() / weight.mean(), {"mse": error.detach().mean(), "special_mse": special_mse}

    def tokens(self, pick: torch.Tensor) -> torch.Tensor:
        """Scene tokens [B, E, FACTS] of the frames `pick` [B]: their episode's start, with what has moved since."""
        clips = self.clips
        scenes = self.scenes[clips.episode[pick]].clone()
        robot, dog = clips.robot[pick], clips.dog[pick]
        scenes[:, ROBOT, 1:5] = torch.cat([robot[:, :2], robot[:, 2:3].cos(), robot[:, 2:3].sin()], -1)
        scenes[:, ROBOT, 5:7] = robot[:, 3:5]
        scenes[:, DOG, 1:5] = torch.cat([dog[:, :2], dog[:, 2:3].cos(), dog[:, 2:3].sin()], -1).nan_to_num()
        scenes[:, FIRST_OBJECT : FIRST_OBJECT + len(OBJECTS), 1:3] = clips.objects[pick].nan_to_num()
        return scenes


class LayoutRecipe(nn.Module):
    """Flow matching of scene tokens from scene descriptions. Layouts cost no rendering, so many more are drawn than were ever played."""

    def __init__(
        self, model: VideoTransformer, words: ClauseTable, batch: int, *, scenes: int = 60_000, drop_text: float = 0.1, device: torch.device | str = "cpu"
    ):
        super().__init__()
        self.model, self.words, self.batch, self.drop_text = model, words, batch, drop_text
        tokens, clauses = [], []
        for seed in range(scenes):
            layout = sample_layout(_reset_generator(seed), HouseholdFactors(), None)
            tokens.append(scene_tokens(layout))
            clauses.append(scene_clauses(layout.state(), layout.factors.to_dict(), np.random.default_rng([seed, 9])))
        self.scenes = torch.from_numpy(np.stack(tokens))[..., None, None].to(device)
        self.clauses = clause_indices(clauses, words, 12).to(device)

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        device = self.scenes.device
        pick = torch.randint(len(self.scenes), (self.batch,), generator=generator, device=device)
        scenes = self.scenes[pick]
        text, mask = self.words.pack(None, self.clauses[pick], self.model.config.text_tokens)
        drop = torch.rand(self.batch, generator=generator, device=device) < self.drop_text
        context = self.model.encode_context(None, text, mask, drop)
        noise = torch.randn(scenes.shape, generator=generator, device=device)
        t = sample_times(self.batch, generator=generator, device=device)
        return velocity_error(self.model, scenes, context, noise=noise, t=t).mean(), {}


def _reset_generator(seed: int) -> np.random.Generator:
    """The generator that `env.reset(seed=seed)` draws its layout from."""
    return seeding.np_random(seed)[0]


class IdmRecipe(nn.Module):
    """Regression of actions and positions; latents are jittered, since dreams are never quite on the codec's manifold.

    pushing: share of a batch that are clips in which the dog is touched, beside those that are so by chance: a robot that pushes a dog
    commands more than it gets, and most replays that go astray are of such clips.
    """

    def __init__(self, model: InverseDynamics, clips: Clips, batch: int, jitter: float = 0.15, pushing: float = 0.3):
        super().__init__()
        self.model, self.clips, self.batch, self.jitter = model, clips, batch, jitter
        touched = clips.contact[clips.window(clips.starts)[:, :-1]].any(1)
        self.touching = clips.starts[touched]
        self.pushing = round(batch * pushing) if len(self.touching) else 0
        model.action_mean.copy_(clips.actions.mean(0))
        model.action_scale.copy_(clips.actions.std(0).clamp(min=0.05))

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        clips = self.clips
        assert clips.latents is not None
        starts = clips.draw(self.batch, generator)
        if self.pushing:
            starts[: self.pushing] = self.touching[torch.randint(len(self.touching), (self.pushing,), generator=generator, device=starts.device)]
        window = clips.window(starts)
        latents = clips.latents[window].float()
        level = self.jitter * torch.rand(len(latents), 1, 1, 1, 1, generator=generator, device=latents.device)
        latents = latents + level * torch.randn(latents.shape, generator=generator, device=latents.device)
        actions, velocities, positions = self.model(latents)
        target, place = clips.actions[window[:, :-1]], clips.robot[window][..., :2]
        achieved = place.diff(dim=1) * CONTROL_HZ
        scale = self.model.action_scale
        wrong = torch.cat([(actions.float() - target) / scale, (velocities.float() - achieved) / scale[:2]], -1)
        loss = F.smooth_l1_loss(wrong, torch.zeros_like(wrong), beta=0.5) + 2 * F.smooth_l1_loss(positions.float(), place, beta=0.1)
        return loss, {
            "action_mae": (actions.detach() - target).abs().mean(),
            "velocity_mae": (velocities.detach() - achieved).abs().mean(),
            "place_mae": (positions.detach() - place).abs().mean(),
        }


class ProbeRecipe(nn.Module):
    """See `tracking`. Any frame that has a picture, half of them turned over, left to right."""

    def __init__(self, net: ProbeNet, clips: Clips, batch: int, *, mirror: float = 0.5):
        super().__init__()
        self.net, self.clips, self.batch, self.mirror = net, clips, batch, mirror
        self.pictured = torch.nonzero(clips.picture >= 0)[:, 0]

    def forward(self, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        device = self.clips.device
        pick = self.pictured[torch.randint(len(self.pictured), (self.batch,), generator=generator, device=device)]
        return tracking(self.net, self.clips, pick, generator, torch.rand(self.batch, generator=generator, device=device) < self.mirror)


def tracking(net: ProbeNet, clips: Clips, pick: torch.Tensor, generator: torch.Generator, mirrored: torch.Tensor | None = None) -> tuple[torch.Tensor, dict]:
    """Loss and metrics [m] of presence, floor positions, headings and arms, from the single frames `pick` [B]; `mirrored` bool [B]: seen in a
    mirror, which says nothing of the arms, as one hand is orange."""
    latents = clips.seen(pick, mirrored)
    # Some jitter, so that artefacts of the codec and of dreams do not decide.
    level = 0.15 * torch.rand(len(pick), 1, 1, 1, generator=generator, device=clips.device)
    logits, xy, pose = net(latents + level * torch.randn(latents.shape, generator=generator, device=clips.device))
    there = clips.places(pick)
    if mirrored is not None:
        there = there.mirrored(mirrored)
    upright = torch.ones_like(there.holds) if mirrored is None else (~mirrored).float()
    seen = there.present[..., None]
    presence = F.binary_cross_entropy_with_logits(logits.float(), there.present)
    position = (F.smooth_l1_loss(xy.float(), there.xy, beta=0.1, reduction="none") * seen).sum() / seen.sum()
    turned = ((pose[:, :2].float() - there.dog_heading) ** 2 * seen[:, DOG]).mean()
    arms = ((pose[:, 2:4].float() - there.arms) ** 2 * upright[:, None]).mean()
    loss = presence + 4 * position + turned + 2 * arms
    if pose.shape[1] > 4:
        facing = ((pose[:, 4:6].float() - there.robot_heading) ** 2).mean()
        loss = loss + facing + 0.5 * ((pose[:, 6].float() - there.holds) ** 2).mean()
    mae = ((xy.detach() - there.xy).abs() * seen).sum((0, 2)) / (2 * seen.sum((0, 2)).clamp(min=1))
    return loss, {"presence": presence.detach(), "robot_mae": mae[ROBOT], "dog_mae": mae[DOG], "object_mae": mae[2:].mean()}
