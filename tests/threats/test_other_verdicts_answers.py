"""N220: a gateway that answers for a verdict that is none of its own, with another's receipt, with
none, or with one that holds under an id that was made twice.
"""

import base64
import contextlib
import json
from types import SimpleNamespace

import pytest

from framegate.errors import (
    EvidenceRejected,
    FramegateError,
    Malformed,
    Reason,
    Refused,
    Unavailable,
)
from framegate_console.calls import Calls
from framegate_console.pages import verdicts
from framegate_operator import connection, one_receipt
from framegate_operator.one_receipt import OneReceipt, maker_of, only_one, receipt_of
from framegate_proto.v1 import framegate_pb2 as pb
from support.receipts import proved

DOWN = Unavailable.of(Reason.UNAVAILABLE, "it", "nobody")
NONE = Refused.of(Reason.NOT_FOUND, "it", "none")


@pytest.fixture
async def made(receipts_desk):
    """Receipts that hold, newest first, and the fleet's root."""
    return SimpleNamespace(
        rows=await proved(receipts_desk), root=receipts_desk.fleet.root.pem, desk=receipts_desk
    )


@pytest.fixture
def plant(monkeypatch, made):
    """Gateways that answer with what they are told to: a receipt, bytes, an error, or nothing."""

    def stand(*said):
        endpoints = [(f"gateway.line-1.gw{n}", f"h:{n}") for n in range(len(said))]
        words = dict(zip([d for d, _ in endpoints], said, strict=True))

        @contextlib.contextmanager
        def stub(_operator, device, _address, *_timeout):
            answer = words[device]

            def asked(_request, **_stream):
                if isinstance(answer, FramegateError):
                    raise answer
                if answer is None:
                    return []
                raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                return [pb.ReceiptReply(receipt=raw)]

            yield SimpleNamespace(Receipts=asked)

        for module in (connection, one_receipt):
            monkeypatch.setattr(module, "gateways", lambda _operator: endpoints)
            monkeypatch.setattr(module, "gateway_stub", stub)
        return SimpleNamespace(root=made.root)

    return stand


def id_of(receipt) -> str:
    return json.loads(base64.b64decode(receipt["leaf"]))["cti"]


def changed(receipt, **claims):
    """The receipt with other words in its leaf: it holds no more."""
    leaf = {**json.loads(base64.b64decode(receipt["leaf"])), **claims}
    return {**receipt, "leaf": base64.b64encode(json.dumps(leaf).encode()).decode()}


def test_n220_the_receipt_that_was_asked_for_is_taken(made):
    one = receipt_of(json.dumps(made.rows[0]).encode(), id_of(made.rows[0])[:8], made.root)
    assert one.verified.claims["cti"] == id_of(made.rows[0])
    assert one.gateway == one.verified.verdict["gateway"]


def test_n220_a_sound_receipt_of_another_verdict_is_not(made):
    """Else who asks for a DEFECT reads of a PASS that holds in every proof."""
    with pytest.raises(EvidenceRejected, match=r"answers with that of"):
        receipt_of(json.dumps(made.rows[1]).encode(), id_of(made.rows[0]), made.root)


def test_n220_a_false_receipt_under_the_right_id_is_not(made):
    asked = id_of(made.rows[0])
    for claims in ({"iat_ms": 1}, {"iss": "gateway.line-1.other"}, {"fg": {}}):
        with pytest.raises(EvidenceRejected):
            receipt_of(json.dumps(changed(made.rows[0], **claims)).encode(), asked, made.root)
    lying = changed(made.rows[1], cti=asked)
    with pytest.raises(EvidenceRejected):
        receipt_of(json.dumps(lying).encode(), asked, made.root)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"leaf": 5}', b'{"leaf": "e30="}', b"\xff"])
def test_n220_what_is_no_receipt_is_refused(made, raw):
    with pytest.raises(Malformed):
        receipt_of(raw, "ab", made.root)


