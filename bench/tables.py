"""Writes docs/figures.md, the table of all figures, and the table of the shipped weights in their model card, from bench/results.

python -m bench.tables
"""

from __future__ import annotations

import json

from bench.common import RESULTS, ROOT

HEAD = """# Figures

Made by `python -m bench.tables` from `bench/results/`, which also says on which machine each was measured; the commit is the one that was measured.
"""

CARD = ROOT / "rollouts" / "weights" / "base" / "MODEL_CARD.md"
BEGIN, END = "<!-- figures, by python -m bench.tables -->", "<!-- end of figures -->"
# Of the card: bench, figure, what it says, and what it is meant to be.
SHIPPED = (
    ("dreams", "dog_persistence", "dreams in which the dog stays a dog", "0.95"),
    ("dreams", "dog_persistence_real", "the same of real videos of the dreams' actions", ""),
    ("dreams", "prompt_obedience", "dreams of “go to X” that end nearest to X", "0.80"),
    ("dreams", "prompt_obedience_heldout", "the same in words and compositions that training lacks", "0.65"),
    ("dreams", "prompt_obedience_no_text", "the same without the words", "chance"),
    ("dreams", "diversity", "adversarial start frames with dreams that touch the dog and dreams that do not", "0.60"),
    ("dreams", "psnr_4s", "dream against real future, no dog", ""),
    ("dreams", "ssim_4s", "the same", ""),
    ("dreams", "start_frame_fidelity", "start frames in which the probe finds what the words say", "0.85"),
    ("idm", "replay_within_15cm", "replayed videos that end within 15 cm of their end", "0.90"),
    ("policy", "success_go", "“go to X” without a dog, closed loop", "0.70"),
    ("policy", "success_bring", "“bring X to the mat” without a dog, closed loop", "0.40"),
    ("policy", "contact_rate_base", "episodes with a dog in the way that touch it", ""),
    ("policy", "clean_success_n1", "success without a touch, one dream for each plan", ""),
    ("policy", "clean_success_n2", "the same, best of two", "rises"),
    ("policy", "clean_success_n4", "the same, best of four", "rises"),
    ("policy", "clean_success_n8", "the same, best of eight", "rises"),
    ("speed", "realtime_factor_n1", "one dream at once, two cores", ""),
    ("speed", "realtime_factor_n8", "eight dreams at once, two cores", "10"),
    ("speed", "train_gemm_share", "of the machine's measured rate of multiplying matrices, in a training step", "0.50"),
    ("speed", "peak_memory", "of the speed bench", ""),
)


def interval(row: dict) -> str:
    return "" if row.get("low") is None else f"{row['low']:.4g} .. {row['high']:.4g}"


def card(text: str) -> str:
    """The model card with its table as bench/results has it. Raises ValueError where the card has no place for it."""
    lines = ["| figure | | value | 95 % interval or range | n | goal |", "| --- | --- | --- | --- | --- | --- |"]
    for bench, name, words, goal in SHIPPED:
        row = json.loads((RESULTS / f"{bench}.json").read_text())["figures"][name]
        lines.append(f"| `{name}` | {words} | {row['value']:.4g} {row.get('unit') or ''} | {interval(row)} | {row['n']} | {goal} |")
    before, after = text.index(BEGIN) + len(BEGIN), text.index(END)
    return "\n".join([text[:before], "", *lines, "", text[after:]])


def rows() -> list[str]:
    """One line of Markdown for each figure of each result."""
    lines = ["| bench | figure | value | 95 % interval or range | n | commit |", "| --- | --- | --- | --- | --- | --- |"]
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        if not isinstance(content, dict):  # raw rows of a bench lie there, too
            continue
        commit, _, changed = content["commit"].partition("-")
        measured = commit[:8] + " + changes" * bool(changed)
        for name, row in sorted(content["figures"].items()):
            lines.append(f"| {path.stem} | `{name}` | {row['value']:.4g} {row.get('unit') or ''} | {interval(row)} | {row['n']} | {measured} |")
    return lines


def figures() -> str:
    return "\n".join([HEAD, *rows(), ""])


def main() -> None:
    CARD.write_text(card(CARD.read_text()))
    (ROOT / "docs" / "figures.md").write_text(figures())


if __name__ == "__main__":
    main()
