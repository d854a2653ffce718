"""`framegate part …`: golden images and rules of part types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.dsse import parse_envelope
from framegate.signed.inspected import LOOSE, MAX_TOLERANT
from framegate.signed.part import PartStatement, left_by
from framegate.signed.part_rules import rules_of
from framegate_host.console import safe, show_json, talk, typed
from framegate_host.private_files import private_folder, write_private
from framegate_operator.connection import (
    load_context,
    operator_stub,
)
from framegate_operator.masks import read_regions
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, errors, show_table
from framegate_operator.part_commission import commission, read_looks
from framegate_operator.part_learning import learn
from framegate_operator.part_types import (
    LOOKED_AT,
    Asked,
    SeenType,
    ask_types,
)
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Parts: what frames of a part type are compared with, and how strictly.",
)
PartType = Annotated[str, typer.Argument(help="The part type's id, as cameras send it.")]
_Goldens = Annotated[
    list[Path] | None,
    typer.Option(
        "--golden",
        exists=True,
        dir_okay=False,
        help="Golden image (PNG or JPEG); may be repeated for variants.",
    ),
]
_Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", help="CLASS=SCORE over the model's own; may be repeated."),
]
_Looks = Annotated[
    Path | None,
    typer.Option(
        "--looks",
        exists=True,
        dir_okay=False,
        help="Limits of second looks, as part commission wrote them; without it the part has none.",
    ),
]
_Outline = Annotated[
    Path | None,
    typer.Option(
        "--outline",
        exists=True,
        dir_okay=False,
        help="TOML of what in the golden image is the part, as part learn wrote it:"
        " [[region]] points = [[x, y], …]. Masks and ignored regions have to leave enough of it.",
    ),
]
_Tolerant = Annotated[
    int,
    typer.Option(
        "--tolerant",
        min=0,
        max=MAX_TOLERANT,
        help=f"Percent of the picture where golden images may tolerate more than {LOOSE} grey"
        " levels, as part learn says it: counted as not inspected.",
    ),
]
_Ignored = Annotated[
    Path | None,
    typer.Option(
        "--ignore",
        exists=True,
        dir_okay=False,
        help="TOML of regions that are not judged: [[region]] points = [[x, y], …].",
    ),
]


@app.command()
@write
def add(  # noqa: PLR0913 - a command's options
    part_type: PartType,
    golden: _Goldens = None,
    source: Annotated[str, typer.Option("--source", help="Where the golden images are from.")] = "",
    threshold: _Thresholds = None,
    min_size: Annotated[
        float,
        typer.Option(
            "--min-size", min=0, help="Longer side, in pixels, below which a box is no defect."
        ),
    ] = 0.0,
    ignore: _Ignored = None,
    looks: _Looks = None,
    outline: _Outline = None,
    tolerant: _Tolerant = 0,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="What no option here names stays as it is in force, golden images too."
        ),
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the part away: its frames become UNINSPECTED.")
    ] = False,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Put golden images and rules of a part in force, signed, with their source and who approved
    them; gateways take them at once.
    """
    with errors():
        if bool(golden or keep) == remove:
            raise Refused.of(
                Reason.USAGE, "--golden IMAGE or --keep, or --remove", "both" if remove else "none"
            )
        rules = {
            "thresholds": [_threshold(t) for t in threshold or []],
            "min_size_px": min_size,
            "ignore": read_regions(ignore, Reason.PART) if ignore else [],
            "looks": read_looks(looks, part_type) if looks else [],
            "outline": read_regions(outline, Reason.PART) if outline else [],
            "tolerant_percent": tolerant,
        }
        goldens = [g.read_bytes() for g in golden or []]
        with operator_stub(load_context(context)) as stub:
            if keep:
                standing = stub.ShowPart(pb.PartRequest(part_type=part_type))
                before = _statement(standing.row)
                rules = {**rules_of(before), **{k: v for k, v in rules.items() if v}}
                goldens, source = goldens or list(standing.goldens), source or before.source
            request = pb.AddPartRequest(
                part_type=part_type,
                goldens=goldens,
                rules=json.dumps(rules).encode(),
                source=source,
                remove=remove,
            )
            row = stub.AddPart(request)
        if output == "json":
            show_json(_shown(row))
            return
        done = "taken away" if remove else f"{len(goldens)} golden images"
        talk.print(f"part {safe(row.part_type)}: version {row.version}, {done}")


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Parts of the fleet, then part types that gateways saw of late: unknown ones are UNINSPECTED.
    Gateways may know more, from folders of their own (--golden).
    """
    with errors():
        operator = load_context(context)
        with operator_stub(operator) as stub:
            rows = [_shown(r) for r in stub.ListParts(pb.ListRequest()).parts]
        asked = ask_types(operator)
        if output == "json":
            by_type = {t.part_type: t for t in asked.types}
            show_json(
                [
                    *(_seen(r, by_type.pop(r["part_type"], None)) for r in rows),
                    *(_seen({"part_type": t.part_type}, t) for t in by_type.values()),
                ]
            )
            return
        cells = [
            (
                r["part_type"],
                r["version"],
                len(r["goldens"]),
                _rules(r),
                r["source"],
                ", ".join(r["approved_by"]),
                ago(r["issued_at_ms"]),
            )
            for r in rows
        ]
        show_table(
            ("part", "version", "golden images", "rules", "source", "approved by", "since"),
            cells,
            empty="no part was added to the fleet so far: "
            "framegate part add PART --golden IMAGE --source TEXT",
        )
        _show_seen(asked)


def _seen(row: dict[str, Any], seen: SeenType | None) -> dict[str, Any]:
    """A part, and what gateways saw of it."""
    told = {"seen": seen.count, "seen_ms": seen.last_ms, "unknown": seen.unknown} if seen else {}
    return {"seen": 0, "seen_ms": 0, "unknown": False, **row, **told}


def _show_seen(asked: Asked) -> None:
    cells = [
        (t.part_type, t.count, ago(t.last_ms), "UNKNOWN" if t.unknown else "") for t in asked.types
    ]
    none = "none" if asked.whole else "unknown: no gateway stands, or not every one answers"
    talk.print(f"seen by gateways in their last {LOOKED_AT} verdicts:")
    show_table(("part type", "verdicts", "last", ""), cells, empty=none)
    for t in asked.types:
        if t.unknown:
            talk.print(f"next: framegate part learn {typed(t.part_type)}")


@app.command()
@read
def show(
    part_type: PartType,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write the golden images to.")
    ] = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """One part, and its golden images as files."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            reply = stub.ShowPart(pb.PartRequest(part_type=part_type))
        body = _shown(reply.row)
        if out is not None:
            private_folder(out)
            for digest, image in zip(body["goldens"], reply.goldens, strict=True):
                suffix = ".png" if image.startswith(bytes([0x89])) else ".jpg"
                write_private(out / f"{digest[:16]}{suffix}", image)
            talk.print(f"{len(reply.goldens)} golden images in {safe(out)}")
        if output == "json":
            show_json(body)
            return
        show_table(
            ("", ""),
            [
                ("part", body["part_type"]),
                ("version", f"{body['version']}, {ago(body['issued_at_ms'])}, by {body['by']}"),
                ("golden images", " ".join(g[:16] for g in body["goldens"])),
                ("rules", _rules(body)),
                ("inspected", f"{body['inspected']}, before masks"),
                ("second looks", _looks(body)),
                ("source", body["source"]),
                ("approved by", ", ".join(body["approved_by"])),
            ],
            empty="nothing is known of it",
        )


