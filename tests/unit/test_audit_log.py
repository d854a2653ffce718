"""N110: the audit log against its operator as much as against an attacker: edited, dropped, reordered, cut, rewritten, deleted; and proofs."""

import base64
import contextlib
import csv
import io
import itertools
import json
import sqlite3
import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.entry import MAX_ENTRY_BYTES, Act, entry_bytes, event_body
from framegate.record.machine_events import DeviceMoved
from framegate.record.merkle import Frontier
from framegate.record.verify import FORMAT, AuditRefused, LogAnchor, consistent, load_anchor, verify_head, verify_log
from framegate.record.witness import head_line
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.open import found_fleet
from framegate_controller.record.ledger import checkpoint, prove, prove_growth, require_whole
from framegate_controller.server import Controller, Settings
from framegate_controller.store.database import Database
from framegate_controller.store.ports import EntryQuery
from framegate_host.witness_file import last_head, read_heads, write_head
from framegate_operator.audit import as_csv
from framegate_simulators.fixtures.controller import found_controller

HEADS_AT = (7, 20)
NOW = time.time_ns() // 1_000_000


class Clock:
    """A clock that goes on by a millisecond with every transaction."""

    def __init__(self) -> None:
        self.now = NOW - 1

    def __call__(self) -> int:
        self.now += 1
        return self.now


def quarantined(number: int = 0, why: str = "", device: str = "") -> DeviceMoved:
    return DeviceMoved(device=device, edge=Edge.QUARANTINE, before=State.TRUSTED, after=State.QUARANTINED, why=why or f"entry {number}")


class Log:
    """A log with `size` entries in a store, signed at `HEADS_AT` and at its end."""

    def __init__(self, path, keys, size: int = 33) -> None:
        self.clock = Clock()
        self.database, self.keys = Database(path, self.clock), keys
        self.heads: list[bytes] = []
        for number in range(size):
            with self.database.writing() as tx:
                tx.record(quarantined(number, device=f"camera.line-1.cam{number % 3}"), by="operator.anna")
                if number + 1 in HEADS_AT or number + 1 == size:
                    self.heads.append(checkpoint(tx, keys))

    @property
    def entries(self) -> list[bytes]:
        with self.database.reading() as tx:
            return [e.entry for e in tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=1000)]

    def sql(self, *statements: str) -> None:
        """What somebody with the database's file does behind the controller's back."""
        with contextlib.closing(sqlite3.connect(self.database.path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def export(self, entries=None, heads=None, count: int | None = None) -> list[bytes]:
        found = self.entries if entries is None else entries
        head = json.dumps({"format": FORMAT, "fleet": "plant", "entries": len(found) if count is None else count}).encode()
        return [head, *found, *(head_line(h) for h in (self.heads if heads is None else heads))]

    @property
    def anchor(self) -> LogAnchor:
        return LogAnchor(root=self.keys.root.certificate)


@pytest.fixture(scope="module")
def log(tmp_path_factory, keys):
    made = Log(tmp_path_factory.mktemp("log") / "registry.db", keys)
    yield made
    made.database.close()


@pytest.fixture
def own(tmp_path, keys):
    made = Log(tmp_path / "registry.db", keys)
    yield made
    made.database.close()


def shown(log: Log, lines, witness=(), anchor=None) -> tuple[str, int]:
    with pytest.raises(AuditRefused) as caught:
        verify_log(lines, anchor or log.anchor, [head_line(w) for w in witness])
    return caught.value.check, caught.value.entry


def test_a_whole_log_verifies_with_the_root_or_with_the_bare_key(log, keys):
    done = verify_log(log.export(), log.anchor)
    assert (done.fleet, done.entries, done.signed, done.heads) == ("plant", 33, 33, 3)
    assert verify_log(log.export(), LogAnchor(key=keys.signing["log"].key.public_key())).entries == 33
    assert verify_log([line + b"\n" for line in log.export()], log.anchor, [head_line(log.heads[0])]).witnessed == 7


@pytest.mark.parametrize("at", [0, 1, 6, 7, 8, 19, 31])
def test_n110_an_edit_shows_at_its_entry(log, at):
    entries = log.entries
    entries[at] = entries[at].replace(b"operator.anna", b"operator.evil")
    assert shown(log, log.export(entries)) == ("chain", at)


def test_n110_an_edit_of_the_last_entry_shows_against_the_head(log):
    entries = log.entries
    entries[32] = entries[32].replace(b"operator.anna", b"operator.evil")
    assert shown(log, log.export(entries)) == ("root", 20)


@pytest.mark.parametrize("at", [0, 5, 19, 31])
def test_n110_a_dropped_entry_shows_at_its_place(log, at):
    entries = log.entries
    del entries[at]
    assert shown(log, log.export(entries)) == ("order", at)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (4, 20), (31, 32)])
