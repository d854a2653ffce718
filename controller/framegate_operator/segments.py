"""`framegate segment …`: zones and conduits beside the access policy. They are one file of its
folder, and are pulled, approved and put in force with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from framegate.access.policy import parse_policy
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.segment.cases import (
    CaseResult,
    chosen_segment,
    example_cases,
    ruling_for,
    run_segment_case,
)
from framegate.segment.draft import Change, Effect, changes_between
from framegate.segment.flow import FlowKey
from framegate.segment.kubernetes import cilium_policies, network_policies
from framegate.segment.nft import rules_of
from framegate.segment.nft_bridge import bridge_rules_of
from framegate.segment.parse import parse_segments
from framegate.segment.policy import FILE, Segment
from framegate.segment.radius import Vlans, radius_users
from framegate.segment.refusal import FEED_LOST, SPOOFED, Verdict
from framegate.segment.ruling import TRUSTED, Ruling
from framegate.segment.site_map import SeenFlow
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, safe, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, ago_ms, data, errors, show_table
from framegate_operator.policy_cases import read_cases
from framegate_operator.policy_files import fetch_policy, read_folder
from framegate_operator.policy_versions import apply_files, apply_folder, history
from framegate_operator.segment_flows import (
    fleet_standings,
    recorded_drop,
    recorded_flows,
    why_untrusted,
)

app = typer.Typer(
    no_args_is_help=True,
    help="Zones and conduits (IEC 62443) that follow the proof: a file beside the access policy.",
)
app.command("history")(history)
Folder = Annotated[Path, typer.Argument(help=f"The access policy's folder, with {FILE} in it.")]
SegmentName = Annotated[
    str, typer.Option("--segment", help="The fleet's zone; needed where there are several.")
]
_COLOURS = {Effect.OPENS: "red", Effect.CLOSES: "green", Effect.MOVES: "yellow"}


@app.command("validate")
def validate(folder: Folder, output: Output = "table") -> None:
    """Check the segments of a policy's folder; needs no controller."""
    with errors():
        segments = _segments(folder)
        if output == "json":
            show_json({name: _counts(s) for name, s in segments.items()})
            return
        rows = [(name, *_counts(s).values()) for name, s in segments.items()]
        show_table(("segment", "zones", "conduits", "bindings", "enforced"), rows, empty="")
        talk.print(f"valid: {len(segments)} segments; next: framegate segment test {typed(folder)}")


@app.command("test")
def test(folder: Folder, output: Output = "table") -> None:
    """Run the folder's tests/segments.json: given who is trusted, which connection passes, and by
    which conduit. Exit code 1 where one fails.
    """
    with errors():
        segments = _segments(folder)
        file = folder / "tests" / "segments.json"
        if not file.exists():
            examples = [c for s in segments.values() for c in example_cases(s)]
            shown = json.dumps(examples[:2], indent=1)
            raise Malformed.of(Reason.SEGMENT, f"tests in {file}", "none", f"such as {shown}")
        results = [
            run_segment_case(segments, case, f"{file.name} {number}")
            for number, case in enumerate(read_cases(file), start=1)
        ]
        _show_results(results, output)
    if not results or not all(r.good for r in results):
        raise typer.Exit(EXIT_FAILED)


