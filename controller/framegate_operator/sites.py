"""`framegate site …`: other fleets whose word counts here, and how the link to each is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from framegate.errors import Reason, Refused
from framegate.federation.bundle import bundle_of, parse_bundle
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.private_files import write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.contexts import OperatorContext, read_context
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, data, errors, show_table
from framegate_operator.site_overview import SiteLine, lines_of
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Other fleets whose word counts here.")
SiteName = Annotated[str, typer.Argument(help="What the site is called here.")]
UNKNOWN: Final = "?"
"""What is not known is never a number."""


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Other sites, what was pinned of them, and how their links are."""
    with errors():
        reply = known_sites(load_context(context))
        if output == "json":
            show_json([_site(s) for s in reply.sites])
            return
        show_table(
            ("site", "fleet", "stands", "link", "seen", "endpoint"),
            [
                (s.name, s.fleet, s.standing, s.link, ago(s.seen_ms), s.endpoint)
                for s in reply.sites
            ],
            empty="no other site: framegate site add NAME --bundle FILE --endpoint HOST:PORT",
        )


@app.command("show")
@read
def show(name: SiteName, output: Output = "table", context: Context = None) -> None:
    """One site: its keys, its link, what is wrong."""
    with errors():
        row = site_named(known_sites(load_context(context)), name)
        if output == "json":
            show_json(_site(row))
            return
        wrong = f"{row.error}, {row.failures}×" if row.failing_ms else ""
        facts = [
            ("site", row.name),
            ("fleet", row.fleet),
            ("stands", row.standing),
            ("withdrawn", ago(row.withdrawn_ms) if row.withdrawn_ms else ""),
            ("link", row.link),
            ("bundle seen", ago(row.seen_ms)),
            ("unknown since", ago(row.failing_ms) if row.failing_ms else ""),
            ("what is wrong", wrong),
            ("endpoint", row.endpoint),
            ("sequence", row.sequence),
            ("asked every", f"{row.refresh_s} s"),
            ("pinned", f"{ago(row.added_ms)} by {row.by}"),
        ]
        show_table(("what", "is"), [f for f in facts if f[1] != ""], empty="")
        _show_keys("keys", sorted(parse_bundle(row.bundle).keys))
        _show_keys("offers, not approved", row.offered)


def _show_keys(what: str, keys: Iterable[str]) -> None:
    """A digest a line: people compare them, and copy them whole."""
    for number, key in enumerate(keys):
        if not number:
            data.print(f"\n[bold]{what}[/]")
        data.print(safe(key), soft_wrap=True)


@app.command("add")
@write
def add(
    name: SiteName,
    bundle: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Its bundle, as its people handed it over."),
    ],
    endpoint: Annotated[
        str, typer.Option(help="host:port, where its controller shows its bundle.")
    ],
    output: Output = "table",
    context: Context = None,
) -> None:
    """Trust another fleet, or another bundle of it. Compare the keys with its people first."""
    with errors():
        raw = bundle.read_bytes()
        operator = load_context(context)
        keys = sorted(parse_bundle(raw).keys)
        with operator_stub(operator) as stub:
            row = stub.AddSite(pb.AddSiteRequest(name=name, endpoint=endpoint, bundle=raw))
        if output == "json":
            show_json(_site(row))
            return
        talk.print(f"{safe(row.name)}: fleet {safe(row.fleet)} counts here")
        for key in keys:
            talk.print(f"key {safe(key)}")
        talk.print(f"next: framegate site show {typed(row.name)}")


@app.command("withdraw")
@write
def withdraw(name: SiteName, output: Output = "table", context: Context = None) -> None:
    """Let nothing of a site count any more, at once: its receipts, whenever they were made."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            row = stub.WithdrawSite(pb.SiteRequest(name=name))
        if output == "json":
            show_json(_site(row))
        else:
            talk.print(f"{safe(row.name)}: nothing of fleet {safe(row.fleet)} counts any more")


@app.command("bundle")
def bundle(
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="The pinned one of a site; default: our own."),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="File to write; default: print it.")] = None,
    context: Context = None,
) -> None:
    """Write this fleet's trust bundle, for another site to pin; or what is pinned of one."""
    with errors():
        if name:
            raw = site_named(known_sites(load_context(context)), name).bundle
        else:
            raw = bundle_of([read_context(context).root_certificate])
        parsed = parse_bundle(raw)
        if out is None:
            data.print(raw.decode(), end="", markup=False, soft_wrap=True)
        else:
            write_public(out, raw)
        talk.print(f"fleet {safe(parsed.fleet)}, sequence {parsed.sequence}")
        for key in sorted(parsed.keys):
            talk.print(f"key {safe(key)}: read it to them by another way than this file's")


@app.command("status")
@read
def status(output: Output = "table", context: Context = None) -> None:
    """All sites on one screen, this one first; read-only. Machines of another site are asked with
    your own context of it. What is not known is `?`, and since when.
    """
    with errors():
        operator = load_context(context)
        lines = lines_of(operator, known_sites(operator))
        if output == "json":
            show_json([line.as_dict() for line in lines])
            return
        show_table(
            ("site", "fleet", "link", "since", "machines", ""),
            [(x.site, x.fleet, x.link, _since(x), _machines(x), x.why) for x in lines],
            empty="",
        )


def known_sites(operator: OperatorContext) -> pb.SitesReply:
    """Every site, as it stands now."""
    with operator_stub(operator) as stub:
        reply: pb.SitesReply = stub.ListSites(pb.ListRequest())
    return reply


def site_named(reply: pb.SitesReply, name: str) -> pb.SiteRow:
    """One of them. Raises Refused (SITE_UNKNOWN)."""
    for row in reply.sites:
        if row.name == name:
            return row
    raise Refused.of(
        Reason.SITE_UNKNOWN, "a site that is known here", ascii(name), "framegate site list"
    )


def _since(line: SiteLine) -> str:
    if line.link == "here":
        return ""
    if line.seen_ms:
        return f"seen {ago(line.seen_ms)}"
    return "never seen"


def _machines(line: SiteLine) -> str:
    if line.machines is None:
        return UNKNOWN
    shown = [f"{n} {state}" for state, n in line.machines.items() if n]
    return ", ".join(shown) or "none"


def _site(s: pb.SiteRow) -> dict[str, Any]:
    return {
        "site": s.name,
        "fleet": s.fleet,
        "endpoint": s.endpoint,
        "standing": s.standing,
        "link": s.link,
        "seen_ms": s.seen_ms or None,
        "failing_ms": s.failing_ms or None,
        "failures": s.failures,
        "error": s.error,
        "sequence": s.sequence,
        "refresh_s": s.refresh_s,
        "keys": sorted(parse_bundle(s.bundle).keys),
        "offered": list(s.offered),
        "by": s.by,
        "added_ms": s.added_ms,
        "withdrawn_ms": s.withdrawn_ms or None,
    }