def test_n110_entries_in_another_order_show_at_the_first(log, first, second):
    entries = log.entries
    entries[first], entries[second] = entries[second], entries[first]
    assert shown(log, log.export(entries)) == ("order", first)


@pytest.mark.parametrize("at", [0, 9, 33])
def test_n110_an_inserted_or_repeated_entry(log, at):
    entries = log.entries
    entries.insert(at, entries[min(at, 32)])
    assert shown(log, log.export(entries)) == ("order", at if at == 33 else at + 1)


@pytest.mark.parametrize("kept", [0, 6, 19, 32])
def test_n110_a_log_that_was_cut(log, kept):
    assert shown(log, log.export(log.entries[:kept])) == ("truncated", kept)
    assert shown(log, log.export(log.entries[:kept], count=33)) == ("truncated", kept)


def test_n110_a_cut_log_with_its_heads_cut_too_shows_against_a_witness(log):
    """Whoever cuts the log cuts the heads, too: then the log is whole in itself, and only what was kept elsewhere can tell."""
    cut = log.export(log.entries[:20], log.heads[:2])
    assert verify_log(cut, log.anchor).entries == 20
    assert shown(log, cut, [log.heads[2]]) == ("truncated", 20)


def rewritten(log: Log, keys, since: int) -> tuple[list[bytes], bytes]:
    """The log rewritten from `since` on by somebody who holds the log's own key: chained anew, and signed."""
    entries, frontier, previous = log.entries, Frontier(), None
    out = []
    for index, raw in enumerate(entries):
        body = {k: v for k, v in json.loads(raw).items() if k not in {"index", "previous"}}
        if index == since:
            body["actor"] = "operator.evil"
        made = entry_bytes(index, previous, body)
        previous = leaf_hash(made)
        frontier.append(previous)
        out.append(made)
    signer = keys.signing["log"]
    return out, Checkpoint(fleet="plant", size=33, root=frontier.root.hex(), at_ms=NOW + 32).seal(signer.der, signer.sign)


@pytest.mark.parametrize(("since", "good"), [(3, 0), (10, 7), (25, 20)])
def test_n110_a_log_rewritten_by_whoever_holds_its_key_shows_against_older_heads(log, keys, since, good):
    """Even the operator's own rewriting shows: earlier heads say how far the log is what it was."""
    entries, head = rewritten(log, keys, since)
    assert verify_log(log.export(entries, [head]), log.anchor).entries == 33  # in itself it is perfect
    if since < 20:
        assert shown(log, log.export(entries, [*log.heads[:2], head])) == ("root", good)
    assert shown(log, log.export(entries, [head]), log.heads) == ("root", good)


@pytest.mark.parametrize("how", ["none", "forged", "another fleet's", "another purpose", "edited", "bare junk"])
def test_n110_heads_that_are_not_the_logs(log, keys, how, tmp_path):
    other = found_fleet(tmp_path / "other", "plant")
    head = Checkpoint.parse_payload(base64.b64decode(json.loads(log.heads[2])["payload"]))
    heads = {
        "none": [], "forged": [head.seal(other.signing["log"].der, other.signing["log"].sign)],
        "another fleet's": [Checkpoint(fleet="other", size=head.size, root=head.root, at_ms=head.at_ms).seal(keys.signing["log"].der, keys.signing["log"].sign)],
        "another purpose": [head.seal(keys.signing["mask"].der, keys.signing["mask"].sign)], "edited": [log.heads[2].replace(b'"payload":"ey', b'"payload":"eX')], "bare junk": [b"{}"],
    }[how]  # fmt: skip
    assert shown(log, log.export(heads=heads))[0] == ("unsigned" if how == "none" else "head-signature")


