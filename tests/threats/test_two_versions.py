"""A controller of before and one of now on one registry: what the new one writes, the old one reads
until it is gone; and a form that saves room gives back what was signed, byte for byte.
"""

import copy
import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason, Refused
from framegate.evidence.ear import verify_ear
from framegate.identity.names import Kind
from framegate.wire import sha256
from framegate_controller.ca.open import load_fleet
from framegate_controller.clockwork.controllers import look_around
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import KnownController
from framegate_controller.store.ports.controllers import GONE_MS, READS, SIGN_OF_LIFE_MS
from framegate_controller.store.sql.ear_form import packed_ear, unpacked_ear
from framegate_controller.store.sql.rows import read_failures
from framegate_simulators.chaos.cell import NEWCOMER, found
from framegate_simulators.chaos.desk import Desk, device_of
from framegate_simulators.fleet.versions import environment
from support.before import source_of
from support.ocsf_entries import every_entry
from support.paths import ROOT

RELEASED = ROOT / "tests/vectors/released/0.1.0"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return found(tmp_path_factory.mktemp("fleet") / "controller")


class Written:
    """The rows of a machine that joined, as SQL has them, and as this version reads them."""

    def __init__(self, fleet, folder, *beside):
        self.path, self.keys = fleet.copied(folder) / "registry.db", fleet.keys
        now_ms = fleet.made_ms + 1000
        store = open_registry(self.path, lambda: now_ms)
        with store.writing() as tx:
            for number, (age_ms, reads) in enumerate(beside):
                name = f"controller-{number + 2}"
                tx.controllers.put(KnownController(name, (), now_ms - age_ms, reads))
        desk = Desk(store, fleet.keys, lambda: now_ms)
        assert desk.join(copy.copy(fleet.machines[NEWCOMER]), NEWCOMER).state == "trusted"
        device = device_of(NEWCOMER)
        self.evidence = self.one("SELECT * FROM evidence WHERE device = ?", device)
        self.row = self.one("SELECT * FROM results WHERE device = ?", device)
        with store.reading() as tx:
            self.result = tx.evidence.result(self.row["id"])
            self.kept = tx.evidence.get(self.evidence["id"])
        store.close()

    def one(self, query, *values):
        with sqlite3.connect(self.path) as database:
            database.row_factory = sqlite3.Row
            (row,) = database.execute(query, values).fetchall()
        database.close()
        return row

    @property
    def as_before(self):
        """Whether version 0.1.0's own way to read these rows gives what came and what was
        signed.
        """
        return (
            sha256(zlib.decompress(self.evidence["proof"])) == self.row["evidence_sha256"],
            bool(self.row["ear"]) and bool(verify_ear(self.row["ear"], self.root)),
        )

    @property
    def root(self):
        return self.keys.root.certificate


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param([(0, 0)], id="one of before"),
        pytest.param([(SIGN_OF_LIFE_MS, 0)], id="one of before that is about to say so again"),
        pytest.param([(GONE_MS - 1, 0), (0, READS)], id="one of before and one of now"),
    ],
)
def test_n226_rows_are_written_as_a_controller_of_before_reads_them(fleet, tmp_path, beside):
    written = Written(fleet, tmp_path, *beside)
    assert written.as_before == (True, True)
    assert written.kept.raw == zlib.decompress(written.evidence["proof"])
    assert written.result.ear == written.row["ear"]


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param([], id="nobody"),
        pytest.param([(0, READS)], id="one of now"),
        pytest.param([(GONE_MS, 0)], id="one of before that is gone"),
        pytest.param([(0, READS + 1)], id="one of a later version"),
    ],
)
def test_n226_once_the_last_of_before_is_gone_rows_take_less_room(fleet, tmp_path, beside):
    written = Written(fleet, tmp_path, *beside)
    assert written.as_before == (False, False)
    assert sha256(written.kept.raw) == written.row["evidence_sha256"]
    assert verify_ear(written.result.ear, written.root)["jti"] == written.row["id"]
    assert len(written.row["ear_packed"]) < len(written.result.ear) / 6


def test_n226_a_controller_that_starts_anew_says_at_once_what_it_reads(fleet, tmp_path):
    """It has its predecessor's row, which was written a moment ago."""
    path = fleet.copied(tmp_path) / "registry.db"
    store = open_registry(path, lambda: fleet.made_ms)
    desk = Desk(store, fleet.keys, lambda: fleet.made_ms)
    look_around(store, desk.fleet)
    with store.writing() as tx:
        (mine,) = tx.controllers.all()
        tx.controllers.put(KnownController(mine.name, mine.authorities, mine.seen_ms, reads=0))
    with store.reading() as tx:
        assert not tx.controllers.all_read(READS)
    look_around(store, desk.fleet)
    with store.reading() as tx:
        assert tx.controllers.all_read(READS)
    store.close()


