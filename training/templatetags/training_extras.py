"""Figures as people read them."""

from __future__ import annotations

import math
from typing import Any

from django import template

register = template.Library()


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


@register.filter
def percent(value: Any) -> str:
    """0.123 -> 12%"""
    found = number(value)
    return "–" if found is None else f"{100 * found:.0f}%"


@register.filter
def points(value: Any) -> str:
    """-0.123 -> −12.3, in percentage points"""
    found = number(value)
    return "–" if found is None else f"{100 * found:+.1f}".replace("-", "−")


@register.filter
def duration(seconds: Any) -> str:
    """75 -> 1 min 15 s"""
    found = number(seconds)
    if found is None:
        return ""
    minutes, rest = divmod(round(found), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s" if rest else "under 1 s"


@register.filter
def minutes(seconds: Any) -> str:
    """{stage: seconds} -> the sum in minutes"""
    total = sum(seconds.values()) if isinstance(seconds, dict) else number(seconds)
    return f"{total / 60:.1f}" if total else ""


@register.filter
def gate_rows(report: dict[str, Any]) -> list[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """The gate's report as rows of a table: what it decided on first."""
    names = (("contact", "contacts"), ("clean", "clean success"), ("success", "success"))
    return [(kind, [(label, report[kind][key]) for key, label in names]) for kind in ("adversarial", "ordinary") if kind in report]