def test_n110_another_key_does_not_verify_it(log, tmp_path):
    other = found_fleet(tmp_path / "other", "plant")
    assert shown(log, log.export(), anchor=LogAnchor(key=other.signing["log"].key.public_key()))[0] == "head-signature"
    assert shown(log, log.export(), anchor=LogAnchor(root=other.root.certificate))[0] == "head-signature"
    assert shown(log, log.export(), anchor=LogAnchor())[0] == "head-signature"


@given(st.integers(0, 36), st.integers(0, 10_000), st.integers(1, 255))
def test_n110_any_flipped_byte_shows(log, line, at, bits):
    lines = EXPORTS.setdefault("lines", log.export())
    chosen = lines[line % len(lines)]
    at %= len(chosen)
    changed = bytearray(chosen)
    changed[at] ^= bits
    if bytes(changed) in (chosen, chosen + b"\n"):
        return
    try:
        done = verify_log([*lines[: line % len(lines)], bytes(changed), *lines[line % len(lines) + 1 :]], log.anchor)
    except AuditRefused:
        return
    # what still verifies says the same: white space of the header or of a head's outer JSON
    assert (done.entries, done.root, done.fleet) == (33, json.loads(base64.b64decode(json.loads(log.heads[2])["payload"]))["root"], "plant")


EXPORTS: dict[str, list[bytes]] = {}


@given(st.lists(st.binary(max_size=120) | st.sampled_from([b"{}", b'{"checkpoint":{}}', b'{"index":0,"previous":""}', b"[" * 5000]), max_size=6))
def test_exports_that_are_anything_are_refused(log, lines):
    with pytest.raises(AuditRefused):
        verify_log(lines, log.anchor)
    with pytest.raises(AuditRefused):
        verify_log([log.export()[0], *lines], log.anchor)


@pytest.mark.parametrize("pem", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_anchors_that_are_none(pem):
    with pytest.raises(AuditRefused):
        load_anchor(pem)


# --- proofs (RFC 9162) ---


@pytest.mark.parametrize("index", [0, 7, 20, 32])
def test_every_entry_is_proved_and_another_is_not(log, index):
    with log.database.writing() as tx:
        made = prove(tx, log.keys, index)
    head = verify_head(made.checkpoint, log.anchor, "plant")
    assert root_from_path(leaf_hash(made.entry), index, head.size, list(made.path)).hex() == head.root
    for wrong in (log.entries[index] + b" ", log.entries[(index + 1) % 33]):
        assert root_from_path(leaf_hash(wrong), index, head.size, list(made.path)).hex() != head.root
    with log.database.reading() as tx, pytest.raises(KeyError):
        prove(tx, log.keys, 33)


@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 8), st.integers(0, 255))
def test_growth_is_proved_and_a_changed_path_is_not(log, first, second, at, bit):
    """RFC 9162, 2.1.4.2: against a tree built by itself, and with any node of the path changed."""
    first, second = sorted((first, second))
    leaves = EXPORTS.setdefault("leaves", [leaf_hash(e) for e in log.entries])
    roots = []
    for size in (first, second):
        frontier = Frontier()
        for leaf in leaves[:size]:
            frontier.append(leaf)
        roots.append(frontier.root)
    with log.database.reading() as tx:
        path = prove_growth(tx, first, second)
    assert consistent(first, roots[0], second, roots[1], path)
    assert not consistent(first, sha256(roots[0]).digest(), second, roots[1], path)
    assert not consistent(first, roots[0], second, sha256(roots[1]).digest(), path)
    if path:
        node = path[at % len(path)]
        changed = [*path[: at % len(path)], bytes([node[0] ^ (bit | 1), *node[1:]]), *path[at % len(path) + 1 :]]
        assert not consistent(first, roots[0], second, roots[1], changed)
        assert not consistent(first, roots[0], second, roots[1], path[:-1]) and not consistent(first, roots[0], second, roots[1], [*path, path[0]])


