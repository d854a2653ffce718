"""A receipt that does not hold, and a page whose own worker should not say that it does. The
worker's file is held against the receipt verifier, one alteration after the other.
"""

import base64
import copy
import json
import random

import pytest

from framegate.receipt_verifier import ReceiptPending, ReceiptRefused, verify_receipt
from support.page_verifier import page_verified
from support.receipts import proved, series_receipt

pytestmark = pytest.mark.slow

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
MUTATIONS = 80
ALL = (
    "format",
    "batch-signer",
    "batch-signature",
    "batch-path",
    "leaf",
    "verdict",
    "inspected",
    "log-path",
    "frame",
    "payload",
    "camera-signer",
    "camera-head",
    "camera-path",
)


def expected(receipt, root) -> tuple[str, str]:
    """(state, the check that failed) by the receipt verifier."""
    try:
        verify_receipt(receipt, root)
    except ReceiptPending as error:
        return "pending", error.check
    except ReceiptRefused as error:
        return "refused", error.check
    return "holds", ""


def compared(pairs) -> list[tuple[str, str]]:
    """Both verifiers' word on each receipt, which has to be the same; returned."""
    told = page_verified([(json.dumps(receipt), root) for receipt, root in pairs])
    words = [expected(receipt, root) for receipt, root in pairs]
    for (receipt, _), said, word in zip(pairs, told, words, strict=True):
        assert (said.state, said.check) == word, (said, word, json.dumps(receipt)[:2000])
    return words


