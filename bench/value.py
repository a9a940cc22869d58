"""What a refresh of the value head learns from a round's choices, without the round: of rounds that have been played, such as the proof's.

    python -m bench.value var/proof/rounds/*

Each round's directory holds its snapshot of choices and the child's world model. The parent's head (`--weights`) is refreshed on them with the settings
that a round has by default, and judged on held-out start frames. Intervals are Wilson's, over all pairs of all rounds; the calibration error is over them, too.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, cast

import torch

from bench.common import ROOT, figure, write_results
from bench.dreams import rate
from rollouts.dreams.policy import Policy
from rollouts.dreams.transformer import VideoTransformer
from rollouts.dreams.weights import load_part
from training.learn.bradley_terry import expected_calibration_error
from training.learn.preferences import PreferenceData, TextTable
from training.learn.value_refresh import ValueHeadSettings, refresh


def report_of(policy: Policy, directory: Path) -> dict[str, Any]:
    """The report of the refresh on one round's choices."""
    data = PreferenceData.load(directory / "preferences")
    network = cast(VideoTransformer, load_part(directory / "child", "world_model"))
    text = TextTable(lambda prompts: policy.text.encode(prompts, network.config.text_tokens), data.prompts)
    _, report = refresh(policy.value_head, network, data, text, ValueHeadSettings(), policy.motion)
    for when in ("before", "after"):
        print(f"{directory} {when}: {report[when]['pair_accuracy']} calibration error {report[when]['ece']:.3f}", flush=True)
    return report


def figures_of(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pooled over rounds. Reliability tables have the same bins, so that they can be added up."""
    figures = {}
    for when, suffix in (("before", "_before"), ("after", "")):
        pairs = [report[when] for report in reports]
        n = sum(one["pairs"] for one in pairs)
        figures[f"value_pair_accuracy{suffix}"] = rate(sum(round(one["pair_accuracy"]["value"] * one["pairs"]) for one in pairs), n)
        rows = [row for one in pairs for row in one["reliability"]]
        predicted = torch.cat([torch.full((row["n"],), row["predicted"]) for row in rows])
        happened = torch.cat([(torch.arange(row["n"]) < round(row["observed"] * row["n"])).float() for row in rows])
        figures[f"value_ece{suffix}"] = figure(expected_calibration_error(predicted, happened)[0], n=n, unit="expected calibration error of all pairs")
        figures[f"value_ece_each{suffix}"] = figure(
            sum(one["ece"] for one in pairs) / len(pairs), n=len(pairs), unit="expected calibration error, mean over rounds"
        )
    figures["beats_frozen"] = rate(sum(round(r["after"]["beats_frozen"]["value"] * r["after"]["pairs"]) for r in reports), n)
    figures["lapse"] = figure(sum(report["lapse"] for report in reports) / len(reports), n=len(reports), unit="of answers, mean over rounds")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=Path, nargs="*", help="directories of rounds, with preferences/ and child/; those of the proof if left out")
    parser.add_argument("--weights", type=Path, default=ROOT / "rollouts" / "weights" / "base", help="of their parent")
    options = parser.parse_args()
    rounds = options.rounds or sorted(path.parent for path in (ROOT / "var" / "proof" / "rounds").glob("*/child"))
    if not rounds:
        parser.error("there is no round yet: name directories of rounds, or run python -m bench.proof first")
    began, policy = time.time(), Policy.load(options.weights)
    write_results("value", figures_of([report_of(policy, directory) for directory in rounds]), began)


if __name__ == "__main__":
    main()
