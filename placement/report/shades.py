"""Colours of drawings, by number: each is a variable of the page's style, with a value for light and one for dark."""

from __future__ import annotations

from ..plan.plan import Plan

COUNT = 8
# Okabe and Ito's colours (2008), for people who do not tell red from green, a little darker so that white text on them
# has a contrast of 4.5 to 1; and lighter ones for a dark page, under dark text.
LIGHT = ("#0065a3", "#b04a00", "#00755a", "#9c4f80", "#7a5a00", "#2b6f9e", "#8b3a3a", "#55555f")
DARK = ("#6db8f0", "#ff9d5c", "#4fcfa9", "#e6a3c8", "#e8c85a", "#9fd0f5", "#f09a9a", "#b9b9c4")


def shade(number: int) -> str:
    """The name of a colour in the page's style."""
    return f"c{number % COUNT}"


def shades_of(plan: Plan) -> dict[str, str]:
    """A colour for each node in use, in block order."""
    ordered = sorted(plan.placement, key=lambda span: (span.start, span.stop))
    return {node: shade(k) for k, node in enumerate(dict.fromkeys(span.node for span in ordered))}
