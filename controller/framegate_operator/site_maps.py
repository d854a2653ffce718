"""`framegate map`: who speaks with whom, by the policy and by what enforcers saw."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from framegate.segment.cases import chosen_segment
from framegate.segment.drawing import as_dot, as_mermaid, as_svg
from framegate.segment.site_map import (
    MapEdge,
    SiteMap,
    edge_as_dict,
    map_as_dict,
    new_edges,
    site_map,
)
from framegate_host.console import EXIT_UNTRUSTED, safe, show_json, talk
from framegate_host.printing import show_text
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, read
from framegate_operator.output import ago, ago_ms, errors, moment_ms, show_table
from framegate_operator.policy_files import fetch_policy
from framegate_operator.segment_flows import fleet_standings, recorded_flows, recorded_ways


@read
def map_(
    segment: Annotated[
        str, typer.Option("--segment", help="The fleet's zone; needed where there are several.")
    ] = "",
    since: Annotated[str, typer.Option(help="What was seen since then: 12h, 30d.")] = "30d",
    diff: Annotated[str, typer.Option(help="Only what is new since then: 2026-11-20, 7d.")] = "",
    output: Annotated[
        Literal["table", "json", "dot", "mermaid", "svg"],
        typer.Option("--output", "-o", help="How it is drawn."),
    ] = "table",
    context: Context = None,
) -> None:
    """Identities in zones, and the ways between them: allowed and seen, allowed and never seen,
    refused, not enforced; frames under a grant, lines that read verdicts, ports that 802.1X opened,
    people. Exit code 6 where something passed that the policy does not allow.
    """
    with errors():
        operator = load_context(context)
        chosen = chosen_segment(fetch_policy(operator).segments, segment)
        with operator_stub(operator) as stub:
            standings = fleet_standings(stub, chosen)
            flows = recorded_flows(stub, ago_ms(since))
            ways = recorded_ways(stub, chosen, ago_ms(since))
        drawn = site_map(chosen, standings, flows, ways)
        if diff:
            until = moment_ms(diff)
            earlier = [f for f in flows if f.first_ms <= until]
            known = [w for w in ways if w.first_ms <= until]
            _show_new(new_edges(site_map(chosen, standings, earlier, known), drawn), output, diff)
        else:
            _show(drawn, output)
    if drawn.escaped:
        raise typer.Exit(EXIT_UNTRUSTED)


def _show(drawn: SiteMap, output: str) -> None:
    drawings = {"dot": as_dot, "mermaid": as_mermaid, "svg": as_svg}
    if output == "json":
        show_json(map_as_dict(drawn))
    elif output in drawings:
        show_text(drawings[output](drawn), end="")
    else:
        _table(drawn.edges, "the segment allows nothing, and no enforcer reported a flow since")
        for said in drawn.unseen:
            talk.print(f"[dim]not seen: {safe(said)}[/]")


def _show_new(edges: tuple[MapEdge, ...], output: str, since: str) -> None:
    if output == "json":
        show_json([edge_as_dict(e) for e in edges])
    else:
        _table(edges, f"no way that was not there before {since}")


def _table(edges: tuple[MapEdge, ...], empty: str) -> None:
    rows = [(e.source, e.destination, e.port, e.kind, e.by, e.count or "", _last(e)) for e in edges]
    show_table(("from", "to", "port", "", "by", "times", "last"), rows, empty=empty)


def _last(edge: MapEdge) -> str:
    return ago(edge.last_ms) if edge.last_ms else ""
