"""A controller's record followed from the head that was seen to the one it shows now."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.record.following import (
    LogPosition,
    common,
    follow_log_head,
    follow_witnessed,
    parse_restorations_json,
    require_follows,
    restorations_json,
    verify_restoration,
)
from framegate.record.merkle import data_tree
from framegate.record.verify import LogAnchor
from framegate.signed.receipt import Checkpoint
from framegate.signed.restoration import MAX_RESTORATIONS, Restoration
from support.refusals import refused

MS = int(datetime.now(UTC).timestamp() * 1000)


def root(size, branch=b""):
    entries = [b"%d" % n + (branch if n >= 6 else b"") for n in range(size)]
    return data_tree(entries).root.hex()


def head(size, restorations=0, at_ms=MS, branch=b""):
    return Checkpoint("plant", size, root(size, branch), at_ms, restorations)


def restored(number=1, kept=6, seen=9, at_ms=MS + 5, **changes):
    told = Restoration("plant", number, kept, root(kept), seen, 2**32, at_ms)
    return replace(told, **changes)


BEFORE = head(9)
AFTER = head(6, 1, MS + 9)


@pytest.fixture
def sealed(keys):
    log = keys.signing["log"]
    return lambda statement: statement.seal(log.der, log.sign)


@pytest.fixture
def anchor(keys):
    return LogAnchor(root=keys.root.certificate)


def test_a_head_seen_first_or_again_is_followed(sealed, anchor):
    position = LogPosition(sealed(BEFORE), (), ())
    assert follow_log_head(None, position, anchor, "plant").head == BEFORE
    followed = follow_witnessed(sealed(BEFORE), position, anchor)
    assert (followed.head, followed.lost, followed.restored) == (BEFORE, None, ())


def test_a_restoration_says_what_was_lost(sealed, anchor):
    position = LogPosition(sealed(AFTER), (), (sealed(restored()),))
    followed = follow_witnessed(sealed(BEFORE), position, anchor)
    assert (followed.lost.first, followed.lost.last) == (6, 8)
    assert followed.lost.restored_at_ms == MS + 5 and followed.restored == (restored(),)


def test_a_witness_asks_that_all_it_saw_is_owned_up_to(sealed, anchor):
    position = LogPosition(sealed(AFTER), (), (sealed(restored(seen=8)),))
    assert follow_log_head(sealed(BEFORE), position, anchor).lost is not None
    call = lambda: follow_witnessed(sealed(BEFORE), position, anchor)  # noqa: E731
    assert refused(call, Refused) == Reason.CONTROLLER_BEHIND


@pytest.mark.parametrize(
    ("before", "now", "restorations"),
    [
        (head(6, 1), head(9), []),
        (BEFORE, head(8), []),
        (BEFORE, head(9, branch=b"x"), []),
        (BEFORE, head(10), []),
        (BEFORE, AFTER, []),
        (BEFORE, head(6, 2, MS + 9), [restored()]),
        (BEFORE, AFTER, [restored(), restored()]),
        (BEFORE, head(6, 2, MS + 9), [restored(2), restored(1)]),
        (BEFORE, AFTER, [restored(at_ms=MS - 1)]),
        (BEFORE, head(5, 1, MS + 9), [restored()]),
        (BEFORE, AFTER, [restored(kept_root="ab" * 32)]),
    ],
    ids=[
        "fewer restorations",
        "smaller",
        "other entries",
        "grown without a proof",
        "an untold restoration",
        "one of two untold",
        "one told twice",
        "out of order",
        "restored before it was seen",
        "less than was kept",
        "kept other entries",
    ],
)
def test_what_does_not_go_on_from_what_was_seen_is_behind(before, now, restorations):
    call = lambda: require_follows(before, now, restorations, ())  # noqa: E731
    assert refused(call, Refused) == Reason.CONTROLLER_BEHIND


def test_numbers_may_be_left_out_of_restorations_that_were_taken_back():
    assert require_follows(BEFORE, head(6, 3, MS + 9), [restored(3)], ()) == 6
    assert common(9, [restored(), restored(2, kept=4)]) == 4 and common(9, []) == 9


def test_roots_that_are_no_hexadecimal_are_malformed():
    wrong = replace(BEFORE, root="no hex")
    assert refused(lambda: require_follows(wrong, BEFORE, (), ()), Malformed) == Reason.AUDIT


def test_signatures_of_others_and_other_fleets_are_refused(sealed, anchor, keys):
    by = keys.signing["grant"]
    forged = restored().seal(by.der, by.sign)
    for call in (
        lambda: verify_restoration(forged, anchor),
        lambda: verify_restoration(sealed(BEFORE), anchor),
        lambda: verify_restoration(sealed(restored()), anchor, "elsewhere"),
        lambda: follow_log_head(None, LogPosition(b"{}", (), ()), anchor),
        lambda: follow_log_head(None, LogPosition(sealed(BEFORE), (), ()), anchor, "elsewhere"),
    ):
        assert refused(call, Refused) == Reason.AUDIT
    assert verify_restoration(sealed(restored()), anchor, "plant") == restored()


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": MAX_RESTORATIONS + 1},
        {"kept": 0},
        {"kept": 10},
        {"kept_root": "AB" * 32},
        {"kept_root": "ab" * 31},
    ],
)
def test_restorations_that_cannot_be_are_malformed(changes):
    payload = restored(**changes).payload()
    assert refused(lambda: Restoration.parse_payload(payload), Malformed) == Reason.ENVELOPE


def test_restorations_as_one_text():
    envelopes = [b"{}", hashlib.sha256(b"").hexdigest().encode()]
    assert parse_restorations_json(restorations_json(envelopes)) == envelopes
    assert parse_restorations_json("") == []
    for text in ("{", "7", "[7]", json.dumps([None])):
        assert refused(lambda t=text: parse_restorations_json(t), Malformed) == Reason.AUDIT
