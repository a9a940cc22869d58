"""Writes docs/figures.md, the table of all figures, from bench/results.

python -m bench.tables
"""

from __future__ import annotations

import json

from bench.common import RESULTS, ROOT

HEAD = """# Figures

Made by `python -m bench.tables` from `bench/results/`, which also says on which machine each was measured; the commit is the one that was measured.
"""


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
            interval = "" if row.get("low") is None else f"{row['low']:.4g} .. {row['high']:.4g}"
            lines.append(f"| {path.stem} | `{name}` | {row['value']:.4g} {row.get('unit') or ''} | {interval} | {row['n']} | {measured} |")
    return lines


def main() -> None:
    (ROOT / "docs" / "figures.md").write_text("\n".join([HEAD, *rows(), ""]))


if __name__ == "__main__":
    main()