# --- the store ---


def test_an_entry_is_there_with_its_change_or_neither_is(own):
    class Stop(Exception): ...

    before = log_size_of(own)
    with pytest.raises(Stop), own.database.writing() as tx:
        tx.record(quarantined(), by="operator.anna")
        raise Stop
    assert log_size_of(own) == before
    with own.database.writing() as tx:
        tx.record(quarantined(), by="operator.anna")
    lines = own.export(heads=[head_of(own)])
    assert verify_log(lines, own.anchor).entries == before + 1


def log_size_of(log: Log) -> int:
    with log.database.reading() as tx:
        return tx.log.size()


def head_of(log: Log) -> bytes:
    with log.database.writing() as tx:
        return checkpoint(tx, log.keys)


def test_two_processes_writing_one_after_the_other_make_one_log(own, tmp_path):
    other = Database(tmp_path / "registry.db")
    for number in range(6):
        database = (own.database, other)[number % 2]
        with database.writing() as tx:
            tx.record(quarantined(number), by=f"operator.{number}")
    other.close()
    assert verify_log(own.export(heads=[head_of(own)]), own.anchor).entries == 39


def test_who_where_why_and_on_whose_word_are_in_the_entry(own):
    with own.database.writing() as tx:
        tx.act = Act(
            actor="operator.anna",
            source="192.0.2.7",
            approved_by=("berta",),
            reason="dirty",
            verb="device.lift",
            policies=("security",),
            policy="access-policy 4 ab",
            request="0a1b2c3d",
        )
        tx.record(DeviceMoved(device="camera.line-1.cam1", edge=Edge.RELEASE, before=State.QUARANTINED, after=State.STALE, why="lifted"))
    entry = json.loads(own.entries[-1])
    assert (entry["source"], entry["approved_by"], entry["reason"], entry["verb"], entry["request"]) == ("192.0.2.7", ["berta"], "dirty", "device.lift", "0a1b2c3d")
    assert (entry["from"], entry["to"], entry["policies"], entry["index"]) == ("quarantined", "stale", ["security"], 33)


def test_an_entry_that_is_too_long_is_refused_whole(own):
    with pytest.raises(Malformed), own.database.writing() as tx:
        tx.log.append(event_body(at_ms=1, event="x", actor="a", detail="x" * MAX_ENTRY_BYTES))
    assert log_size_of(own) == 33


def test_heads_are_thinned_and_the_rest_still_say_where_it_was_whole(own):
    for number in range(50):
        own.clock.now = NOW + 999 + number * 1000
        with own.database.writing() as tx:
            tx.record(quarantined(number), by="a")
            checkpoint(tx, own.keys)
    with own.database.writing() as tx:
        tx.log.thin_heads(NOW + 40_000, 10_000)
    with own.database.reading() as tx:
        left = [Checkpoint.parse_payload(payload(h)).at_ms for h in tx.log.heads(tx.log.size() + 1, 1000)]
    assert len(left) < 20 and all(b - a >= 10_000 for a, b in itertools.pairwise(left) if b < NOW + 40_000)


# --- witness, start ---


def test_a_witness_file_only_grows(own, tmp_path):
    path = tmp_path / "heads.jsonl"
    assert write_head(path, own.heads[1]) and not write_head(path, own.heads[0]) and not write_head(path, own.heads[1])
    assert write_head(path, own.heads[2]) and read_heads(path) == own.heads[1:]


def test_a_witness_file_of_months_is_appended_to_and_started_on_by_its_end_alone(own, tmp_path, monkeypatch):
    path = tmp_path / "heads.jsonl"
    path.write_bytes((head_line(own.heads[0]) + b"\n") * 100)
    monkeypatch.setattr("framegate_host.witness_file.MAX_WITNESS_BYTES", 1000)  # it is longer than what is read whole
    assert write_head(path, own.heads[2]) and last_head(path) == own.heads[2] and not write_head(path, own.heads[1])
    assert last_head(tmp_path / "none") is None
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Malformed):
        write_head(path, own.heads[2])


