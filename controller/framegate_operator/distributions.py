"""Distributions of what second looks measured, as lines of a terminal and as a picture (SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from framegate.looks.commission import Distribution
from framegate.looks.kinds import KINDS

_LEVELS: Final = " ▁▂▃▄▅▆▇█"
_WIDTH: Final = 640
_ROW: Final = 78
_LEFT: Final = 170


def bars(distributions: Sequence[Distribution]) -> list[str]:
    """A line each, at most 80 columns: name, how often, from where to where, the limit."""
    lines = []
    for one in distributions:
        most = max(one.bins) or 1
        steps = "".join(_LEVELS[-(-8 * count // most)] for count in one.bins)
        limit = "none" if one.limit is None else f"{one.limit:.3g}"
        side = "at most" if KINDS[one.look].is_most else "at least"
        lines.append(
            f"{one.look.value:<20} {one.least:>6.3g} {steps} {one.most:<6.3g} {side} {limit}"
        )
    return lines


def drawn(part_type: str, distributions: Sequence[Distribution]) -> str:
    """The same as an SVG: bins as bars, the limit as a line where it lies."""
    height = _ROW * len(distributions) + 40
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">Second looks of {escape(part_type)}: sound frames and'
        " limits</text>",
    ]
    for number, one in enumerate(distributions):
        rows += _row(one, 36 + number * _ROW)
    return "\n".join([*rows, "</svg>", ""])


def _row(one: Distribution, top: int) -> list[str]:
    base, most = top + 52, max(one.bins) or 1
    limit = "no limit" if one.limit is None else f"limit {one.limit:.4g}"
    rows = [
        f'<text x="10" y="{top + 24}">{escape(one.look.value)}</text>',
        f'<text x="10" y="{top + 42}" fill="#666">{limit}</text>',
        f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH - 20}" y2="{base}" stroke="#999"/>',
        f'<text x="{_LEFT}" y="{base + 14}" fill="#666">{one.least:.3g}</text>',
    ]
    # the limit lies outside what sound frames measured: the axis reaches to it
    least = min(one.least, one.least if one.limit is None else one.limit)
    furthest = max(one.most, one.most if one.limit is None else one.limit)
    scale = (_WIDTH - 20 - _LEFT) / max(furthest - least, 1e-9)
    width = (one.most - one.least) / len(one.bins)
    for number, count in enumerate(one.bins):
        x = _LEFT + (one.least + number * width - least) * scale
        tall = 40 * count / most
        rows.append(
            f'<rect x="{x:.1f}" y="{base - tall:.1f}" width="{max(1.0, width * scale - 1):.1f}"'
            f' height="{tall:.1f}" fill="#4477aa"/>'
        )
    if one.limit is not None:
        x = _LEFT + (one.limit - least) * scale
        rows.append(
            f'<line x1="{x:.1f}" y1="{base - 44}" x2="{x:.1f}" y2="{base}" stroke="#cc3311"'
            ' stroke-width="2"/>'
        )
    rows.append(
        f'<text x="{_WIDTH - 20}" y="{base + 14}" text-anchor="end" fill="#666">'
        f"{furthest:.3g}</text>"
    )
    return rows