@pytest.mark.parametrize("first", ["garbage", "another's", "false", "down", "none"])
def test_n220_what_one_gateway_says_hides_nothing_that_another_has(made, plant, first):
    """Whichever is asked first."""
    true = made.rows[0]
    said = {
        "garbage": b"\x00",
        "another's": made.rows[1],
        "false": changed(true, iat_ms=1),
        "down": DOWN,
        "none": None,
    }[first]
    for order in ((said, true), (true, said), (said, true, said)):
        one = one_receipt.one_receipt(plant(*order), id_of(true))
        assert one.verified.claims["cti"] == id_of(true)
    assert maker_of(plant(said, true), id_of(true)) == one.gateway


def test_n220_where_none_holds_the_lie_is_told_and_not_that_there_is_none(made, plant):
    asked = id_of(made.rows[0])
    for said in ((made.rows[1], None), (None, made.rows[1]), (NONE, b"[]", NONE)):
        with pytest.raises((EvidenceRejected, Malformed)):
            maker_of(plant(*said), asked)
    assert maker_of(plant(None, NONE), asked) == ""
    with pytest.raises(Unavailable):
        maker_of(plant(None, DOWN), asked)
    with pytest.raises(Unavailable):
        one_receipt.one_receipt(plant(), asked)


def test_n220_an_id_or_beginning_of_two_is_told_and_not_chosen_from(made):
    two = [receipt_of(json.dumps(r).encode(), id_of(r), made.root) for r in made.rows[:2]]
    with pytest.raises(EvidenceRejected, match="more of the id"):
        only_one(two, "")
    assert only_one([two[0], two[0]], "") is two[0]
    alike = [
        OneReceipt({}, SimpleNamespace(claims={"cti": "ab", "iss": f"gateway.line-1.gw{n}"}))
        for n in range(2)
    ]
    with pytest.raises(EvidenceRejected, match="both hosts"):
        only_one(alike, "ab")


class Asked:
    """The console's calls to gateways that answer with what they are told to."""

    answers = Calls.answers

    def __init__(self, *said):
        self.said = {f"gateway.line-1.gw{n}": raw for n, raw in enumerate(said)}

    async def gateways(self):
        return [SimpleNamespace(device=device) for device in self.said]

    async def gateway_rows(self, at, _name, _request, most):
        raw = self.said[at.device]
        return [] if raw is None else [pb.ReceiptReply(receipt=raw)]


def visit_of(made, *said):
    console = SimpleNamespace(context=SimpleNamespace(root=made.root))
    return SimpleNamespace(calls=Asked(*said), console=console, live=SimpleNamespace(verdicts=[]))


@pytest.mark.parametrize("first", ["garbage", "another's", "false", "none"])
async def test_n220_nor_does_it_in_the_console(made, first):
    true, asked = made.rows[0], id_of(made.rows[0])
    said = {
        "garbage": b"\x00",
        "another's": json.dumps(made.rows[1]).encode(),
        "false": json.dumps(changed(true, iat_ms=1)).encode(),
        "none": None,
    }[first]
    sound = json.dumps(true).encode()
    for order in ((said, sound), (sound, said)):
        assert await verdicts._receipt(visit_of(made, *order), asked) == true
        assert await verdicts._maker(visit_of(made, *order), asked) == true_maker(true)


async def test_n220_what_does_not_hold_is_shown_as_refused_where_there_is_no_other(made):
    false = changed(made.rows[0], iat_ms=1)
    told = await verdicts._receipt(
        visit_of(made, json.dumps(false).encode(), None), id_of(made.rows[0])
    )
    assert verdicts.proved(told, made.root).state == "refused"
    with pytest.raises(EvidenceRejected):
        await verdicts._receipt(
            visit_of(made, json.dumps(made.rows[1]).encode()), id_of(made.rows[0])
        )


def true_maker(receipt) -> str:
    return json.loads(base64.b64decode(receipt["leaf"]))["iss"]
