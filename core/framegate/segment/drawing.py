"""A map as DOT (Graphviz), as Mermaid, and as SVG, which needs no program. Names are escaped for
each: a device's name is a DNS label, yet a map is looked at far from where that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from framegate.segment.site_map import Edge, MapEdge, MapNode, SiteMap

COLOURS: Final[Mapping[Edge, str]] = {
    Edge.USED: "#1a7f37",
    Edge.UNUSED: "#8c959f",
    Edge.REFUSED: "#cf222e",
    Edge.STAGED: "#bf8700",
    Edge.OBSERVED: "#0969da",
    Edge.SERVED: "#0550ae",
    Edge.ADMITTED: "#2da44e",
    Edge.ESCAPED: "#8250df",
}
_COLUMN: Final = 300
_ROW: Final = 46
_WIDTH: Final = 210
_TOP: Final = 60
_CHARACTERS: Final = 30
"""What fits into a node's box."""


def as_dot(drawn: SiteMap) -> str:
    """For Graphviz, zones as clusters."""
    ids = _ids(drawn)
    lines = [f'digraph "{_quoted(drawn.segment)}" {{', "  rankdir=LR; node [shape=box];"]
    for number, zone in enumerate(_zones(drawn)):
        lines.append(f'  subgraph cluster_{number} {{ label="{_quoted(zone)}";')
        for node in _of_zone(drawn, zone):
            lines.append(f'    {ids[node.name]} [label="{_quoted(_label(node))}"];')
        lines.append("  }")
    for edge in drawn.edges:
        style = "dashed" if edge.kind is Edge.UNUSED else "solid"
        said = f'label="{_quoted(_words(edge))}", color="{COLOURS[edge.kind]}", style={style}'
        lines.append(f"  {ids[edge.source]} -> {ids[edge.destination]} [{said}];")
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(drawn: SiteMap) -> str:
    """For Mermaid, as Markdown viewers draw it."""
    ids = _ids(drawn)
    lines = ["flowchart LR"]
    for number, zone in enumerate(_zones(drawn)):
        lines.append(f'  subgraph z{number}["{_entity(zone)}"]')
        for node in _of_zone(drawn, zone):
            lines.append(f'    {ids[node.name]}["{_entity(_label(node))}"]')
        lines.append("  end")
    for edge in drawn.edges:
        arrow = "-.->" if edge.kind is Edge.UNUSED else "-->"
        said = _entity(_words(edge))
        lines.append(f'  {ids[edge.source]} {arrow}|"{said}"| {ids[edge.destination]}')
    for number, edge in enumerate(drawn.edges):
        lines.append(f"  linkStyle {number} stroke:{COLOURS[edge.kind]}")
    return "\n".join(lines) + "\n"


def as_svg(drawn: SiteMap) -> str:
    """A picture by itself: zones are columns, and each edge's words are its tooltip too."""
    places = _places(drawn)
    zones = _zones(drawn)
    rows = max((len(_of_zone(drawn, z)) for z in zones), default=1)
    height = _TOP + rows * _ROW + 40 + 18 * len(drawn.edges)
    width = max(1, len(zones)) * _COLUMN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12">',
        f"<title>{escape(drawn.segment)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, zone in enumerate(zones):
        left = number * _COLUMN + 10
        parts.append(f'<text x="{left}" y="28" font-weight="bold">{escape(zone)}</text>')
    for edge in drawn.edges:
        parts.append(_line(edge, places))
    for node in drawn.nodes:
        parts.append(_box(node, places[node.name]))
    for number, edge in enumerate(drawn.edges):
        y = _TOP + rows * _ROW + 30 + 18 * number
        said = escape(f"{edge.source} to {edge.destination}: {_words(edge)}")
        parts.append(f'<text x="10" y="{y}" fill="{COLOURS[edge.kind]}">{said}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(drawn: SiteMap) -> dict[str, tuple[int, int]]:
    """Name to (left, top) of its box."""
    return {
        node.name: (column * _COLUMN + 10, _TOP + row * _ROW)
        for column, zone in enumerate(_zones(drawn))
        for row, node in enumerate(_of_zone(drawn, zone))
    }


def _line(edge: MapEdge, places: Mapping[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = places[edge.source], places[edge.destination]
    start = x1 + _WIDTH if x2 > x1 else x1
    end = x2 if x2 > x1 else x2 + _WIDTH
    dashes = ' stroke-dasharray="5 4"' if edge.kind is Edge.UNUSED else ""
    return (
        f'<line x1="{start}" y1="{y1 + 15}" x2="{end}" y2="{y2 + 15}" '
        f'stroke="{COLOURS[edge.kind]}" stroke-width="2"{dashes}>'
        f"<title>{escape(_words(edge))}</title></line>"
    )


def _box(node: MapNode, at: tuple[int, int]) -> str:
    left, top = at
    return (
        f'<rect x="{left}" y="{top}" width="{_WIDTH}" height="30" rx="4" fill="#f6f8fa" '
        f'stroke="#57606a"/><text x="{left + 8}" y="{top + 19}">'
        f"{escape(_label(node)[:_CHARACTERS])}</text>"
    )


def _ids(drawn: SiteMap) -> dict[str, str]:
    return {node.name: f"n{number}" for number, node in enumerate(drawn.nodes)}


def _zones(drawn: SiteMap) -> list[str]:
    other = "elsewhere"
    return [*drawn.zones, *([other] if any(not n.zone for n in drawn.nodes) else [])]


def _of_zone(drawn: SiteMap, zone: str) -> list[MapNode]:
    return [n for n in drawn.nodes if (n.zone or "elsewhere") == zone]


def _label(node: MapNode) -> str:
    return f"{node.name} ({node.state})" if node.state else node.name


def _words(edge: MapEdge) -> str:
    times = f", {edge.count} times" if edge.count else ""
    return f"{edge.port} {edge.kind}: {edge.by}{times}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _entity(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("|", "&#124;")
