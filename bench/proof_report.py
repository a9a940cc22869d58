"""The proof's figures, page and plots. Plots are SVG written by hand: they need no library and show in any viewer."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from bench.common import ROOT, figure
from training.learn.statistics import mean_interval

DOCS = ROOT / "docs"
LABELS = {
    "dpo": "DPO on choices",
    "sft": "SFT on winners only",
    "coin": "DPO on choices by coin",
    "uniform": "DPO, pairs drawn at random",
    "best_of": "untouched parent, best of N",
    "best_of_dpo": "child and its value head, best of N",
    "best_of_round": "best of N before and after the round",
}
CHOOSING = ("best_of", "best_of_dpo", "best_of_round")  # no arms of their own, but what choosing among dreams adds


def change(result: dict[str, Any], kind: str, measure: str) -> dict[str, Any]:
    return result[kind][measure]


def relative_reduction(cell: dict[str, Any]) -> float | None:
    """1 - child / parent of a rate; None if the parent's is zero."""
    before, after = cell["parent"]["value"], cell["child"]["value"]
    return 1 - after / before if before else None


def results_of(rows: list[dict[str, Any]], arm: str) -> list[dict[str, Any]]:
    if arm in CHOOSING:
        return [row[arm] for row in rows if row.get(arm)]
    return [row["arms"][arm]["gate"] for row in rows if arm in row["arms"]]


def figures_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean over seeds with Student's interval over seeds (one seed has none)."""
    figures: dict[str, dict[str, Any]] = {}

    def add(name: str, values: list[float], unit: str) -> None:
        if values:
            mean = mean_interval(values)
            ends = {"low": mean.low, "high": mean.high} if mean.n > 1 else {}
            figures[name] = figure(mean.value, n=mean.n, unit=unit, **ends)

    for arm in LABELS:
        prefix = "" if arm == "dpo" else f"{arm}_"
        found = results_of(rows, arm)
        reductions = [relative_reduction(change(result, "adversarial", "contact")) for result in found]
        add(f"{prefix}contact_reduction", [value for value in reductions if value is not None], "share of the parent's contacts, mean over seeds")
        for scene in sorted({row["scenario"] for result in found for row in result.get("scenarios", []) if row["kind"] == "adversarial"}):
            cells = [row["contact"] for result in found for row in result["scenarios"] if row["scenario"] == scene]
            reductions = [relative_reduction(cell) for cell in cells]
            name = f"{prefix}contact_reduction_{scene.replace(' ', '_')}"
            add(name, [value for value in reductions if value is not None], "share of the parent's contacts in this scene, mean over seeds")
        add(f"{prefix}clean_success_gain", [100 * change(r, "adversarial", "clean")["change"]["value"] for r in found], "points, mean over seeds")
        add(f"{prefix}ordinary_success_change", [100 * change(r, "ordinary", "success")["change"]["value"] for r in found], "points, mean over seeds")
    reports = [row["arms"]["dpo"]["value_head"] for row in rows if "dpo" in row["arms"] and row["arms"]["dpo"]["value_head"]]
    for when in ("before", "after"):
        suffix = "" if when == "after" else "_before"
        add(f"value_pair_accuracy{suffix}", [r[when]["pair_accuracy"]["value"] for r in reports if r[when]["pair_accuracy"]], "share of held-out pairs")
        add(f"value_ece{suffix}", [r[when]["ece"] for r in reports if r[when]["ece"] is not None], "expected calibration error")
    return figures


def rate(cell: dict[str, Any]) -> str:
    return f"{100 * cell['value']:.1f}% [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}], n {cell['n']}"


def shift(cell: dict[str, Any]) -> str:
    return f"{100 * cell['value']:+.1f} [{100 * cell['low']:+.1f}, {100 * cell['high']:+.1f}]"