def invited(fleet, folder, kind, *beside):
    """What an invitation of a machine of `kind` came to, with these controllers beside."""
    store = open_registry(fleet.copied(folder) / "registry.db", lambda: fleet.made_ms)
    try:
        with store.writing() as tx:
            for age_ms, reads in beside:
                other = KnownController("controller-2", (), tx.now_ms - age_ms, reads)
                tx.controllers.put(other)
            asked = Invitation(
                kind=kind,
                zone="line-1",
                name="new1",
                profile=tx.profiles.names()[0],
                code=b"c" * 16,
                life_s=60,
            )
            return invite(tx, asked)
    except Refused as error:
        with store.reading() as tx:
            assert tx.devices.named("new1") is None
        return error.reason
    finally:
        store.close()


@pytest.mark.parametrize(
    ("kind", "beside", "came_to"),
    [
        pytest.param(Kind.BACKEND, [(0, 0)], Reason.CONFLICT, id="one of before"),
        pytest.param(Kind.BACKEND, [(GONE_MS - 1, 0)], Reason.CONFLICT, id="not gone for long"),
        pytest.param(Kind.BACKEND, [(0, READS)], Reason.PROFILE_KIND, id="one of now"),
        pytest.param(Kind.BACKEND, [(GONE_MS, 0)], Reason.PROFILE_KIND, id="one that is gone"),
        pytest.param(Kind.CAMERA, [(0, 0)], "camera.line-1.new1", id="a kind that it knows"),
    ],
)
def test_n226_no_machine_is_invited_that_a_controller_of_before_cannot_read(
    fleet, tmp_path, kind, beside, came_to
):
    """Such a row ends each of its looks at the zone, and with them what gateways are told. What is
    asked next is the profile, which is a camera's here.
    """
    assert invited(fleet, tmp_path, kind, *beside) == came_to


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('[["a-reason-to-come", "e", "a", "h"]]', (Reason.INTERNAL,)),
        ('[["magic", "e", "a", "h"], ["\\u0000", "", "", ""]]', (Reason.MAGIC, Reason.INTERNAL)),
        ('[["magic", "e", "a", "h"]]', (Reason.MAGIC,)),
        ("[]", ()),
    ],
    ids=["unknown", "known and unknown", "known", "none"],
)
def test_n226_a_row_with_a_reason_of_a_later_version_is_read(text, reasons):
    read = read_failures(text)
    assert tuple(failure.reason for failure in read) == reasons
    assert all(f.expected == "e" and f.actual == "a" for f in read if f.expected)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE results SET ear_packed = substr(ear_packed, 1, 70)",
        "UPDATE results SET ear_packed = x'00'",
        "UPDATE results SET ear_packed = zeroblob(300)",
        "DELETE FROM ear_headers",
    ],
    ids=["cut off", "one byte", "zeros", "header gone"],
)
def test_n227_a_packed_result_that_was_changed_is_no_result(written, tmp_path, change):
    path = tmp_path / "registry.db"
    shutil.copy(written.path, path)
    with sqlite3.connect(path) as database:
        database.execute(change)
    database.close()
    store = open_registry(path)
    with store.reading() as tx:
        assert tx.evidence.result(written.row["id"]).ear == ""
    store.close()


@pytest.fixture(scope="module")
def written(fleet, tmp_path_factory):
    return Written(fleet, tmp_path_factory.mktemp("written"))


@pytest.mark.parametrize("member", ["device", "profile", "evidence_sha256", "ak_public"])
def test_n227_a_row_that_says_something_else_makes_no_ear_that_verifies(written, member):
    """What the claims repeat is taken from the row, so a changed row is a broken signature."""
    row = SimpleNamespace(**dict(zip(written.row.keys(), written.row, strict=True)))
    header = written.result.ear.partition(".")[0]
    assert unpacked_ear(row.ear_packed, header, row) == written.result.ear
    setattr(row, member, getattr(row, member)[::-1])
    text = unpacked_ear(row.ear_packed, header, row)
    assert text != written.result.ear
    with pytest.raises(FramegateError):
        verify_ear(text, written.root)


