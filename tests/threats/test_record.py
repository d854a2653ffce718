"""N110: a record that is edited, dropped, reordered, cut or rewritten."""

import base64
import contextlib
import json
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate.receipt_verifier import leaf_hash
from framegate.record.entry import entry_bytes
from framegate.record.merkle import Frontier
from framegate.record.verify import AuditRefused, LogAnchor, verify_log
from framegate.record.witness import head_line, parse_head
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.open import found_fleet
from framegate_controller.record.ledger import checkpoint, require_whole
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_host.witness_file import write_head
from support.audit_log import Log
from support.founded import found_controller


def shown(signed_log: Log, lines, witness=(), anchor=None) -> tuple[str, int]:
    with pytest.raises(AuditRefused) as caught:
        verify_log(lines, anchor or signed_log.anchor, [head_line(w) for w in witness])
    return caught.value.check, caught.value.entry


@pytest.mark.parametrize("at", [0, 1, 6, 7, 8, 19, 31])
def test_n110_an_edit_shows_at_its_entry(signed_log, at):
    entries = signed_log.entries
    entries[at] = entries[at].replace(b"operator.anna", b"operator.evil")
    assert shown(signed_log, signed_log.export(entries)) == ("chain", at)


def test_n110_an_edit_of_the_last_entry_shows_against_the_head(signed_log):
    entries = signed_log.entries
    entries[32] = entries[32].replace(b"operator.anna", b"operator.evil")
    assert shown(signed_log, signed_log.export(entries)) == ("root", 20)


@pytest.mark.parametrize("at", [0, 5, 19, 31])
def test_n110_a_dropped_entry_shows_at_its_place(signed_log, at):
    entries = signed_log.entries
    del entries[at]
    assert shown(signed_log, signed_log.export(entries)) == ("order", at)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (4, 20), (31, 32)])
def test_n110_entries_in_another_order_show_at_the_first(signed_log, first, second):
    entries = signed_log.entries
    entries[first], entries[second] = entries[second], entries[first]
    assert shown(signed_log, signed_log.export(entries)) == ("order", first)


@pytest.mark.parametrize("at", [0, 9, 33])
def test_n110_an_inserted_or_repeated_entry(signed_log, at):
    entries = signed_log.entries
    entries.insert(at, entries[min(at, 32)])
    assert shown(signed_log, signed_log.export(entries)) == ("order", at if at == 33 else at + 1)


@pytest.mark.parametrize("kept", [0, 6, 19, 32])
def test_n110_a_log_that_was_cut(signed_log, kept):
    assert shown(signed_log, signed_log.export(signed_log.entries[:kept])) == ("truncated", kept)
    assert shown(signed_log, signed_log.export(signed_log.entries[:kept], count=33)) == (
        "truncated",
        kept,
    )


def test_n110_a_cut_log_with_its_heads_cut_too_shows_against_a_witness(signed_log):
    """Whoever cuts the log cuts the heads, too: then the log is whole in itself, and only what
    was kept elsewhere can tell.
    """
    cut = signed_log.export(signed_log.entries[:20], signed_log.heads[:2])
    assert verify_log(cut, signed_log.anchor).entries == 20
    assert shown(signed_log, cut, [signed_log.heads[2]]) == ("truncated", 20)


def rewritten(signed_log: Log, keys, since: int) -> tuple[list[bytes], bytes]:
    """The log rewritten from `since` on by somebody who holds the log's own key: chained anew,
    and signed.
    """
    entries, frontier, previous = signed_log.entries, Frontier(), None
    out = []
    for index, raw in enumerate(entries):
        body = {k: v for k, v in json.loads(raw).items() if k not in {"index", "previous"}}
        if index == since:
            body["actor"] = "operator.evil"
        entry = entry_bytes(index, previous, body)
        previous = leaf_hash(entry)
        frontier.append(previous)
        out.append(entry)
    signer = keys.signing["log"]
    return out, Checkpoint(
        fleet="plant", size=33, root=frontier.root.hex(), at_ms=signed_log.began + 32
    ).seal(signer.der, signer.sign)


@pytest.mark.parametrize(("since", "good"), [(3, 0), (10, 7), (25, 20)])
def test_n110_a_log_rewritten_by_whoever_holds_its_key_shows_against_older_heads(
    signed_log, keys, since, good
):
    """Even the operator's own rewriting shows: earlier heads say how far the log is what it was."""
    entries, head = rewritten(signed_log, keys, since)
    assert (
        verify_log(signed_log.export(entries, [head]), signed_log.anchor).entries == 33
    )  # in itself it is perfect
    if since < 20:
        assert shown(signed_log, signed_log.export(entries, [*signed_log.heads[:2], head])) == (
            "root",
            good,
        )
    assert shown(signed_log, signed_log.export(entries, [head]), signed_log.heads) == ("root", good)


@pytest.mark.parametrize(
    "how", ["none", "forged", "another fleet's", "another purpose", "edited", "bare junk"]
)
def test_n110_heads_that_are_not_the_logs(signed_log, keys, how, tmp_path):
    other = found_fleet(tmp_path / "other", "plant")
    head = Checkpoint.parse_payload(base64.b64decode(json.loads(signed_log.heads[2])["payload"]))
    heads = {
        "none": [],
        "forged": [head.seal(other.signing["log"].der, other.signing["log"].sign)],
        "another fleet's": [
            Checkpoint(fleet="other", size=head.size, root=head.root, at_ms=head.at_ms).seal(
                keys.signing["log"].der, keys.signing["log"].sign
            )
        ],
        "another purpose": [head.seal(keys.signing["mask"].der, keys.signing["mask"].sign)],
        "edited": [signed_log.heads[2].replace(b'"payload":"ey', b'"payload":"eX')],
        "bare junk": [b"{}"],
    }[how]
    assert shown(signed_log, signed_log.export(heads=heads))[0] == (
        "unsigned" if how == "none" else "head-signature"
    )