@pytest.mark.parametrize("text", ["x\n", "{}\n", '{"checkpoint"\n', "[]\n"])
def test_witness_files_that_are_damaged_are_said_so(tmp_path, text):
    path = tmp_path / "heads.jsonl"
    path.write_text(text)
    with pytest.raises(Malformed):
        read_heads(path)


def payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


@pytest.mark.parametrize("how", ["cut", "deleted", "rewritten"])
def test_n110_a_log_that_was_cut_deleted_or_rewritten_in_the_store_is_seen_at_the_start(own, how):
    with own.database.reading() as tx:
        require_whole(tx, payload(own.heads[2]))
    if how == "rewritten":
        own.sql("UPDATE log_nodes SET hash = zeroblob(32) WHERE (level, position) IN ((0, 3), (5, 0))")
    else:
        own.sql(f"DELETE FROM log_entries WHERE id >= {20 if how == 'cut' else 0}")
    with own.database.reading() as tx, pytest.raises(Refused) as caught:
        require_whole(tx, payload(own.heads[2]))
    assert caught.value.reason == Reason.AUDIT


@pytest.mark.parametrize("how", ["deleted log", "deleted store", "forged head", "damaged file"])
async def test_n110_the_controller_does_not_start_on_a_log_that_is_less_than_its_witness(tmp_path, how):
    found_controller(tmp_path)
    running = Controller(Settings(tmp_path, join_port=0, fleet_port=0, witness=(tmp_path / "usb" / "heads",)))
    (tmp_path / "usb").mkdir()
    await running.start()
    await running.stop(0)
    heads = tmp_path / "log-heads"
    if not heads.exists():  # the house is kept every few seconds: do it once by hand
        again = Controller(Settings(tmp_path, join_port=0, fleet_port=0))
        with again.store.writing() as tx:
            write_head(heads, checkpoint(tx, again.fleet.keys))
        again.store.close()
    if how == "deleted store":
        for path in tmp_path.glob("registry.db*"):
            path.unlink()
    elif how == "deleted log":
        with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
            connection.execute("DELETE FROM log_entries")
            connection.execute("DELETE FROM log_nodes")
    elif how == "forged head":
        other = found_fleet(tmp_path / "other", "plant")
        heads.write_bytes(head_line(Checkpoint(fleet="plant", size=0, root=Frontier().root.hex(), at_ms=1).seal(other.signing["log"].der, other.signing["log"].sign)) + b"\n")
    else:
        heads.write_bytes(heads.read_bytes()[:-20])
    with pytest.raises(FramegateError):
        Controller(Settings(tmp_path, join_port=0, fleet_port=0))


# --- hostile text in outputs ---


def test_n29_nothing_in_a_spreadsheet_is_a_formula_or_steers_a_terminal():
    rows = [{"index": 1, "actor": "=cmd|' /C calc'!A0", "reason": "+1", "detail": "@x\x1b[2J\r\n", "device": "-2", "policies": ["a", "=b"], "verb": "\t=1"}]
    text = as_csv(rows)
    for row in list(csv.reader(io.StringIO(text)))[1:]:
        assert all(not c.startswith(("=", "+", "-", "@", "\t", "\r")) for c in row)
    assert "\x1b" not in text and "\\x1b" in text


@given(st.text(max_size=60), st.lists(st.text(max_size=10), max_size=3))
def test_n29_spreadsheets_of_anything(text, items):
    for row in list(csv.reader(io.StringIO(as_csv([{"detail": text, "policies": items}]), newline="")))[1:]:
        assert len(row) == 13 and all(c[:1] not in {"=", "+", "-", "@", "\t", "\r"} and c.isprintable() for c in row)


@given(st.text(max_size=200))
def test_n29_an_entry_is_one_line_whatever_is_in_it(text):
    raw = entry_bytes(0, None, event_body(at_ms=1, event="x", actor=text, detail=text, reason=text))
    assert b"\n" not in raw and raw.isascii() and json.loads(raw).get("detail", "") == text
