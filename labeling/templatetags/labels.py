"""How numbers of labeling are written on a page."""

import json

from django import template

from labeling.selectors.quality import Share

register = template.Library()


@register.filter
def props(value: object) -> str:
    """Props of an island; the template engine escapes them for the attribute."""
    return json.dumps(value)


@register.filter
def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


@register.filter
def share(value: Share) -> str:
    """For example “83% of 24”."""
    return "–" if value.value is None else f"{value.value:.0%} of {value.n}"


@register.filter
def interval(value: Share) -> str:
    """The 95% interval, for example “64–93%”."""
    bounds = value.interval
    return "" if bounds is None else f"{bounds[0]:.0%}–{bounds[1]:.0%}".replace("%–", "–")


@register.filter
def seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.1f} s"