def test_n110_another_key_does_not_verify_it(signed_log, tmp_path):
    other = found_fleet(tmp_path / "other", "plant")
    assert (
        shown(
            signed_log,
            signed_log.export(),
            anchor=LogAnchor(key=other.signing["log"].key.public_key()),
        )[0]
        == "head-signature"
    )
    assert (
        shown(signed_log, signed_log.export(), anchor=LogAnchor(root=other.root.certificate))[0]
        == "head-signature"
    )
    assert shown(signed_log, signed_log.export(), anchor=LogAnchor())[0] == "head-signature"


@given(st.integers(0, 36), st.integers(0, 10_000), st.integers(1, 255))
def test_n110_any_flipped_byte_shows(signed_log, line, at, bits):
    lines = EXPORTS.setdefault("lines", signed_log.export())
    chosen = lines[line % len(lines)]
    at %= len(chosen)
    changed = bytearray(chosen)
    changed[at] ^= bits
    if bytes(changed) in (chosen, chosen + b"\n"):
        return
    try:
        done = verify_log(
            [*lines[: line % len(lines)], bytes(changed), *lines[line % len(lines) + 1 :]],
            signed_log.anchor,
        )
    except AuditRefused:
        return
    # what still verifies says the same: white space of the header or of a head's outer JSON
    assert (done.entries, done.root, done.fleet) == (
        33,
        json.loads(base64.b64decode(json.loads(signed_log.heads[2])["payload"]))["root"],
        "plant",
    )


EXPORTS: dict[str, list[bytes]] = {}


@pytest.mark.parametrize("how", ["cut", "deleted", "rewritten"])
def test_n110_a_log_that_was_cut_deleted_or_rewritten_in_the_store_is_seen_at_the_start(
    own_log, how
):
    with own_log.database.reading() as tx:
        require_whole(tx, parse_head(own_log.heads[2]), "a witness")
    if how == "rewritten":
        own_log.sql(
            "UPDATE log_nodes SET hash = zeroblob(32) WHERE (level, position) IN ((0, 3), (5, 0))"
        )
    else:
        own_log.sql(f"DELETE FROM log_entries WHERE id >= {20 if how == 'cut' else 0}")
    with own_log.database.reading() as tx, pytest.raises(Refused) as caught:
        require_whole(tx, parse_head(own_log.heads[2]), "a witness")
    # an old copy put back looks the same, and has the same remedy
    assert caught.value.reason == Reason.CONTROLLER_BEHIND
    assert "a witness" in caught.value.failures[0].expected


@pytest.mark.parametrize("how", ["deleted log", "deleted store", "forged head", "damaged file"])
async def test_n110_the_controller_does_not_start_on_a_log_that_is_less_than_its_witness(
    tmp_path, how
):
    found_controller(tmp_path)
    running = Controller(
        ControllerSettings(
            state=tmp_path, join_port=0, fleet_port=0, witness=(tmp_path / "usb" / "heads",)
        )
    )
    (tmp_path / "usb").mkdir()
    await running.start()
    await running.stop(0)
    heads = tmp_path / "log-heads"
    if not heads.exists():  # the house is kept every few seconds: do it once by hand
        again = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
        with again.store.writing() as tx:
            write_head(heads, checkpoint(tx, again.fleet.keys))
        again.store.close()
    if how == "deleted store":
        for path in tmp_path.glob("registry.db*"):
            path.unlink()
    elif how == "deleted log":
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as connection,
            connection,
        ):
            connection.execute("DELETE FROM log_entries")
            connection.execute("DELETE FROM log_nodes")
    elif how == "forged head":
        other = found_fleet(tmp_path / "other", "plant")
        heads.write_bytes(
            head_line(
                Checkpoint(fleet="plant", size=0, root=Frontier().root.hex(), at_ms=1).seal(
                    other.signing["log"].der, other.signing["log"].sign
                )
            )
            + b"\n"
        )
    else:
        heads.write_bytes(heads.read_bytes()[:-20])
    with pytest.raises(FramegateError):
        Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))


@pytest.mark.parametrize(
    "change",
    [
        {"number": 3},
        {"first": 5},
        {"first": 3},
        {"previous": "00" * 32},
        {"count": 0},
        {"count": 5000},
    ],
)
def test_n110_a_store_that_was_cut_or_forked(recorder, change):
    recorder.record(recorder.first)
    with pytest.raises(FramegateError) as caught:
        recorder.record(recorder.next(recorder.first, **change))
    assert caught.value.reason == Reason.RECEIPT
    assert recorder.record(recorder.next(recorder.first)).index == recorder.base + 1, (
        "the honest one still goes in"
    )


def test_n110_another_batch_under_a_used_number(recorder):
    recorder.record(recorder.first)
    with pytest.raises(FramegateError) as caught:
        recorder.record(replace(recorder.first, root="bb"))
    assert caught.value.reason == Reason.RECEIPT