app.command()(write(commission))


app.command()(write(learn))


def _threshold(text: str) -> dict[str, Any]:
    kind, _, value = text.rpartition("=")
    try:
        return {"kind": kind, "at_least": float(value)}
    except ValueError as error:
        raise Malformed.of(
            Reason.USAGE, "--threshold CLASS=SCORE, for instance open=0.6", ascii(text[:40])
        ) from error


def _statement(row: Any) -> PartStatement:
    return PartStatement.parse_payload(parse_envelope(row.envelope, PartStatement.TYPE).payload)


def _shown(row: Any) -> dict[str, Any]:
    part = _statement(row)
    return {
        "part_type": part.part_type,
        "version": part.version,
        "goldens": list(part.goldens),
        "thresholds": {str(t["kind"]): t["at_least"] for t in part.thresholds},
        "min_size_px": part.min_size_px,
        "ignore": len(part.ignore),
        "looks": {str(row["look"]): row["limit"] for row in part.looks},
        "outline": len(part.outline),
        "tolerant_percent": part.tolerant_percent,
        "inspected": str(left_by(part)),
        "source": part.source,
        "approved_by": list(part.approved_by),
        "issued_at_ms": part.issued_at_ms,
        "by": row.by,
    }


def _looks(body: dict[str, Any]) -> str:
    limits = [f"{look} {limit:g}" for look, limit in body["looks"].items()]
    return ", ".join(limits) or "none: framegate part commission"


def _rules(body: dict[str, Any]) -> str:
    rules = [f"{k} from {v:g}" for k, v in body["thresholds"].items()]
    rules += [f"at least {body['min_size_px']:g} px"] if body["min_size_px"] else []
    rules += [f"{body['ignore']} regions not judged"] if body["ignore"] else []
    rules += [f"{len(body['looks'])} second looks"] if body["looks"] else []
    return ", ".join(rules) or "the model's own"
