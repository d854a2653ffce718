"""The receipt of one verdict, out of what all gateways answer. A gateway may answer with anything:
what is another's, or proves nothing, is not taken for what was asked for, and hides nothing that
another gateway has (N220).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import EvidenceRejected, FramegateError, Reason, Refused, Unavailable
from framegate.receipt_verifier import (
    ReceiptPending,
    ReceiptRefused,
    VerifiedReceipt,
    verify_receipt,
)
from framegate.signed.dsse import strict_json
from framegate_operator.answers import json_object, reading
from framegate_operator.connection import gateway_stub, gateways, nearer
from framegate_operator.contexts import OperatorContext
from framegate_proto.v1 import framegate_pb2 as pb

AT_ONCE: Final = 16
"""Gateways that are asked side by side: each waits for the network."""
_WANTED: Final = "a gateway with that receipt"


@dataclass(frozen=True, slots=True)
class OneReceipt:
    """A receipt as its gateway gave it out, and what it proves."""

    receipt: dict[str, Any]
    verified: VerifiedReceipt

    @property
    def gateway(self) -> str:
        """Who signed it: verified."""
        return str(self.verified.claims["iss"])


def one_receipt(operator: OperatorContext, identifier: str) -> OneReceipt:
    """The receipt with this id or unique beginning.

    1. of each gateway's answer as `receipt_of`; 2. what does not hold counts only where no gateway
    has one that does; 3. all that hold are one and the same: an id that two gateways signed, or a
    beginning that two ids have, is told and not chosen from. Raises Refused (NOT_FOUND),
    EvidenceRejected, Unavailable.
    """
    endpoints = gateways(operator)
    if not endpoints:
        seen, hint = "unknown: no gateway process has shown itself", "framegate gateway list"
        raise Unavailable.of(Reason.UNAVAILABLE, _WANTED, seen, hint)
    request = pb.ReceiptsRequest(id=identifier)

    def ask(endpoint: tuple[str, str]) -> OneReceipt | FramegateError:
        try:
            with gateway_stub(operator, *endpoint) as stub:
                for reply in stub.Receipts(request, stream=True):
                    return receipt_of(reply.receipt, identifier, operator.root)
        except FramegateError as error:
            return error
        return Refused.of(Reason.NOT_FOUND, _WANTED, "none", "framegate verdict list")

    with ThreadPoolExecutor(AT_ONCE) as asking:
        told = list(asking.map(ask, endpoints))
    sound = [each for each in told if isinstance(each, OneReceipt)]
    if not sound:
        problem = next(each for each in told if isinstance(each, FramegateError))
        for each in told:
            if isinstance(each, FramegateError):
                problem = nearer(problem, each)
        raise problem
    return only_one(sound, identifier)


def maker_of(operator: OperatorContext, identifier: str) -> str:
    """The gateway whose word a verdict is; empty where no gateway has a receipt of this id: a
    verdict of the last second, or no verdict. Raises as `one_receipt`.
    """
    try:
        return one_receipt(operator, identifier).gateway
    except Refused as error:
        if error.reason != Reason.NOT_FOUND:
            raise
        return ""


def receipt_of(raw: bytes, identifier: str, root: bytes) -> OneReceipt:
    """What a gateway answers to who asked for `identifier`, an id or its beginning.

    1. it is a JSON object with a leaf; 2. it holds, with nothing but the fleet's root
    (`signed_here`); 3. its id is the one that was asked for. Raises Malformed, EvidenceRejected
    (RECEIPT).
    """
    receipt = json_object(raw, "a receipt")
    with reading("a receipt with a leaf"):
        said = strict_json(base64.b64decode(receipt["leaf"]))["cti"]
    try:
        verified = signed_here(receipt, root)
    except ReceiptRefused as error:
        hint = "the gateway's answer proves nothing; look into its host"
        raise EvidenceRejected.of(Reason.RECEIPT, "a receipt that holds", error, hint) from error
    if not (said == verified.claims["cti"] and str(said).startswith(identifier)):
        raise EvidenceRejected.of(
            Reason.RECEIPT,
            f"the receipt of {identifier}",
            f"{verified.claims['iss']} answers with that of {ascii(said)[:40]}",
            "it answers for what it was not asked: look into its host",
        )
    return OneReceipt(receipt, verified)


def signed_here(receipt: dict[str, Any], root: bytes) -> VerifiedReceipt:
    """What a receipt of this fleet proves by its root alone. What a server of another fleet
    computed is the gateway's word then, which the notes say: who has that fleet's root verifies
    more. Raises ReceiptRefused.
    """
    try:
        return verify_receipt(receipt, root, need_camera=False, need_log=False)
    except ReceiptPending as error:
        if error.so_far is None:
            raise
        return error.so_far


def only_one(sound: Sequence[OneReceipt], identifier: str) -> OneReceipt:
    """The one among receipts that hold. Raises EvidenceRejected (RECEIPT) where they differ."""
    first, *others = sound
    for other in others:
        if other.verified.claims != first.verified.claims:
            same = other.verified.claims["cti"] == first.verified.claims["cti"]
            raise EvidenceRejected.of(
                Reason.RECEIPT,
                f"one receipt of {identifier}",
                f"two that hold, of {first.gateway} and of {other.gateway}",
                "no id is made twice by honest gateways: look into both hosts"
                if same
                else "type more of the id: framegate verdict list -o json has it whole",
            )
    return first
