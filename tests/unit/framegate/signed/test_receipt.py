"""Leaves of a gateway's receipts."""

import json
from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.receipt_verifier import OUTLINE
from framegate.signed.receipt import (
    EAT_PROFILE,
    MAX_BATCH,
    UNGUARDED,
    Checkpoint,
    Provenance,
    ReceiptBatch,
    continues,
    event_leaf,
    parse_leaf,
    verdict_leaf,
)
from framegate_simulators.fixtures.frames import passed
from support.refusals import refused


def test_the_leaf_of_something_that_is_no_verdict():
    leaf = event_leaf(7, "id", "gateway.z.g", 5, "export", "operator.anna", {"frame": "f"})
    claims = parse_leaf(leaf)
    assert (claims["kind"], claims["iss"], claims["cti"]) == ("event", "gateway.z.g", "id")
    assert (claims["sequence_number"], claims["iat_ms"]) == (7, 5)
    assert claims["fg"] == {"event": "export", "actor": "operator.anna", "frame": "f"}
    assert leaf == json.dumps(claims, sort_keys=True, separators=(",", ":")).encode(), "canonical"


@pytest.mark.parametrize("leaf", [b"[]", b"{}", b'{"eat_profile": "another"}', b"null"])
def test_leaves_that_are_none(leaf):
    with pytest.raises(Malformed, match=f"a leaf of {EAT_PROFILE}") as caught:
        parse_leaf(leaf)
    assert caught.value.reason == Reason.RECEIPT


BATCH = ReceiptBatch(
    gateway="gateway.z.g",
    store="s",
    number=1,
    first=1,
    count=3,
    root="00",
    previous="",
    recovered=0,
    closed_at_ms=1,
)
NEXT = replace(BATCH, number=2, first=4, previous="ab")


def test_batches_follow_on():
    continues(BATCH, None, "")
    continues(NEXT, BATCH, "ab")


@pytest.mark.parametrize(
    ("batch", "last"),
    [
        (replace(BATCH, count=0), None),
        (replace(BATCH, count=MAX_BATCH + 1), None),
        (replace(BATCH, first=2), None),
        (replace(BATCH, previous="ab"), None),
        (NEXT, None),
        (replace(NEXT, number=3), BATCH),
        (replace(NEXT, first=5), BATCH),
        (replace(NEXT, previous="cd"), BATCH),
        (BATCH, BATCH),
    ],
)
def test_batches_of_a_store_that_was_cut_or_forked_are_refused(batch, last):
    assert refused(lambda: continues(batch, last, "ab"), Refused) == Reason.RECEIPT


HEAD = Checkpoint("plant", 3, "00", 7)


def test_a_head_has_one_way_to_say_that_nothing_was_restored():
    assert b"restorations" not in HEAD.payload()
    for head in (HEAD, replace(HEAD, restorations=2)):
        assert Checkpoint.parse_payload(head.payload()) == head


@pytest.mark.parametrize(
    "changes", [{"restorations": 0}, {"restorations": -1}, {"size": -1}, {"more": 1}, {"size": "3"}]
)
def test_heads_that_are_none_are_refused(changes):
    payload = json.dumps(json.loads(HEAD.payload()) | changes).encode()
    assert refused(lambda: Checkpoint.parse_payload(payload), Malformed) == Reason.ENVELOPE


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null"])
def test_what_is_no_head_is_refused(payload):
    assert refused(lambda: Checkpoint.parse_payload(payload), Malformed) == Reason.ENVELOPE


def test_a_leaf_says_more_only_where_there_is_more():
    verdict = passed(7)
    plain = parse_leaf(verdict_leaf(1, verdict, b"{}", b"", Provenance(), 1.0))["fg"]
    assert not {"inspected_of", "stage", "provider", "guarded_by"} & set(plain)
    assert plain["frame_metadata_sha256"] == "" and plain["mask_version"] == 0
    verdict = replace(verdict, inspected_of=OUTLINE, stage="warn")
    behind = Provenance(provider="CPU", guarded_by=("tiles",))
    leaf = verdict_leaf(1, verdict, b"{}", b"x", behind, 1.0, mask_version=4)
    told = parse_leaf(leaf)["fg"]
    assert (told["inspected_of"], told["stage"], told["provider"]) == (OUTLINE, "warn", "CPU")
    assert told["guarded_by"] == ["tiles"] and told["guards_not_against"] == UNGUARDED
    assert told["mask_version"] == 4 and len(told["frame_metadata_sha256"]) == 64
