"""N214, N240: of what a gateway made up, its model server's result included, the console page's own
worker says what the receipt verifier says.
"""

import json
from dataclasses import replace

import pytest

from framegate.receipt_verifier import ReceiptPending, ReceiptRefused, verify_receipt
from framegate.signed.receipt import BackendResult, verdict_leaf
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_gateway.inference.inspection import Inspection
from framegate_simulators.fixtures.frames import captured
from support.attested_backend import AttestedServer
from support.page_verifier import page_verified
from support.receipts import ReceiptsDesk

FIRST = 90
"""Trigger of the first frame here: the desk has some of its own."""


class Gateway:
    """One that signs what it likes: `claims` go into the leaf's `fg` over the true ones."""

    def __init__(self, desk: ReceiptsDesk, monkeypatch) -> None:
        self.desk, self.claims = desk, {}
        self.rewritten = ("", "")
        self.frames = FIRST
        monkeypatch.setattr("framegate_gateway.verdicts.maker.verdict_leaf", self._leaf)

    def _leaf(self, *args, **how) -> bytes:
        leaf = json.loads(verdict_leaf(*args, **how))
        leaf["fg"] |= self.claims
        text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
        return text.replace(*self.rewritten).encode() if all(self.rewritten) else text.encode()

    async def frame(self, backend=None, **claims) -> None:
        """One more frame, whose leaf says that it rests on `backend`."""
        desk, self.claims, self.frames = self.desk, claims, self.frames + 1
        sealed = desk.session.seal(captured(self.frames, 9), image(self.frames))
        admitted = desk.link.admit(desk.link.open_frame(sealed.metadata, sealed.sealed))
        await desk.maker.inspected(
            admitted, replace(Inspection((), "aa", 100), backend=backend), 1.0
        )
        desk.session.owed.answered(admitted.counter)

    async def told_alike(self) -> list[tuple[str, str]]:
        """(state, check) of each frame's receipt, the first first; of both verifiers the same."""
        desk = self.desk
        desk.sign()
        await desk.head()
        desk.log()
        receipts = desk.receipts()[: self.frames - FIRST][::-1]
        root = desk.fleet.root.pem
        told = page_verified([(json.dumps(r), root) for r in receipts])
        words = [_command_line(r, root) for r in receipts]
        assert [(t.state, t.check) for t in told] == words, told
        return words


def _command_line(receipt, root) -> tuple[str, str]:
    try:
        verify_receipt(receipt, root)
    except ReceiptPending as error:
        return "pending", error.check
    except ReceiptRefused as error:
        return "refused", error.check
    return "holds", ""


def image(number: int) -> bytes:
    """A picture of its own for each frame, as a sensor makes it."""
    return b"image %d" % number


def result(server: AttestedServer, gateway: Gateway, **members) -> BackendResult:
    """What `server` signs of the gateway's next frame, with other members than true ones."""
    body = {
        "frame_sha256": sha256(image(gateway.frames + 1)).hex(),
        "model_sha256": gateway.desk.models.bundle.digest.hex(),
    }
    return BackendResult(server.signed(**(body | members)), (server.issuer,))


def resigned(envelope: bytes, other: bytes) -> bytes:
    """An envelope with the signature over another payload by the same key."""
    changed = json.loads(envelope)
    changed["signatures"] = json.loads(other)["signatures"]
    return json.dumps(changed).encode()


@pytest.fixture
def gateway(receipts_desk, monkeypatch) -> Gateway:
    return Gateway(receipts_desk, monkeypatch)


async def test_n214_the_page_refuses_the_results_that_the_receipt_verifier_refuses(
    gateway, keys: FleetKeys, north: FleetKeys
):
    desk = gateway.desk
    server, theirs = AttestedServer(keys), AttestedServer(north)
    await gateway.frame(result(server, gateway))
    for lie in (
        {"frame_sha256": "ff" * 32},
        {"model_sha256": "ff" * 32},
        {"backend": "backend.line-1.other"},
        {"issued_at_ms": desk.view.now_ms() - 70_000},
    ):
        await gateway.frame(result(server, gateway, **lie))
    good = result(server, gateway)
    await gateway.frame(replace(good, envelope=b"{}"))
    good = result(server, gateway)
    await gateway.frame(replace(good, authorities=(b"no certificate",)))
    good, other = result(server, gateway), result(server, gateway, result_id="r2")
    await gateway.frame(replace(good, envelope=resigned(good.envelope, other.envelope)))
    await gateway.frame(result(theirs, gateway))  # true, of another fleet: its root is not here
    words = await gateway.told_alike()
    assert words[0] == ("holds", "")
    assert set(words[1:-1]) == {("refused", "backend")}, words
    assert words[-1] == ("pending", "backend")


async def test_n214_a_leaf_that_differs_from_its_verdict_is_refused_by_the_page_too(gateway):
    for claims in (
        {},
        {"stage": "pilot"},
        {"inspected_of": "outline"},
        {"inspected_of": "everything"},
        {"isolation": "x" * 501},
        {"isolation": 7},
        {"isolation": "\N{GRINNING FACE}" * 500},
    ):
        await gateway.frame(**claims)
    assert await gateway.told_alike() == [
        ("holds", ""),
        ("refused", "verdict"),
        ("refused", "inspected"),
        ("refused", "inspected"),
        ("refused", "format"),
        ("refused", "format"),
        ("holds", ""),
    ]


@pytest.mark.parametrize(
    "rewritten",
    [
        ('"outcome":"PASS"', '"outcome":"DEFECT","outcome":"PASS"'),
        ('"outcome":"PASS"', '"outcome":"PASS","outcome":"PASS"'),
        ('"outcome":"PASS"', '"outcom\\u0065":"DEFECT","outcome":"PASS"'),
        ('"iss"', '"cti":"' + "ab" * 16 + '","iss"'),
        ('"kind":"verdict"', '"kind":"verdict","kin\\u0064" : "gap"'),
        ('"execution_time_ms":1.0', '"execution_time_ms":NaN'),
    ],
)
async def test_n240_a_signed_text_that_can_be_read_in_two_ways_proves_nothing(gateway, rewritten):
    """A receipt verifier that took one, and a reader of files that takes the other, would disagree
    about one signature.
    """
    await gateway.frame()
    gateway.rewritten = rewritten
    await gateway.frame()
    gateway.rewritten = ("", "")
    await gateway.frame(isolation='a "name": and \\ "more":')  # no member, though it looks like one
    words = await gateway.told_alike()
    assert words[0] == words[2] == ("holds", "")
    assert words[1][0] == "refused", words
