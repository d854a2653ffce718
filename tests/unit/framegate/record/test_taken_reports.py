"""The proof that a line's report stands in the record, whoever brought it."""

import json
from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Reason
from framegate.record.merkle import data_tree
from framegate.record.taken_reports import MAX_TAKEN_BYTES, taken_message, verify_taken
from framegate.record.verify import LogAnchor
from framegate.signed.receipt import Checkpoint
from support.refusals import refused

LINE = "line.press-7"
MS = int(datetime.now(UTC).timestamp() * 1000)


def entry(**changes):
    told = {"kind": "report", "reporter": LINE, "number": 3, "report_sha256": "ab"} | changes
    return json.dumps(told).encode()


@pytest.fixture
def proof(keys):
    def make(told=None, index=1, label="log", path=None):
        entries = [b"{}", told or entry(), b"[]"]
        tree, by = data_tree(entries), keys.signing[label]
        head = Checkpoint("plant", 3, tree.root.hex(), MS).seal(by.der, by.sign)
        return taken_message(entries[1], index, tree.path(1) if path is None else path, head)

    return make


@pytest.fixture
def taken(keys):
    return lambda message: verify_taken(message, LINE, LogAnchor(root=keys.root.certificate))


def test_a_report_in_the_record_is_told_by_number_digest_and_entry(proof, taken):
    report = taken(proof())
    assert (report.number, report.sha256, report.index) == (3, "ab", 1)


@pytest.mark.parametrize(
    "how",
    [
        {"told": entry(reporter="line.press-8")},
        {"told": entry(kind="event")},
        {"index": 0},
        {"index": 7},
        {"label": "grant"},
        {"path": ()},
        {"path": (bytes(32), bytes(32))},
    ],
)
def test_proofs_of_something_else_are_refused(proof, taken, how):
    assert refused(lambda: taken(proof(**how))) == Reason.REPORT


@pytest.mark.parametrize(
    "changes",
    [{"index": True}, {"index": "1"}, {"path": 7}, {"path": ["%"]}, {"entry": 7}, {"more": 1}],
)
def test_members_that_are_none_are_refused(proof, taken, changes):
    message = json.dumps(json.loads(proof()) | changes).encode()
    assert refused(lambda: taken(message)) == Reason.REPORT


@pytest.mark.parametrize("message", [b"", b"[]", b"7", b"null", b"{}", b"\xff"])
def test_what_is_no_message_is_refused(taken, message):
    with pytest.raises(FramegateError):
        taken(message)


def test_a_message_that_is_too_long_is_not_read(taken):
    assert refused(lambda: taken(b" " * (MAX_TAKEN_BYTES + 1))) == Reason.TOO_LARGE
