"""`framegate log …`: the log of decisions, which witnesses cosign: read, proved, taken away,
verified with nothing but the file and pinned keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Reason, Refused
from framegate.transparency.decision import Decision, Kind, parse_decision
from framegate.transparency.head import TreeHead
from framegate.transparency.note import parse_note, parse_note_key, verified_keys
from framegate.transparency.proof import FORKED_HINT
from framegate_host.console import EXIT_UNTRUSTED, safe, show_failures, show_json, talk, typed
from framegate_host.printing import show_text
from framegate_host.private_files import write_private, write_public
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.decision_files import (
    CosignerKeys,
    ExportedLog,
    LogKey,
    RequireCosigned,
    RootFile,
    Within,
    claimed_head,
    heads_in,
    log_trust,
    proof_of,
    verify_file,
)
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="The log of decisions: policies, profiles, models and releases, as witnesses saw them.",
)
TITLES = ("#", "when", "what", "of", "version", "sha256")


@app.command("list")
@read
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 30,
    kind: Annotated[
        str, typer.Option(help="Only policy, profile, model, model-withdrawn, pin or release.")
    ] = "",
    output: Output = "table",
    context: Context = None,
) -> None:
    """The newest decisions, each with the SHA-256 of what was decided on."""
    with errors():
        if kind and kind not in set(Kind):
            raise Refused.of(Reason.USAGE, f"one of {', '.join(Kind)}", ascii(kind[:40]))
        entries = [parse_decision(e) for e in _whole(context).entries]
        rows = [(n, d) for n, d in enumerate(entries) if kind in {"", d.kind}][-limit:]
        if output == "json":
            show_json([_json(n, d) for n, d in rows])
            return
        show_table(TITLES, [_cells(n, d) for n, d in rows], empty="no decision")


@app.command("show")
@read
def show(output: Output = "table", context: Context = None) -> None:
    """The log's present head, its key, and who cosigned the head that machines are shown."""
    with errors():
        whole = _whole(context)
        head = claimed_head(whole.head)
        published = claimed_head(whole.published) if whole.published else None
        names = [s.name for s in parse_note(whole.published).signatures] if published else []
        body = {
            "log": head.origin,
            "key": whole.key,
            "decisions": head.size,
            "root": head.root.hex(),
            "published": published.size if published else None,
            "cosigned_by": names[1:],
            "require_cosigned": whole.require_cosigned,
        }
        if output == "json":
            show_json({**body, "head": whole.head.decode(), "note": whole.published.decode()})
            return
        rows = [(k.replace("_", " "), v if v is not None else "not yet") for k, v in body.items()]
        listed = [(k, ", ".join(v) or "nobody" if isinstance(v, list) else v) for k, v in rows]
        show_table(("", ""), listed, empty="")
        if published is None or published.size < head.size:
            waiting = head.size - (published.size if published else 0)
            talk.print(f"[yellow]{waiting} decisions wait for cosignatures[/]")
            talk.print("next: framegate witness list")


@app.command("key")
def key(context: Context = None) -> None:
    """The log's key, for whoever runs a witness: framegate witness watch KEY."""
    with errors():
        show_text(_whole(context).key)


@app.command("prove")
def prove(
    what: Annotated[
        str, typer.Argument(help="The decision's number, or its SHA-256 or a beginning of that.")
    ],
    out: Annotated[Path, typer.Option(help="Where the proof goes (c2sp.org/tlog-proof).")],
    context: Context = None,
) -> None:
    """The proof that a decision is in the log under a head that witnesses cosigned, for somebody
    else: framegate log verify PROOF.
    """
    with errors():
        export = _published(_whole(context))
        decisions = [parse_decision(e) for e in export.entries]
        index = _index_of(what, decisions)
        write_private(out, proof_of(export, index).data)
        talk.print(f"{safe(out)}: {safe(decisions[index].kind)} {safe(decisions[index].subject)}")
        talk.print(f"next: framegate log verify {typed(out)} --key KEY --cosigner KEY")


@app.command("export")
def export(
    out: Annotated[
        Path,
        typer.Option(
            help="Where the log goes; beside it the fleet's root certificate as FILE.root.pem."
        ),
    ],
    context: Context = None,
) -> None:
    """The whole log under the head that machines are shown, to be verified by anybody."""
    with errors():
        exported = _published(_whole(context))
        write_private(out, exported.data)
        root = out.with_name(out.name + ".root.pem")
        write_public(root, load_context(context).root)
        talk.print(f"{safe(out)}: {len(exported.entries)} decisions")
        talk.print(f"next: framegate log verify {typed(out)} --root {typed(root)} --cosigner KEY")


