"""What a released version wrote is read by this one: `tests/vectors/released/`, a folder a version,
made by its `freeze.py`. A change that breaks one of these breaks plants that are running.
"""

import gzip
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf.json_format import MessageToDict

from framegate.errors import FramegateError
from framegate.record.entry import Act
from framegate_agent.state import StateFile
from framegate_controller.ca.open import load_fleet
from framegate_controller.record.check import check_record
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.restore import Ask, restore_backup
from framegate_controller.store.database import open_registry, open_store
from framegate_controller.store.transfer import move_rows
from framegate_gateway.receipts.rows import stored_leaves
from framegate_gateway.receipts.store import ReceiptStore
from framegate_line.ledger import Ledger
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.chaos.desk import Desk
from support.messages import shapes
from support.paths import ROOT
from support.plain import lost, plain
from support.stored_values import KEPT

FOLDER = ROOT / "tests/vectors/released"
VERSIONS = sorted(p.name for p in FOLDER.iterdir() if p.is_dir() and p.name[0].isdigit())


class Released:
    """What one version left, and copies of it to work on."""

    def __init__(self, version: str, tmp_path: Path) -> None:
        self.folder, self.work = FOLDER / version, tmp_path

    def body(self, name: str):
        return json.loads((self.folder / f"{name}.json").read_text())

    def database(self, name: str, at: Path) -> Path:
        """A SQLite file out of its dump."""
        at.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(at)
        connection.executescript(
            gzip.decompress((self.folder / f"{name}.sql.gz").read_bytes()).decode()
        )
        connection.close()
        at.chmod(0o600)
        return at

    def registry(self) -> Path:
        return self.database("registry", self.work / "controller" / "registry.db")

    def keys(self):
        keys = self.work / "keys"
        if not keys.exists():
            shutil.copytree(self.folder / "keys", keys)
            keys.chmod(0o700)
            for file in keys.iterdir():
                file.chmod(0o600)
        return load_fleet(keys)


@pytest.fixture(params=VERSIONS)
def released(request, tmp_path):
    return Released(request.param, tmp_path)


def require_values(released, store) -> None:
    with store.reading() as tx:
        for cls, (_, get) in KEPT.items():
            before = released.body("values").get(cls.__name__)
            if before is None:
                continue  # a kind that came later
            now = get(tx, SimpleNamespace(**{k: unpacked(v) for k, v in before.items()}))
            assert lost(before, plain(now), cls.__name__) == []


def unpacked(value):
    packed = isinstance(value, str) and value.startswith("hex:")
    return bytes.fromhex(value.removeprefix("hex:")) if packed else value


def test_n88_rows_of_a_released_version_are_read_and_its_record_verifies(released):
    store = open_registry(released.registry())
    require_values(released, store)
    with store.reading() as tx:
        assert check_record(tx, released.keys()).entries > 10
    with store.writing() as tx:
        tx.raise_revision()
    store.close()


def test_n88_rows_of_a_released_version_go_to_a_database(released, new_database):
    there = StoreAt(released.work / "controller", new_database())
    move_rows(StoreAt(released.registry().parent), there)
    store = open_store(there)
    require_values(released, store)
    with store.reading() as tx:
        assert check_record(tx, released.keys()).entries > 10
    store.close()


def test_n88_a_backup_of_a_released_version_is_restored(released):
    archive = released.work / "backup.tar"
    archive.touch(0o600)
    archive.write_bytes(gzip.decompress((released.folder / "backup.tar.gz").read_bytes()))
    released.keys()
    to = released.work / "restored"
    passphrase = released.work / "keys" / "passphrase"
    ask = Ask(
        at=StoreAt(to), passphrase_file=passphrase, root=None, seen=(), act=Act(actor="host.a")
    )
    restore_backup(archive, ask)
    store = open_registry(to / "registry.db")
    with store.reading() as tx:
        assert check_record(tx, released.keys()).entries > 10
    store.close()


