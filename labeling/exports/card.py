"""The data card that goes with an export: what it holds, where it came from, what it is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import datetime

from django.conf import settings
from django.db.models import Count

from labeling.quality import krippendorff_alpha
from labeling.selectors.rounds import ChoiceFilter, live_choices

from .columns import COLUMNS, SCHEMA_VERSION


def data_card(where: ChoiceFilter, *, until: datetime) -> str:
    """Markdown with the front matter that dataset hubs read."""
    choices = live_choices(where).filter(created_at__lt=until)
    answers = dict(choices.order_by().values_list("answer").annotate(n=Count("pk")))
    total = sum(answers.values())
    simulated = choices.filter(is_simulated=True).count()
    people = choices.order_by().values("annotator").distinct().count()
    alpha, units = krippendorff_alpha(choices.values_list("annotator", "comparison", "answer"))
    versions: Counter[str] = Counter()
    for a, b, n in (
        choices.order_by().values_list("comparison__rollout_a__policy_version__name", "comparison__rollout_b__policy_version__name").annotate(n=Count("pk"))
    ):
        versions[a] += n
        versions[b] += n
    narrowed = {name: value for name, value in asdict(where).items() if value not in (None, (), [], False, 0)}
    columns = "\n".join(f"| `{name}` | {kind} | {text} |" for name, (kind, text) in COLUMNS.items())
    shared = f"{units} comparisons with two or more annotators"
    agreement = f"not defined ({shared})" if alpha is None else f"{alpha:.3f} (nominal, {shared})"
    return f"""---
pretty_name: Dreamfork preferences over dreamed rollouts
tags: [preference, dpo, robotics, video, world-model]
task_categories: [reinforcement-learning, video-classification]
---

# Preferences over dreamed rollouts

Pairs of rollouts that a world model dreamed from the same start frame and prompt, and which of the two an annotator prefers.

| | |
| --- | --- |
| Choices | {total} |
| Answers | {", ".join(f"{answer} {n}" for answer, n in sorted(answers.items())) or "none"} |
| Annotators | {people} |
| By simulated annotators | {simulated} of {total} |
| Krippendorff's alpha | {agreement} |
| Policy versions | {", ".join(f"{name} ({n})" for name, n in versions.most_common()) or "none"} |
| Made before | {until.isoformat()} |
| Filter | {narrowed} |
| Schema version | {SCHEMA_VERSION} |
| Exported from | {settings.SITE_URL} |

## How it was collected

Two rollouts of one start frame are shown side by side from one clock; sides are drawn at random for each annotator. Which policy version
dreamed which is hidden until the answer is stored. Gold pairs and swapped repeats are mixed in to measure annotators; they carry `kind` gold and repeat.
Simulated annotators are programs that judge from pixels; `annotator_is_simulated` marks every one of their rows.

## How to use it

- TRL: take the rows where `chosen` is not null; `prompt`, `chosen`, `rejected` are its preference format, with paths of videos.
- VideoAlign: `path_A`, `path_B`, `Overall`, `MQ`, `TA` are its columns; `VQ` was not asked.
- Videos are included only in an export with media. Without, `sprite_sha256_*` and `latents_sha256_*` name the data.

## What it is not

Frames are generated, not recorded. Annotators saw 96-pixel clips of a few seconds. Answers say what people prefer to see, not what happened in a
real world. Annotators appear under pseudonyms unless the export was made with names.

## Columns

| name | type | meaning |
| --- | --- | --- |
{columns}
"""