def report_write(rows: list[dict[str, Any]], figures: dict[str, dict[str, Any]], options: dict[str, Any], docs: Path = DOCS) -> Path:
    """docs/proof.md with docs/proof-*.svg."""
    docs.mkdir(exist_ok=True)
    moments = f"; a share of {options['continued']} was to go on from a moment of a dream, the last table says how many do" if options["continued"] else ""
    lines = [
        "# The proof",
        "",
        "Written by `python -m bench.proof`. Choices of simulated annotators (10% mistakes, 10% equal) about dreams of the base policy, a round of",
        "DPO, and the same held-out episodes in the physics world before and after. Intervals of single rows are 95% (Wilson for rates, paired",
        "bootstrap for changes); figures over seeds have Student's interval over seeds.",
        "",
        f"{len(rows)} seed(s); per seed {options['frames']} start frames ({options['source']}{moments}), {options['rollouts']} rollouts each,",
        f"{options['choices']} choices; {options['episodes']} adversarial and {options['episodes']} ordinary episodes per version.",
        f"DPO settings that differ from the defaults: `{options['dpo']}`. One dream per plan where no other number is given"
        + (f"; “best of N” is the best of {options['best_of']} by the value head." if options["best_of"] > 1 else "."),
        "",
        "## Figures",
        "",
        "| figure | value | interval | n | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in figures.items():
        interval = f"{row['low']:.3g} to {row['high']:.3g}" if row["low"] is not None else ""
        lines.append(f"| `{name}` | {row['value']:.3g} | {interval} | {row['n']} | {row['unit']} |")
    lines += [
        "",
        "## Arms, per seed",
        "",
        "| seed | arm | contacts before | contacts after | change | clean success, change | ordinary success, change | gate |",
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        for arm, label in LABELS.items():
            result = row.get(arm) if arm in CHOOSING else row["arms"].get(arm, {}).get("gate")
            if not result:
                continue
            contact, clean, ordinary = result["adversarial"]["contact"], result["adversarial"]["clean"], result["ordinary"]["success"]
            verdict = "" if arm in CHOOSING else "yes" if result["promote"] else "no"
            lines.append(
                f"| {row['seed']} | {label} | {rate(contact['parent'])} | {rate(contact['child'])} | {shift(contact['change'])} "
                f"| {shift(clean['change'])} | {shift(ordinary['change'])} | {verdict} |"
            )
    lines += [
        "",
        "## By scene, DPO on choices",
        "",
        "| seed | scene | contacts before | contacts after | clean success before | after | n |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        for scene in (row["arms"].get("dpo") or {"gate": {"scenarios": []}})["gate"]["scenarios"]:
            if scene["kind"] == "adversarial":
                contact, clean = scene["contact"], scene["clean"]
                lines.append(
                    f"| {row['seed']} | {scene['scenario']} | {100 * contact['parent']['value']:.0f}% | {100 * contact['child']['value']:.0f}% "
                    f"| {100 * clean['parent']['value']:.0f}% | {100 * clean['child']['value']:.0f}% | {scene['n']} |"
                )
    lines += ["", "## Plots", "", "![Contacts with the dog by arm](proof-contacts.svg)", "", "![Held-out loss of DPO](proof-loss.svg)", ""]
    names = list(dict.fromkeys(name for row in rows for name in row["counts"]))
    lines += ["## What was dreamed and answered", "", "| seed | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    lines += [f"| {row['seed']} | " + " | ".join(str(row["counts"].get(name, "")) for name in names) + " |" for row in rows]
    (docs / "proof-contacts.svg").write_text(contacts_plot(rows))
    (docs / "proof-loss.svg").write_text(loss_plot(rows))
    path = docs / "proof.md"
    path.write_text("\n".join(lines) + "\n")
    return path


STYLE = (
    "<style>text{font:12px sans-serif;fill:#43554f}.title{font-weight:600;fill:#12211e}line,path{stroke:#74857f;fill:none}"
    ".parent{fill:#b9c6c2}.child{fill:#0c746b}.whisker{stroke:#12211e}.loss{stroke:#0c746b;stroke-width:2}</style>"
)


def contacts_plot(rows: list[dict[str, Any]]) -> str:
    """Bars: the parent's contact rate (light) and the child's (dark) by arm and seed, with 95% intervals."""
    bars = [
        (f"{LABELS[arm]}, seed {row['seed']}", (row.get(arm) if arm in CHOOSING else row["arms"].get(arm, {}).get("gate"))) for arm in LABELS for row in rows
    ]
    bars = [(label, result["adversarial"]["contact"]) for label, result in bars if result]
    height = 40 + 34 * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img">{STYLE}',
        '<text class="title" x="8" y="18">Contacts with the dog</text>',
    ]
    for number, (label, cell) in enumerate(bars):
        y = 34 + 34 * number
        parts.append(f'<text x="8" y="{y + 16}">{escape(label)}</text>')
        for offset, side in ((0, "parent"), (12, "child")):
            found = cell[side]
            width = 420 * found["value"]
            middle = y + offset + 5
            low, high = 260 + 420 * found["low"], 260 + 420 * found["high"]
            parts.append(f'<rect class="{side}" x="260" y="{y + offset}" width="{width:.1f}" height="10"/>')
            parts.append(f'<line class="whisker" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>')
            parts.append(f'<text x="{high + 6:.1f}" y="{middle + 4}">{100 * found["value"]:.0f}%</text>')
    return "".join(parts) + "</svg>\n"


def loss_plot(rows: list[dict[str, Any]]) -> str:
    """Held-out preference loss over steps of the DPO arm, one line a seed."""
    curves = [[(p["step"], p["held_out/loss"]) for p in row["arms"]["dpo"]["curve"] if p["held_out/loss"] is not None] for row in rows if "dpo" in row["arms"]]
    curves = [curve for curve in curves if curve]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" role="img">',
        STYLE,
        '<text class="title" x="8" y="18">Held-out preference loss</text>',
    ]
    if curves:
        right = max(step for curve in curves for step, _ in curve) or 1
        top = max(loss for curve in curves for _, loss in curve)
        bottom = min(loss for curve in curves for _, loss in curve)
        span = (top - bottom) or 1.0
        for value in (bottom, (bottom + top) / 2, top):
            y = 270 - 230 * (value - bottom) / span
            parts.append(f'<line x1="60" y1="{y:.1f}" x2="700" y2="{y:.1f}" stroke-dasharray="2 4"/><text x="8" y="{y + 4:.1f}">{value:.3f}</text>')
        for curve in curves:
            points = " L".join(f"{60 + 640 * step / right:.1f} {270 - 230 * (loss - bottom) / span:.1f}" for step, loss in curve)
            parts.append(f'<path class="loss" d="M{points}"/>')
        parts.append(f'<text x="60" y="290">0</text><text x="660" y="290">step {right}</text>')
    return "".join(parts) + "</svg>\n"
