"""The columns of an export. One schema for both formats; a change of meaning raises SCHEMA_VERSION.

`prompt`, `chosen`, `rejected` are TRL's preference format (rows without a winner have null there). `path_A` .. `Overall` are the columns
that VideoAlign reads (A, B or same). The rest is provenance.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 1

SEGMENTS = pa.list_(pa.struct([("side", pa.string()), ("from", pa.int32()), ("to", pa.int32())]))

# name -> (arrow type, what it says)
COLUMNS: dict[str, tuple[pa.DataType, str]] = {
    "prompt": (pa.string(), "Text that the world model dreamed from."),
    "chosen": (pa.string(), "Video of the better rollout; null when neither was."),
    "rejected": (pa.string(), "Video of the other rollout; null when neither was better."),
    "path_A": (pa.string(), "Video of rollout A."),
    "path_B": (pa.string(), "Video of rollout B."),
    "A_model": (pa.string(), "Policy version that dreamed A."),
    "B_model": (pa.string(), "Policy version that dreamed B."),
    "fps_A": (pa.float64(), "Frames per second."),
    "num_frames_A": (pa.int32(), "Frames of A, the start frame included."),
    "fps_B": (pa.float64(), "Frames per second."),
    "num_frames_B": (pa.int32(), "Frames of B, the start frame included."),
    "VQ": (pa.string(), "Visual quality: not asked, always null."),
    "MQ": (pa.string(), "Motion quality: the criterion 'plausible' as A, B or same; null if not answered."),
    "TA": (pa.string(), "Text alignment: the criterion 'task_done' as A, B or same; null if not answered."),
    "Overall": (pa.string(), "A, B or same ('both bad' is same); null for 'can't tell'."),
    "schema_version": (pa.int32(), "Version of these columns."),
    "choice": (pa.string(), "UUID of the choice, made by the annotator's client."),
    "created_at": (pa.string(), "When it was stored, ISO 8601, UTC."),
    "annotator": (pa.string(), "Pseudonym, the same in every export of one installation."),
    "annotator_is_simulated": (pa.bool_(), "True: a program judged from pixels."),
    "annotator_weight": (pa.float64(), "Weight by the noisy Bradley-Terry annotator model, 0..1; null before the first fit."),
    "excluded": (pa.bool_(), "An admin excluded this choice."),
    "answer": (pa.string(), "a, b, tie, both_bad or cant_tell."),
    "side": (pa.string(), "Where the chosen rollout stood: left, right or neither."),
    "strength": (pa.int32(), "1 slightly, 2 clearly, 3 far better; null if not said."),
    "criteria": (pa.string(), 'JSON object: criterion -> "a", "b", "both" or "neither".'),
    "success_A": (pa.bool_(), "A did what the prompt asks; null if not said."),
    "success_B": (pa.bool_(), "B did what the prompt asks; null if not said."),
    "segments": (SEGMENTS, "Frames (inclusive) in which that side is the worse one."),
    "rationale": (pa.string(), "In the annotator's words."),
    "response_ms": (pa.int64(), "From the first frame shown to the answer."),
    "replays": (pa.int32(), "How often the clips were played again."),
    "visible_ms": (pa.int64(), "How long the page was visible of that."),
    "late": (pa.bool_(), "Accepted after its lease had run out."),
    "client": (pa.string(), "JSON object: what the client said of itself."),
    "comparison": (pa.int64(), "Id of the comparison in the installation that exported."),
    "kind": (pa.string(), "normal, gold (known answer) or repeat (swapped, of an earlier pair)."),
    "gold_answer": (pa.string(), "The known answer of a gold pair."),
    "repeat_of": (pa.int64(), "The comparison that a repeat repeats."),
    "strategy": (pa.string(), "How the pair was chosen."),
    "reason": (pa.string(), "Why, in words."),
    "required_overlap": (pa.int32(), "How many annotators were to answer."),
    "lease": (pa.string(), "UUID of the lease that was answered."),
    "swapped": (pa.bool_(), "B stood on the left."),
    "scenario": (pa.string(), "Slug of the scenario."),
    "scenario_version": (pa.int32(), "Its version."),
    "start_frame": (pa.int64(), "Id of the start frame."),
    "start_frame_sha256": (pa.string(), "Its PNG."),
    "rollout_A": (pa.int64(), "Id of the rollout."),
    "rollout_B": (pa.int64(), "Id of the rollout."),
    "seed_A": (pa.int64(), "Seed that A was sampled with."),
    "seed_B": (pa.int64(), "Seed that B was sampled with."),
    "sampler_hash_A": (pa.string(), "sha256 of the sampler's settings."),
    "sampler_hash_B": (pa.string(), "sha256 of the sampler's settings."),
    "sprite_sha256_A": (pa.string(), "Frames of A as a PNG sheet, five columns."),
    "sprite_sha256_B": (pa.string(), "Frames of B as a PNG sheet, five columns."),
    "latents_sha256_A": (pa.string(), "Latents of A, safetensors."),
    "latents_sha256_B": (pa.string(), "Latents of B, safetensors."),
    "weights_sha256_A": (pa.string(), "World model that dreamed A."),
    "weights_sha256_B": (pa.string(), "World model that dreamed B."),
    "value_A": (pa.float64(), "Value head's score of A."),
    "value_B": (pa.float64(), "Value head's score of B."),
}


def parquet_schema() -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, metadata={"description": text}) for name, (kind, text) in COLUMNS.items()],
        metadata={"dreamfork.schema_version": str(SCHEMA_VERSION)},
    )