def test_n88_a_machine_of_a_released_version_attests(released):
    said = released.body("exchange")
    desk = Desk(
        open_registry(released.registry(), lambda: said["at_ms"]),
        released.keys(),
        lambda: said["at_ms"],
    )
    state, evidence = (bytes.fromhex(said[name]) for name in ("state", "evidence"))
    with pytest.raises(FramegateError):
        desk.verifier.complete_attest(state[:-1] + bytes([state[-1] ^ 1]), evidence, said["device"])
    answer = desk.verifier.complete_attest(state, evidence, said["device"])
    assert (answer.state, answer.failures) == ("trusted", ())
    desk.store.close()


def test_n88_evidence_of_a_released_version_that_was_changed_is_refused(released):
    said = released.body("exchange")
    desk = Desk(
        open_registry(released.registry(), lambda: said["at_ms"]),
        released.keys(),
        lambda: said["at_ms"],
    )
    state, evidence = (bytes.fromhex(said[name]) for name in ("state", "evidence"))
    changed = evidence[:40] + bytes([evidence[40] ^ 1]) + evidence[41:]
    answer = desk.verifier.complete_attest(state, changed, said["device"])
    assert answer.certificate is None and answer.failures
    desk.store.close()


def test_messages_and_calls_of_a_released_version_are_what_they_were(released):
    before = released.body("messages")["shapes"]
    assert lost(before, json.loads(json.dumps(shapes(pb.DESCRIPTOR)))) == []


def test_bytes_of_every_message_of_a_released_version_say_what_they_said(released):
    for name, full in released.body("messages")["full"].items():
        message = getattr(pb, name).FromString(bytes.fromhex(full["bytes"]))
        assert (
            lost(full["says"], MessageToDict(message, preserving_proto_field_name=True), name) == []
        )


def test_a_member_that_went_or_changed_its_number_is_seen():
    now = json.loads(json.dumps(shapes(pb.DESCRIPTOR)))
    for change in ([99, 9, False, ""], [1, 12, False, ""], [1, 9, True, ""]):
        before = json.loads(json.dumps(now))
        before["messages"]["AttestationReply"]["device"] = change
        assert lost(before, now)
    del now["messages"]["AttestationReply"]["device"]
    assert lost(json.loads(json.dumps(shapes(pb.DESCRIPTOR))), now)


def test_n88_receipts_of_a_released_version_are_read(released):
    file = released.database("receipts", released.work / "state" / "receipts.db")
    store = ReceiptStore(file.parent)
    with store.reading() as connection:
        rows = list(stored_leaves(connection, "ORDER BY leaves.number", ()))
    assert [{"id": r.id, "part": r.part, "leaf": r.leaf.hex()} for r in rows] == released.body(
        "receipts"
    )["leaves"]
    assert store.next_number() == len(rows) + 1
    store.close()


def test_n88_a_ledger_of_a_released_version_goes_on(released):
    book = Ledger(released.database("ledger", released.work / "line" / "ledger.db"), "press-7")
    said = released.body("ledger")
    assert lost(said["parts"], [plain(row) for row in book.latest(10)]) == []
    assert lost(said["counts"], plain(book.counts())) == []
    assert [part.key.part for part in book.left_open()] == ["part-3"]
    book.close()


def test_an_agents_state_of_a_released_version_is_read(released):
    (released.work / "agent.json").write_text((released.folder / "agent.json").read_text())
    released.work.chmod(0o700)
    assert (
        lost(released.body("agent"), json.loads(json.dumps(plain(StateFile(released.work).load()))))
        == []
    )


def test_records_and_derivations_of_a_released_version_are_what_they_were(released):
    sys.path.insert(0, str(ROOT / "tests/vectors"))
    try:
        import build
    finally:
        sys.path.remove(str(ROOT / "tests/vectors"))
    assert lost(released.body("protocol"), json.loads(json.dumps(build.vectors()))) == []


def test_every_released_version_is_kept_whole():
    for version in VERSIONS:
        names = {p.name for p in (FOLDER / version).iterdir()}
        assert {"registry.sql.gz", "exchange.json", "messages.json", "backup.tar.gz"} <= names