@app.command("diff")
def diff(
    folder: Folder,
    since: Annotated[
        str, typer.Option(help="Hold what was seen since then against the draft: 7d.")
    ] = "7d",
    output: Output = "table",
    context: Context = None,
) -> None:
    """What a draft opens and closes, worked out of both; and which flows that were seen it would
    refuse. Exit code 6 where it opens something, or would refuse what passes now.
    """
    with errors():
        draft = _segments(folder)
        operator = load_context(context)
        changes = changes_between(fetch_policy(operator).segments, draft)
        with operator_stub(operator) as stub:
            flows = recorded_flows(stub, ago_ms(since))
        refused = [f for f in flows if _would_refuse(draft, f)]
        if output == "json":
            shown = [{"effect": c.effect.value, "what": c.what} for c in changes]
            show_json({"changes": shown, "would_refuse": [_flow(f) for f in refused]})
        else:
            _show_changes(changes)
            columns = ("would be refused", "who", "to", "port", "times", "last")
            show_table(columns, list(map(_flow_cells, refused)), empty="of what was seen: nothing")
    if refused or any(c.effect is Effect.OPENS for c in changes):
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command("explain")
@read
def explain(
    source: Annotated[str, typer.Argument(help="Device, host, address or zone.")] = "",
    destination: Annotated[str, typer.Argument(help="The same.")] = "",
    port: Annotated[str, typer.Argument(help="As tcp/7443.")] = "",
    drop: Annotated[
        int, typer.Option(min=0, help="Instead: an entry of the record that tells of a refusal.")
    ] = 0,
    segment: SegmentName = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Whether a connection passes now; where not, which conduit and element is missing, why, and
    the command that mends it. Exit code 6 where it does not pass.
    """
    with errors():
        operator = load_context(context)
        segments = fetch_policy(operator).segments
        with operator_stub(operator) as stub:
            if drop:
                allowed = _explain_drop(stub, segments, drop, output)
            else:
                chosen = chosen_segment(segments, segment)
                asked = {"from": source, "to": destination, "port": port}
                ruling = ruling_for(chosen, fleet_standings(stub, chosen), asked)
                because = _because(stub, ruling)
                _show_ruling(ruling, because, output)
                allowed = ruling.allowed
    if not allowed:
        raise typer.Exit(EXIT_UNTRUSTED)


@app.command("apply")
@write
def apply(
    folder: Folder,
    note: Annotated[str, typer.Option(help="What it changes, for the history.")] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put a folder's policy in force with its segments, here and at every enforcer. Somebody else
    has to approve exactly this. What it opens is said first.
    """
    with errors():
        in_force = fetch_policy(load_context(context)).segments
        if output == "table":
            _show_changes(changes_between(in_force, _segments(folder)))
        apply_folder(folder, note=note, base=0, output=output, context=context)


@app.command("revert")
@write
def revert(
    version: Annotated[
        int, typer.Argument(min=1, help="Of the policy: framegate segment history.")
    ],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put the segments of an earlier version back in force; the access policy beside them stays as
    it is. Somebody else has to approve exactly this.
    """
    with errors():
        operator = load_context(context)
        now, earlier = fetch_policy(operator), fetch_policy(operator, version)
        if FILE not in earlier.files:
            wanted = f"segments in version {version}"
            raise Refused.of(Reason.NOT_FOUND, wanted, "none", "framegate segment history")
        if output == "table":
            _show_changes(changes_between(now.segments, earlier.segments))
        files = {**now.files, FILE: earlier.files[FILE]}
        note = f"segments of version {version}"
        apply_files(files, note=note, base=now.version, output=output, context=context)


@app.command("render")
def render(
    folder: Folder,
    as_: Annotated[
        Literal["nft", "kubernetes", "cilium", "radius"], typer.Option("--as", help="What for.")
    ] = "nft",
    segment: SegmentName = "",
    namespace: Annotated[str, typer.Option(help="Of Kubernetes policies.")] = "default",
    join_vlan: Annotated[
        int, typer.Option(min=2, max=4094, help="Of a switch: the VLAN that reaches the join port.")
    ] = 999,
) -> None:
    """What a segment becomes: nftables rules, Kubernetes or Cilium policies, or RADIUS attributes
    of a switch before any proof. Needs no controller.
    """
    with errors():
        chosen = chosen_segment(_segments(folder), segment)
        if as_ == "nft":
            show_text(rules_of(chosen) + bridge_rules_of(chosen), end="")
        elif as_ == "radius":
            show_text(radius_users(chosen, Vlans(join=join_vlan, zones={})), end="")
        else:
            made = network_policies if as_ == "kubernetes" else cilium_policies
            for body in made(chosen, namespace):
                show_text("---")
                show_text(json.dumps(body, indent=1))


def _segments(folder: Path) -> Mapping[str, Segment]:
    """The segments in a folder. Raises Malformed."""
    files = read_folder(folder)
    if FILE not in files:
        hint = "docs/guides/operators/segments.md has one to begin with"
        raise Malformed.of(Reason.SEGMENT, f"{folder / FILE}", "none", hint)
    parse_policy(files)
    return parse_segments(files[FILE])


def _counts(segment: Segment) -> dict[str, Any]:
    enforced = sum(z.mode == "enforce" for z in segment.zones.values())
    return {
        "zones": len(segment.zones),
        "conduits": len(segment.conduits),
        "bindings": len(segment.bindings),
        "enforced": f"{enforced} of {len(segment.zones)} zones",
    }


def _show_results(results: list[CaseResult], output: str) -> None:
    if output == "json":
        show_json([asdict(r) for r in results])
        return
    rows = [
        ("ok" if r.good else "FAILS", r.name, r.expected, r.actual, r.by, r.because)
        for r in results
    ]
    show_table(("", "test", "expected", "decided", "by", "because"), rows, empty="none")
    talk.print(f"{sum(r.good for r in results)} of {len(results)} as expected")


def _show_changes(changes: tuple[Change, ...]) -> None:
    for change in changes:
        colour = _COLOURS[change.effect]
        data.print(f"[{colour}]{change.effect:<7}[/]{safe(change.what)}", soft_wrap=True)
    if not changes:
        talk.print("no difference in what may pass")


def _would_refuse(draft: Mapping[str, Segment], flow: SeenFlow) -> bool:
    """Whether a flow that passed, or passes unenforced, has no conduit in the draft and meets a
    zone that is enforced there. Trust changes from moment to moment, and is not asked.
    """
    key, zone = flow.key, flow.enforcer.split(".")[1] if flow.enforcer.count(".") == 2 else ""
    segment = draft.get(zone)
    if segment is None or key.told.verdict is Verdict.DROP:
        return False
    if not {key.source, key.destination} <= set(segment.zones):
        return True
    carried = any(
        (c.source, c.destination, f"{c.transport}/{c.port}")
        == (key.source, key.destination, key.port)
        for c in segment.conduits.values()
    )
    return not carried and segment.between(key.source, key.destination) == "enforce"


def _flow(flow: SeenFlow) -> dict[str, Any]:
    key = flow.key
    return {
        "verdict": key.told.verdict.value,
        "device": flow.device,
        "from": key.source,
        "to": key.destination,
        "port": key.port,
        "count": flow.count,
        "last_ms": flow.last_ms,
    }


def _flow_cells(flow: SeenFlow) -> tuple[object, ...]:
    key = flow.key
    who = flow.device or f"somebody in {key.source}"
    return key.told.verdict, who, key.destination, key.port, flow.count, ago(flow.last_ms)


def _because(stub: Any, ruling: Ruling) -> str:
    if ruling.whose.count(".") == 2 and ruling.because != "the fleet does not know it":
        return why_untrusted(stub, ruling.whose)
    return ruling.because


def _explain_drop(stub: Any, segments: Mapping[str, Segment], entry: int, output: str) -> bool:
    flow, body = recorded_drop(stub, entry)
    key: FlowKey = flow.key
    device = flow.device
    trust = key.told.why in {"trust-from", "trust-to"}
    said = str(body.get("members", {}).get("said", ""))
    because = why_untrusted(stub, device) if trust and device else _spoken(key.told.why)
    if trust and because.startswith(TRUSTED):
        because = "it is trusted now, and was not in the set at that moment"
    known = any(key.told.where in s.conduits for s in segments.values())
    told = {
        "entry": entry,
        "enforcer": flow.enforcer,
        "verdict": key.told.verdict.value,
        "conduit": key.told.where if known else "",
        "device": device,
        "from": key.source,
        "to": key.destination,
        "port": key.port,
        "because": because,
        "at": f"{from_ms(flow.first_ms):%F %TZ}",
        "then": said,
        "next": _mend_drop(flow, said, device if trust else ""),
    }
    if output == "json":
        show_json(told)
    else:
        show_table(("", ""), [(k, v) for k, v in told.items() if v != ""], empty="")
    return key.told.verdict is Verdict.ALLOW


def _show_ruling(ruling: Ruling, because: str, output: str) -> None:
    told = {
        "verdict": ruling.told.verdict.value,
        "conduit": ruling.conduit.name if ruling.conduit is not None else "",
        "missing": f"{ruling.whose} in set {ruling.missing}" if ruling.missing else "",
        "because": "" if ruling.allowed else because,
        "next": "" if ruling.allowed else _mend(ruling.whose),
    }
    if output == "json":
        show_json(told)
    else:
        show_table(("", ""), [(k, v) for k, v in told.items() if v], empty="")


def _spoken(why: str) -> str:
    """A reason that is no trust, in words."""
    return {
        "no-conduit": "no conduit carries it",
        "to-enforcer": "it was for the enforcer itself",
        "peers": "hosts of one bridge do not speak to each other here",
        "unadmitted": "802.1X had not opened the port for it",
        "unknown-port": "no zone names that port of the bridge",
    }.get(why, f"somebody spoke as somebody else: {why}")


def _mend_drop(flow: SeenFlow, said: str, device: str) -> str:
    if FEED_LOST in said:
        return f"see to the way from {flow.enforcer} to the controller: framegate events --all"
    why = flow.key.told.why
    if why in SPOOFED:
        return f"look behind port {flow.key.told.where}: framegate events --all"
    return _mend(device)


def _mend(device: str) -> str:
    """The command that goes on."""
    if device.count(".") == 2:
        kind, _, name = device.split(".")
        return f"framegate {kind} why {name}"
    return f"a conduit in {FILE}, then framegate segment diff DIR"