def members(value, at=()):
    """Every text and number of a receipt, by where it is."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from members(inner, (*at, key))
    else:
        yield at


def held(receipt, at):
    for key in at:
        receipt = receipt[key]
    return receipt


def altered(receipt, at, how):
    changed = copy.deepcopy(receipt)
    holder = held(changed, at[:-1])
    holder[at[-1]] = how(holder[at[-1]])
    return changed


def flipped(draw):
    """Another bit in what base64 stands for, another number, another letter."""

    def change(value):
        if isinstance(value, int):
            return value + draw.choice((1, -1, 2**40))
        try:
            data = bytearray(base64.b64decode(value, validate=True))
        except ValueError:
            return value + "x"
        if not data:
            return "AA=="
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return base64.b64encode(data).decode()

    return change


async def test_a_whole_receipt_holds_in_the_page_by_every_check(receipts_desk):
    receipt = (await proved(receipts_desk))[2]
    (said,) = page_verified([(json.dumps(receipt), receipts_desk.fleet.root.pem)])
    assert (said.state, said.check, said.passed) == ("holds", "", ALL)


async def test_no_bit_of_a_receipt_is_another_and_the_page_says_it_holds(receipts_desk):
    receipt, root = (await proved(receipts_desk))[3], receipts_desk.fleet.root.pem
    draw = random.Random(176)  # noqa: S311 - the same alterations in every run
    places = sorted(members(receipt), key=str)
    chosen = [draw.choice(places) for _ in range(MUTATIONS)]
    changed = [altered(receipt, at, flipped(draw)) for at in chosen]
    told = page_verified([(json.dumps(one), root) for one in changed])
    for at, one, said in zip(chosen, changed, told, strict=True):
        word, _ = expected(one, root)
        assert said.state == word, (at, said, word)
        # an authority that signed nothing of this receipt is not read
        assert word == "refused" or at[0] == "authorities", (at, said)


def written_otherwise(text):
    """Another base64 of the same bytes: its last letter has bits that stand for nothing."""
    letters = text.rstrip("=")
    other = ALPHABET[ALPHABET.index(letters[-1]) ^ 1]
    return letters[:-1] + other + "=" * (len(text) - len(letters))


async def test_no_part_of_a_receipt_has_two_spellings(receipts_desk):
    receipt, root = (await proved(receipts_desk))[3], receipts_desk.fleet.root.pem
    padded = [at for at in members(receipt) if str(held(receipt, at)).endswith("=")]
    changed = [altered(receipt, at, written_otherwise) for at in padded]
    for at, one in zip(padded, changed, strict=True):
        same = [base64.b64decode(held(r, at), validate=True) for r in (receipt, one)]
        assert same[0] == same[1] and one != receipt
    assert {at[0] for at in padded} >= {"batch", "log", "camera"}
    words = compared([(one, root) for one in changed])
    assert {word for word, _ in words} == {"refused"}, dict(zip(padded, words, strict=True))


async def test_each_way_past_is_refused_by_the_same_check_as_on_the_command_line(
    receipts_desk, fleet_elsewhere
):
    whole, others = await proved(receipts_desk), receipts_desk.fleet.root.pem
    receipt, another = whole[1], whole[4]
    log, camera, batch = (copy.deepcopy(receipt[n]) for n in ("log", "camera", "batch"))
    cases = {
        "another root": (receipt, fleet_elsewhere),
        "another verdict": ({**receipt, "verdict": another["verdict"]}, others),
        "another leaf": ({**receipt, "leaf": another["leaf"]}, others),
        "another frame": ({**receipt, "metadata": another["metadata"]}, others),
        "no authorities": ({**receipt, "authorities": []}, others),
        "cut batch path": ({**receipt, "batch": {**batch, "path": batch["path"][:-1]}}, others),
        "longer batch path": (
            {**receipt, "batch": {**batch, "path": [*batch["path"], batch["path"][0]]}},
            others,
        ),
        "another place": ({**receipt, "batch": {**batch, "index": batch["index"] + 1}}, others),
        "cut camera path": ({**receipt, "camera": {**camera, "path": camera["path"][:-1]}}, others),
        "the batch's key for the camera's": (
            {**receipt, "camera": {**camera, "certificate": _certificate(batch["envelope"])}},
            others,
        ),
        "another's signature": (
            {**receipt, "camera": {**camera, "signature": camera["head"]}},
            others,
        ),
        "another entry": ({**receipt, "log": {**log, "entry": whole[4]["leaf"]}}, others),
        "no format": ({**receipt, "format": "framegate-receipt-2"}, others),
    }
    words = compared(list(cases.values()))
    assert {word for word, _ in words} == {"refused"}, dict(zip(cases, words, strict=True))


async def test_a_proof_that_is_not_there_is_pending_and_one_that_is_wrong_is_refused(
    receipts_desk,
):
    receipt, root = (await proved(receipts_desk))[1], receipts_desk.fleet.root.pem
    open_log, open_camera = {**receipt, "log": None}, {**receipt, "camera": None}
    wrong = {**open_log, "camera": {**receipt["camera"], "path": []}}
    words = compared([(r, root) for r in (open_log, open_camera, wrong)])
    assert words == [
        ("pending", "log-path"),
        ("pending", "camera-head"),
        ("refused", "camera-path"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "7", "{", '{"format": "framegate-receipt-1"}', "{}" * 300_000],
    ids=["nothing", "null", "list", "number", "cut", "empty", "large"],
)
def test_what_is_no_receipt_is_refused(text, fleet_elsewhere):
    (said,) = page_verified([(text, fleet_elsewhere)])
    assert (said.state, said.passed) == ("refused", ())


def _certificate(envelope: str) -> str:
    return json.loads(base64.b64decode(envelope))["signatures"][0]["cert"]


@pytest.fixture
def fleet_elsewhere(tmp_path) -> bytes:
    """The root of a fleet that has nothing to do with these receipts."""
    from framegate_simulators.fixtures.controller import found_controller

    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return found_controller(folder).root.pem


@pytest.mark.parametrize("named", ["series", "", "record", "image", "Series", None, 3])
async def test_both_say_the_same_of_a_series_and_of_what_calls_itself_one(
    receipts_desk, monkeypatch, named
):
    monkeypatch.setattr(type(receipts_desk.maker), "_payload_kind", lambda *_: named)
    receipt = await series_receipt(receipts_desk)
    words = compared([(receipt, receipts_desk.fleet.root.pem)])
    assert (words[0][0] == "holds") is (named == "series")