@app.command("verify")
def verify(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="An export or a proof.")
    ],
    cosigner: CosignerKeys,
    root: RootFile = None,
    key: LogKey = "",
    require_cosigned: RequireCosigned = 1,
    within: Within = 24,
    output: Output = "table",
) -> None:
    """That decisions are in the log under a head that these witnesses cosigned. Asks nobody."""
    with errors():
        trust = log_trust(root, key, cosigner, require_cosigned, within)
        verified = verify_file(file, trust)
        head, by = verified.head.head, [c.witness.name for c in verified.head.cosigned]
        if output == "json":
            body = {"log": head.origin, "decisions": head.size, "root": head.root.hex()}
            entries = [_json(-1, d) for d in verified.decisions]
            show_json({**body, "cosigned_by": by, "entries": entries})
            return
        for decision in verified.decisions[-10:]:
            talk.print(
                f"[green]{safe(decision.kind)}[/] {safe(decision.subject)} "
                f"{safe(decision.version)}, "
                f"sha256 {decision.sha256[:16]}"
            )
        talk.print(f"in {safe(head.origin)} of {head.size} decisions, cosigned by {', '.join(by)}")


@app.command("compare")
def compare(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Notes, proofs, exports, or heads that a program kept of a fork.",
        ),
    ],
    key: LogKey,
    output: Output = "table",
) -> None:
    """Whether heads from several places are of one history: two of one size that differ prove that
    the log has two. Exit code 6 then. Asks nobody.
    """
    with errors():
        known = parse_note_key(key)
        by_size: dict[int, tuple[TreeHead, Path]] = {}
        forked: list[dict[str, Any]] = []
        for file in files:
            for note in heads_in(file):
                head = claimed_head(note)
                if head.origin != known.name or not verified_keys(parse_note(note), (known,)):
                    wanted = f"heads signed by {known.name}"
                    raise Refused.of(Reason.SIGNATURE, wanted, f"one of {head.origin!a} in {file}")
                before = by_size.setdefault(head.size, (head, file))
                if before[0].root != head.root:
                    roots = [before[0].root.hex(), head.root.hex()]
                    places = [str(before[1]), str(file)]
                    forked.append({"decisions": head.size, "roots": roots, "files": places})
        if output == "json":
            show_json({"log": known.name, "heads": sorted(by_size), "forked": forked})
        elif not forked:
            talk.print(
                f"[green]no two of one size differ[/]: {len(by_size)} heads of {safe(known.name)}"
            )
        if forked:
            first = forked[0]
            wanted = f"one root over {first['decisions']} decisions"
            came = f"two: {first['roots'][0][:16]} and {first['roots'][1][:16]}"
            refused = Refused.of(Reason.LOG_FORKED, wanted, came, FORKED_HINT)
            show_failures(refused.failures)
            raise typer.Exit(EXIT_UNTRUSTED)


def _whole(context: Path | None) -> pb.DecisionsReply:
    """The log with all its entries; its signatures are the caller's to verify, the connection's
    certificate is the controller's.
    """
    with operator_stub(load_context(context)) as stub:
        reply: pb.DecisionsReply = stub.ReadDecisions(pb.ReadDecisionsRequest())
        size = claimed_head(reply.head).size
        while len(reply.entries) < size:
            request = pb.ReadDecisionsRequest(first=len(reply.entries))
            more = stub.ReadDecisions(request).entries
            if not more:
                break
            reply.entries.extend(more)
    return reply


def _published(whole: pb.DecisionsReply) -> ExportedLog:
    if not whole.published:
        wanted = f"a head with {whole.require_cosigned} cosignatures"
        raise Refused.of(Reason.NOT_COSIGNED, wanted, "none yet", "framegate witness list")
    size = claimed_head(whole.published).size
    return ExportedLog(whole.published, whole.certificate, tuple(whole.entries[:size]))


def _index_of(what: str, decisions: list[Decision]) -> int:
    if what.isdigit() and len(what) < 8:
        matching = [int(what)] if int(what) < len(decisions) else []
    else:
        matching = [n for n, d in enumerate(decisions) if d.sha256.startswith(what.lower())]
    if not matching:
        hint = "framegate log list; what was just decided waits for cosignatures"
        raise Refused.of(Reason.NOT_FOUND, "a decision under a cosigned head", what[:64], hint)
    return matching[-1]


def _cells(index: int, decision: Decision) -> tuple[Any, ...]:
    named = (decision.kind, decision.subject, decision.version, decision.sha256[:16])
    return (index, ago(decision.at_ms), *named)


def _json(index: int, decision: Decision) -> dict[str, Any]:
    body = {
        "kind": str(decision.kind),
        "subject": decision.subject,
        "version": decision.version,
        "sha256": decision.sha256,
        "at_ms": decision.at_ms,
    }
    return body if index < 0 else {"index": index, **body}