@settings(max_examples=40)
@given(st.text(st.characters(codec="ascii"), max_size=400))
def test_n227_no_text_is_packed_that_would_not_come_back(text):
    row = SimpleNamespace(
        id="a" * 32, device="d", profile="p", profile_sha256=b"", evidence_sha256=b"", ak_public=b""
    )
    packed = packed_ear(text, row)
    assert packed is None or unpacked_ear(packed.packed, packed.header, row) == text


_OLD = """
import sys
from pathlib import Path
from framegate.eventlog.quirks import Grants
from framegate.evidence.verify import verify_evidence
from framegate_controller.fleet.evidence import stored_expectation
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import open_registry
store = open_registry(Path(sys.argv[1]))
print(store.schema(), flush=True)
for line in sys.stdin:
    device, = line.split()
    with store.reading() as tx:
        kept = tx.evidence.last(device)
        raw, expected = stored_expectation(tx, kept, Grants())
        print(kept.id, verify_evidence(raw, expected).digest.hex(), flush=True)
"""
"""A controller of before, as far as it reads evidence and verifies it again."""


@pytest.mark.slow
@pytest.mark.plants
def test_n226_a_process_of_before_verifies_again_what_this_version_kept(tmp_path):
    """It has its own schema open; this version migrates it, and a machine attests."""
    (tmp_path / "before").mkdir()
    before = source_of("v0.1.0", tmp_path / "before")
    path = tmp_path / "registry.db"
    with sqlite3.connect(path) as database:
        database.executescript(
            gzip.decompress((RELEASED / "registry.sql.gz").read_bytes()).decode()
        )
        said = json.loads((RELEASED / "exchange.json").read_text())
        database.execute(
            "INSERT INTO controllers VALUES (?, ?, ?)", ("controller-2", "[]", said["at_ms"])
        )
    database.close()
    path.chmod(0o600)
    shutil.copytree(RELEASED / "keys", tmp_path / "keys")
    (tmp_path / "keys").chmod(0o700)
    for file in (tmp_path / "keys").iterdir():
        file.chmod(0o600)
    old = subprocess.Popen(
        [sys.executable, "-c", _OLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(str(before)),
    )
    try:
        schema = old.stdout.readline().strip()
        store = open_registry(path, lambda: said["at_ms"])
        assert schema < store.schema()
        desk = Desk(store, load_fleet(tmp_path / "keys"), lambda: said["at_ms"])
        state, evidence = (bytes.fromhex(said[name]) for name in ("state", "evidence"))
        with store.writing() as tx:  # or the same would only be seen again
            last, _ = tx.evidence.last_content(said["device"])
            tx.evidence.prune(said["device"], said["at_ms"] + 1)
        assert desk.verifier.complete_attest(state, evidence, said["device"]).state == "trusted"
        with store.reading() as tx:
            kept = tx.evidence.last(said["device"])
        store.close()
        print(said["device"], file=old.stdin, flush=True)
        identifier, digest = old.stdout.readline().split()
        assert identifier == kept.id != last and digest == sha256(evidence).hex()
    finally:
        old.stdin.close()
        assert old.wait(60) == 0
        old.stdout.close()


_OLD_RECORD = """
import json, sys
from framegate.behaviour.deed import deed_of
from framegate.errors import Reason
from framegate.ocsf.event import ocsf_event
from framegate.ocsf.logged import LoggedEvent
from framegate.playbooks.sighting import sighting_of
from framegate.record.events import events
from framegate_proto.edge import from_failures
from framegate_proto.v1 import framegate_pb2 as pb
unknown = set()
for line in sys.stdin:
    body = json.loads(line)
    unknown |= {body["event"]} - set(events())
    ocsf_event(LoggedEvent.parse("plant", line.rstrip().encode()))
    deed_of(body["index"], body)
    sighting_of(body)
(failure,) = from_failures([pb.Failure(reason="payload-stale", expected="e")])
assert failure.reason == Reason.INTERNAL and failure.expected == "e"
print(*sorted(unknown))
"""
"""What one of before makes of a record that it follows: events for a SIEM, deeds, sightings."""


@pytest.mark.slow
def test_n226_a_process_of_before_reads_what_this_version_records(tmp_path):
    """Events that it does not know are told as such, and reasons read as internal."""
    before = source_of("v0.1.0", tmp_path)
    entries = [e for e in every_entry() if b'"kind":"event"' in e]
    done = subprocess.run(
        [sys.executable, "-c", _OLD_RECORD],
        input=b"\n".join(entries).decode() + "\n",
        capture_output=True,
        text=True,
        env=environment(str(before)),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {"site-withdrawn", "log-forked", "witness-behind"} <= set(done.stdout.split())
