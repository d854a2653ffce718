"""Verdicts: the list, one with the chain that stands behind it, and the pictures."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import UndefinedError
from starlette.responses import Response

from framegate.errors import (
    EvidenceRejected,
    FramegateError,
    Malformed,
    Reason,
    Refused,
    Unavailable,
)
from framegate.receipt_verifier import (
    ReceiptPending,
    ReceiptRefused,
    VerifiedReceipt,
    verify_receipt,
)
from framegate.signed.heat import heat_values
from framegate_console.calls import Endpoint
from framegate_console.live import Live
from framegate_console.pages.line import answered, latest
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.told_json import told_object
from framegate_console.visit import Visit
from framegate_operator.one_receipt import OneReceipt, only_one, signed_here
from framegate_proto.v1 import framegate_pb2 as pb

_ID: Final = re.compile(r"[0-9a-f]{6,64}")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
LISTED: Final = 60
_LEAF: Final = "what a receipt's leaf says"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a receipt came to when it was verified here: holds, pending or refused, and why."""

    state: str
    why: str
    receipt: VerifiedReceipt | None


@dataclass(frozen=True, slots=True)
class HeatGrid:
    """The heat under a defect's box, out of the signed verdict: rows of values in [0, 1]."""

    kind: str
    rows: Sequence[Sequence[float]]

    @property
    def hottest(self) -> float:
        """Its highest value."""
        return max(max(row) for row in self.rows)


def heat_grids(proof: Proof) -> list[HeatGrid]:
    """The grids that a verdict bears, if it holds so far: a model of anomalies gives them."""
    if proof.receipt is None:
        return []
    defects = [d for d in proof.receipt.verdict.get("defects", ()) if isinstance(d, dict)]
    grids = ((str(d.get("kind", "")), heat_values(d)) for d in defects)
    return [HeatGrid(kind, rows) for kind, rows in grids if rows]


async def load_list(live: Live, key: str) -> Loaded:
    """The latest verdicts; `key` is an outcome, or part of a part's or camera's name."""
    look = await live.look()
    wanted = key.lower()
    rows = [
        v
        for v in latest(live, "", 500)
        if wanted in f"{v.outcome} {v.part} {v.part_type} {v.device} {v.reason}".lower()
    ]
    return {"verdicts": rows[:LISTED], "key": key, "answered": answered(look)}


VERDICTS: Final = LivePage(
    "verdicts", "verdicts.html", load_list, head="verdicts_head.html", least_s=0.5
)


async def show(visit: Visit) -> Response:
    """One verdict: what became of the part, by what, and every proof of it, verified here."""
    identifier = _identifier(visit)
    receipt = await _receipt(visit, identifier)
    proof = proved(receipt, visit.console.context.root)
    claims = _verdict(receipt)
    lineage = await _lineage(visit, identifier, str(claims.get("iss", "")))
    try:
        return visit.show(
            "verdict.html",
            title="verdict.title",
            id=identifier,
            proof=proof,
            chain=lineage,
            verdict=claims,
            heats=heat_grids(proof),
            scripts=("verdict.js",),
        )
    except (UndefinedError, TypeError, ValueError, AttributeError) as error:
        # a gateway left out, or told in another form, what a page shows (N220)
        wanted = "a receipt and a lineage with all their members"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, type(error).__name__) from error


def proved(receipt: Mapping[str, Any], root: bytes) -> Proof:
    """A receipt, verified with nothing but the fleet's root."""
    try:
        return Proof("holds", "", verify_receipt(dict(receipt), root))
    except ReceiptPending as error:
        return Proof("pending", str(error), error.so_far)
    except (ReceiptRefused, ValueError) as error:
        return Proof("refused", str(error), None)


async def download(visit: Visit) -> Response:
    """The receipt as it is, for a verifier that shares nothing with this console."""
    identifier = _identifier(visit)
    body = json.dumps(await _receipt(visit, identifier)).encode() + b"\n"
    return _file(body, "application/json", f"receipt-{identifier[:16]}.json")


async def root(visit: Visit) -> Response:
    """The fleet's root, to verify receipts with: compare it with one that came another way."""
    return _file(visit.console.context.root, "application/x-pem-file", f"{visit.console.fleet}.pem")


async def picture(visit: Visit) -> Response:
    """A verdict's frame with its boxes, as the gateway that has it gives it to who asks."""
    return await _picture(visit, frame_only=True)


async def card(visit: Visit) -> Response:
    """Golden image and frame side by side."""
    return await _picture(visit, frame_only=False)


