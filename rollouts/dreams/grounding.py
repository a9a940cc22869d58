"""Grounding: where in the start frame is the thing that the text names, and where is what matters whatever the text says?

Learning to find "the green can" from a few thousand demonstrations is what a world model is worst at: it learns the scenes
by heart instead. Every frame shows several objects, though, and each has many names; the grounder learns from
all of them, apart, and the world model reads its answer (`transformer.py`). The same goes for the landmarks, which matter whatever
is asked for: trajectories show where they are only by what the robot does about them.

Of the dog, the landmarks do not know which way it faces (`grounder_dog_heading_error` of `bench/parts.py`), and so not which way it will walk; the motion
codec's tracker, which is trained on nothing but places and headings, does. The world model reads what it sees as well: `sights`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .probe import DOG, ROBOT, TRACKED_POSES, ProbeNet

LANDMARKS = ("dog", "mat", "robot")
_LANDMARK_FACTS = 5  # logit that it is there, x, y [m], cosine and sine of where it faces
_OCTAVES = (0.75, 1.5, 3.0, 6.0)
PLACE = 3 + 4 * len(_OCTAVES)  # numbers that tell whether a thing is there and where: the first is how sure that is, the next two are x and y, times that
FEATURES = PLACE + len(LANDMARKS) * (PLACE + 2)


class Grounder(nn.Module):
    """`forward(start latents [B, C, h, w], text [B, L, text_width], mask bool [B, L])` -> (logit that the named thing is
    there [B], its place on the floor [B, 2] in metres); `landmarks(start)` -> [B, LANDMARKS, 5]: logit, x, y, cosine and sine of the
    heading (which the mat has not)."""

    def __init__(self, channels: int = 12, grid: int = 8, width: int = 128, text_width: int = 384):
        super().__init__()
        self.settings = {"channels": channels, "grid": grid, "width": width, "text_width": text_width}
        self.words = nn.Linear(text_width, width)
        self.weigh = nn.Linear(text_width, 1)
        self.text = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * width))
        self.look = nn.Conv2d(channels, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 3, padding=1)
        self.position = nn.Parameter(torch.randn(grid**2, width) * 0.02)
        self.score = nn.Sequential(nn.GELU(), nn.Linear(width, 1))
        self.present = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))
        self.offset = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
        self.places = nn.Parameter(torch.zeros(grid**2, 2))
        self.survey = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.survey_score = nn.Linear(width, len(LANDMARKS))
        self.survey_position = nn.Parameter(torch.zeros(grid**2, len(LANDMARKS)))
        self.survey_places = nn.Parameter(torch.zeros(grid**2, 2))
        self.survey_facts = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, _LANDMARK_FACTS)) for _ in LANDMARKS)

    def forward(self, start: torch.Tensor, text: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weight = self.weigh(text)[..., 0].float().masked_fill(~mask, -1e4).softmax(-1)
        asked = (self.words(text) * weight[..., None]).sum(1)
        scale, shift, query = self.text(asked).chunk(3, -1)
        seen = F.gelu(self.look(start))
        seen = F.gelu(self.mix(seen * (1 + scale[..., None, None]) + shift[..., None, None]))
        cells = seen.flatten(2).transpose(1, 2) + self.position
        logits = self.score(cells * query[:, None])[..., 0].float()
        attention = logits.softmax(-1)
        found = (cells * attention[..., None]).sum(1)
        xy = attention @ self.places + self.offset(found).float()
        return self.present(torch.cat([found, asked.to(found.dtype)], -1))[:, 0].float(), xy

    def landmarks(self, start: torch.Tensor) -> torch.Tensor:
        seen = F.gelu(self.survey(start)).flatten(2).transpose(1, 2)
        attention = (self.survey_score(seen).float() + self.survey_position).softmax(1).transpose(1, 2)
        found = attention.to(seen.dtype) @ seen
        facts = torch.stack([head(found[:, i]) for i, head in enumerate(self.survey_facts)], 1).float()
        places = attention @ self.survey_places
        return torch.cat([facts[..., :1], facts[..., 1:3] + places, facts[..., 3:]], -1)

    @torch.no_grad()
    def features(self, start: torch.Tensor, text: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """[B, FEATURES]: whether the named thing is there and where (zeros without text), then the same of each landmark and its heading."""
        present, xy = self(start, text, mask)
        named = _where(present, xy) * mask.any(1, keepdim=True)
        marks = [torch.cat([_where(facts[:, 0], facts[:, 1:3]), facts[:, :1].sigmoid() * facts[:, 3:]], -1) for facts in self.landmarks(start).unbind(1)]
        return torch.cat([named, *marks], -1)


def sights_width(things: int) -> int:
    """Numbers that `sights` gives of a frame with so many things."""
    return things * PLACE + TRACKED_POSES


@torch.no_grad()
def sights(tracker: ProbeNet, start: torch.Tensor) -> torch.Tensor:
    """[B, sights_width]: of each thing whether it is in the start frame [B, C, h, w] and where; which way dog and robot face, the robot's arms, and
    whether it holds something. A heading that the tracker is not sure of is short."""
    logits, xy, pose = (x.float() for x in tracker(start))
    places = _where(logits.flatten(), xy.flatten(0, 1)).view(len(start), -1)
    there = logits.sigmoid()
    return torch.cat([places, pose[:, :2] * there[:, DOG, None], pose[:, 2:] * there[:, ROBOT, None]], -1)


def _where(logit: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """Logit [B] and place [B, 2] -> [B, PLACE]: what is not there has no place."""
    sure = logit.sigmoid()[:, None]
    angles = (xy[:, :, None] * torch.tensor(_OCTAVES, device=xy.device)).flatten(1)
    return torch.cat([sure, sure * xy, sure * angles.sin(), sure * angles.cos()], -1)
