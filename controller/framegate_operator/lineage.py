"""`framegate lineage …`: where a verdict comes from, every link with its digest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple

import typer

from framegate.errors import Reason, Refused
from framegate_host.console import safe, show_json
from framegate_operator.answers import json_object, reading
from framegate_operator.connection import first_answer, load_context
from framegate_operator.one_receipt import maker_of
from framegate_operator.options import Context, read
from framegate_operator.output import ago, data, errors, show_table
from framegate_operator.verdict_names import VerdictName, verdict_named
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(no_args_is_help=True, help="Where a verdict comes from.")
_PRODUCER = "https://framegate.invalid"
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/definitions/RunEvent"


@app.command("show")
@read
def show(
    identifier: VerdictName,
    output: Annotated[
        Literal["table", "json", "openlineage"],
        typer.Option("--output", "-o", help="For people, or for programs."),
    ] = "table",
    context: Context = None,
) -> None:
    """From training manifest to verdict: every link with its digest."""
    with errors():
        nothing = Refused.of(
            Reason.NOT_FOUND, "a gateway with that verdict", "none", "framegate verdict list"
        )
        operator = load_context(context)
        request = pb.LineageRequest(id=verdict_named(operator, identifier))
        maker = maker_of(operator, request.id)
        _, reply = first_answer(operator, lambda s: s.Lineage(request), nothing, of=maker)
        chain = json_object(reply.lineage, "a verdict's lineage")
        with reading("a verdict's lineage"):
            if output == "json":
                show_json(chain)
            elif output == "openlineage":
                show_json(open_lineage(chain))
            elif chain["kind"] == "event":
                show_table(("what", "is"), _event(chain), empty="")
            else:
                for depth, name, text, digest in _links(chain):
                    branch = f"{'   ' * depth}{'└─ ' if depth else ''}[bold]{name}[/]"
                    data.print(f"{branch} {safe(text)}  [dim]{safe(digest[:16])}[/]")


def open_lineage(chain: dict[str, Any]) -> dict[str, Any]:
    """The chain as an OpenLineage run event (spec 2-0-2).

    The verdict is what the run wrote, everything else what it read. Raises Refused where the chain
    is no verdict's.
    """
    if chain["kind"] != "verdict":
        raise Refused.of(
            Reason.NOT_FOUND, "a verdict's id", chain["kind"], "framegate verdict list"
        )
    space = f"framegate://{chain['gateway']['id']}"

    def dataset(name: str, digest: str, **facets: Any) -> dict[str, Any]:
        facet = {"_producer": _PRODUCER, "_schemaURL": f"{_PRODUCER}/digest", "sha256": digest}
        facet |= facets
        return {"namespace": space, "name": name, "facets": {"framegate_digest": facet}}

    verdict = chain["verdict"]
    written = dataset(f"verdict/{chain['id']}", verdict["sha256"], outcome=verdict["outcome"])
    return {
        "eventType": "COMPLETE",
        "eventTime": datetime.fromtimestamp(chain["at_ms"] / 1000, UTC).isoformat(),
        "producer": _PRODUCER,
        "schemaURL": _SCHEMA,
        "run": {"runId": str(uuid.UUID(chain["id"][:32]))},
        "job": {"namespace": space, "name": "inspect"},
        "inputs": [dataset(name, digest, **facets) for name, digest, facets in _read(chain)],
        "outputs": [written],
    }


def _read(chain: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, digest, facets) of everything that the verdict rests on."""
    frame, camera, model = chain["frame"], chain["camera"], chain["model"]
    profile, policy = chain["firmware_profile"], chain["policy"]
    name = f"frame/{camera['id']}/{frame['session']}/{frame['counter']}"
    yield name, frame["sha256"], {"signedByCamera": frame["signed_by_camera"]}
    yield f"golden/{frame['part_type']}", chain["golden"]["sha256"], {}
    yield f"model/{model['id']}", model["sha256"], {}
    yield f"training/{model['id']}", chain["training"]["sha256"], {}
    yield f"evidence/{camera['result_id']}", camera["evidence_sha256"], {}
    yield f"firmware-profile/{profile['name']}", profile["sha256"], {}
    yield f"policy/{policy['name']}", policy["decision_sha256"], {}


def _event(chain: dict[str, Any]) -> list[tuple[str, object]]:
    event = chain["event"]
    rest = ((k, v) for k, v in event.items() if k != "event")
    return [("event", event["event"]), *rest, ("gateway", chain["gateway"])]


class _Link(NamedTuple):
    """A link of the chain: how many others stand above it, what it is, and its digest."""

    depth: int
    name: str
    text: str
    digest: str = ""


def _links(chain: dict[str, Any]) -> Iterator[_Link]:
    verdict, camera, model, frame = (
        chain["verdict"],
        chain["camera"],
        chain["model"],
        chain["frame"],
    )
    profile, policy, gateway = chain["firmware_profile"], chain["policy"], chain["gateway"]
    part = f"{frame['part']} ({frame['part_type']}), {ago(chain['at_ms'])}"
    number = f"number {frame['counter']} of session {frame['session'][:12]}"
    masks = f"version {frame['mask_version']}" if frame["mask_version"] else "none"
    signed = "signed by its TPM" if frame["signed_by_camera"] else "not signed by it yet"
    yield _Link(
        0, "verdict", f"{verdict['outcome']} {verdict['reason']}".strip(), verdict["sha256"]
    )
    yield _Link(1, "part", part)
    yield _Link(1, "model", model["id"], model["sha256"])
    yield _Link(2, "trained on", _source(chain["training"]), chain["training"]["sha256"])
    yield _Link(1, "frame", number, frame["sha256"])
    yield _Link(2, "masks", masks, frame["mask_sha256"])
    yield _Link(2, "camera", f"{camera['id']}, {signed}")
    yield _Link(3, "evidence", f"result {camera['result_id'][:12]}", camera["evidence_sha256"])
    yield _Link(3, "firmware profile", profile["name"], profile["sha256"])
    yield _Link(1, "golden image", frame["part_type"], chain["golden"]["sha256"])
    yield _Link(1, "policy decision", policy["name"], policy["decision_sha256"])
    yield _Link(1, "gateway", gateway["id"], gateway["code_sha256"])
    yield from _receipt(chain["receipt"]["batch"])


def _source(training: dict[str, Any]) -> str:
    if not training["sha256"]:
        return "no manifest in the bundle"
    card = (training["manifest"] or {}).get("trained_on") or {}
    return str(card.get("source", "manifest not in the gateway's present bundle"))


def _receipt(batch: dict[str, Any] | None) -> Iterator[_Link]:
    if not batch:
        yield _Link(1, "receipt", "not signed yet")
        yield _Link(2, "log", "not in the log yet")
        return
    index = batch["log_index"]
    yield _Link(1, "receipt", f"batch {batch['number']}", batch["root"])
    yield _Link(2, "log", "not in the log yet" if index is None else f"entry {index}")