async def _picture(visit: Visit, *, frame_only: bool) -> Response:
    request = pb.PictureRequest(verdict_id=_identifier(visit), frame_only=frame_only)
    nothing = Refused.of(Reason.NOT_FOUND, "the frame of this verdict", "none kept")

    async def ask(at: Endpoint) -> bytes:
        return bytes((await visit.calls.gateway(at, "ShowVerdict", request)).png)

    try:
        maker = await _maker(visit, request.verdict_id)
        png, *_ = await visit.calls.answers(ask, nothing, of=maker)
    except FramegateError as error:
        if visit.session is None or visit.session.over:
            return Response(status_code=401)
        # 200 where there is just none: a page is not at fault because a gateway kept no frame
        none = error.reason in {Reason.NOT_FOUND, Reason.UNAVAILABLE}
        headers = {"X-Framegate-Reason": str(error.reason)}
        return Response(_NO_PICTURE, 200 if none else 403, headers, "image/svg+xml")
    return image(png)


def image(png: bytes) -> Response:
    """A PNG, which is sent as that or not at all."""
    if not png.startswith(_PNG):
        raise Malformed.of(Reason.IMAGE, "a PNG", "something else")
    return Response(png, media_type="image/png")


async def _receipt(visit: Visit, identifier: str) -> Mapping[str, Any]:
    """The receipt of this id, of whichever gateway has one that holds (N220): one that does not is
    shown, as refused, only where there is none that does.
    """
    nothing = Refused.of(Reason.NOT_FOUND, "a verdict with this id", "none at any gateway")
    root = visit.console.context.root

    async def ask(at: Endpoint) -> Mapping[str, Any]:
        rows = await visit.calls.gateway_rows(
            at, "Receipts", pb.ReceiptsRequest(id=identifier), most=1
        )
        if not rows:
            raise nothing
        receipt = told_object(rows[0].receipt, "a receipt")
        if not str(_verdict(receipt).get("cti", "")).startswith(identifier):
            wanted, seen = f"the receipt of {identifier}", f"{at.device} answers with another"
            raise EvidenceRejected.of(Reason.RECEIPT, wanted, seen, "look into its host")
        return receipt

    told = await visit.calls.answers(ask, nothing)
    sound: list[OneReceipt] = []
    for receipt in told:
        with contextlib.suppress(ReceiptRefused, ValueError, KeyError, TypeError):
            sound.append(OneReceipt(dict(receipt), signed_here(dict(receipt), root)))
    return only_one(sound, identifier).receipt if sound else told[0]


async def _maker(visit: Visit, identifier: str) -> str:
    """The gateway that made a verdict: of those that this session heard, verified, or by its
    receipt; empty where no gateway has one.
    """
    heard = next((v for v in visit.live.verdicts if v.verdict_id == identifier), None)
    if heard is not None:
        return heard.gateway
    try:
        return str(_verdict(await _receipt(visit, identifier)).get("iss", ""))
    except Refused as error:
        if error.reason != Reason.NOT_FOUND:
            raise
        return ""


async def _lineage(visit: Visit, identifier: str, maker: str) -> Mapping[str, Any]:
    nothing = Refused.of(Reason.NOT_FOUND, "a verdict with this id", "none at any gateway")

    async def ask(at: Endpoint) -> Mapping[str, Any]:
        reply = await visit.calls.gateway(at, "Lineage", pb.LineageRequest(id=identifier))
        return told_object(reply.lineage, "a verdict's lineage")

    lineage, *_ = await visit.calls.answers(ask, nothing, of=maker)
    return lineage


def _verdict(receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the receipt's leaf says, as it stands; nothing of it counts unless the proof holds.
    Raises Unavailable (N220).
    """
    try:
        leaf = base64.b64decode(str(receipt.get("leaf", "")), validate=True)
    except ValueError as error:
        raise Unavailable.of(Reason.UNAVAILABLE, _LEAF, "no base64") from error
    return told_object(leaf, _LEAF)


def _identifier(visit: Visit) -> str:
    """A verdict's id out of the address. Raises Malformed (USAGE)."""
    name = visit.path("id")
    if not _ID.fullmatch(name):
        raise Malformed.of(Reason.USAGE, "a verdict's id", ascii(name[:80]))
    return name


def _file(body: bytes, kind: str, name: str) -> Response:
    return Response(
        body, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


_NO_PICTURE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120" width="160" height="120">'
    '<rect width="160" height="120" fill="#8b95a1" fill-opacity="0.18"/>'
    '<path d="M50 40h60v40H50z M50 72l18-16 14 12 10-8 18 16" fill="none" stroke="#6b7683" '
    'stroke-width="3"/><path d="M44 34l72 52" stroke="#6b7683" stroke-width="3"/></svg>'
)
"""Shown where no frame is kept: no vault, past its time, or never a part."""
