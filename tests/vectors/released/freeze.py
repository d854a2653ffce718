"""Keep what this version writes, for the versions after it: a step of making a release.

    python tests/vectors/released/freeze.py

writes a folder of the version's name: a controller's registry with a value of each kind, its keys,
a backup, a challenge with its evidence, every message of the wire, a gateway's receipts, a line's
ledger, an agent's state. `tests/threats/test_released.py` reads each of these folders with the code
of now. It never writes over a folder: what was released does not change.
"""

import asyncio
import gzip
import json
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from google.protobuf.json_format import MessageToDict  # noqa: E402

from framegate.signed.statement import Outcome  # noqa: E402
from framegate_agent import VERSION  # noqa: E402
from framegate_agent.state import AgentState  # noqa: E402
from framegate_controller.registry_address import StoreAt  # noqa: E402
from framegate_controller.restoration.backup import Source, take_backup  # noqa: E402
from framegate_controller.store.database import open_registry  # noqa: E402
from framegate_gateway.receipts.rows import stored_leaves  # noqa: E402
from framegate_gateway.receipts.store import ReceiptStore  # noqa: E402
from framegate_line.ledger import SENT, Ledger  # noqa: E402
from framegate_line.rules import Ruling, Trigger  # noqa: E402
from framegate_proto.v1 import framegate_pb2 as pb  # noqa: E402
from framegate_simulators.chaos.cell import Clock, Founded, found  # noqa: E402
from framegate_simulators.chaos.desk import Desk, device_of  # noqa: E402
from framegate_simulators.chaos.receipts_faults import GatewayCell  # noqa: E402
from support.messages import filled, shapes  # noqa: E402
from support.plain import built, plain  # noqa: E402
from support.stored_values import KEPT  # noqa: E402

LINE = "press-7"


def main() -> None:
    """Write the folder of this version."""
    out = HERE / VERSION
    if out.exists():
        raise SystemExit(f"{out} is there: what was released does not change")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        fleet = found(work / "fleet")
        out.mkdir()
        take_backup(Source(at=StoreAt(fleet.folder), passphrase_file=None), work / "backup.tar")
        (out / "backup.tar.gz").write_bytes(packed((work / "backup.tar").read_bytes()))
        write(out / "values.json", values(fleet))
        write(out / "exchange.json", exchange(fleet))
        shutil.copytree(fleet.folder / "keys", out / "keys")
        (out / "registry.sql.gz").write_bytes(dump(fleet.folder / "registry.db"))
        write(out / "messages.json", messages())
        write(out / "receipts.json", asyncio.run(receipts(fleet, work)))
        (out / "receipts.sql.gz").write_bytes(dump(work / "gateway" / "state" / "receipts.db"))
        write(out / "ledger.json", ledger(work / "line"))
        (out / "ledger.sql.gz").write_bytes(dump(work / "line" / "ledger.db"))
        write(out / "agent.json", asdict(built(AgentState, 7)))
        shutil.copy(ROOT / "tests/vectors/protocol/v1.json", out / "protocol.json")


def values(fleet: Founded) -> dict[str, object]:
    """A value of each kind in the registry, and what they are."""
    kept: dict[str, object] = {}
    store = open_registry(fleet.folder / "registry.db")
    for number, (cls, (put, _)) in enumerate(KEPT.items()):
        value = built(cls, 1 + 100 * number)
        with store.writing() as tx:
            put(tx, value)
        kept[cls.__name__] = plain(value)
    store.close()
    return kept


def exchange(fleet: Founded) -> dict[str, object]:
    """A machine of this version attests: its Hello, the challenge, its evidence. They are of the
    moment `at_ms`, at which the registry is as it is kept.
    """
    clock, forge = Clock(fleet.made_ms), fleet.machines["cam1"]
    store = open_registry(fleet.folder / "registry.db", clock)
    desk = Desk(store, fleet.keys, clock)
    hello = forge.attest_hello(known_log=True)
    begun = desk.verifier.begin_attest(hello, device_of("cam1"))
    _, evidence = forge.answer(desk.fleet.digest, hello, begun.challenge, join=False)
    store.close()
    raw = {"hello": hello, "challenge": begun.challenge, "state": begun.state, "evidence": evidence}
    return {"at_ms": clock(), "device": device_of("cam1"), **{k: v.hex() for k, v in raw.items()}}


def messages() -> dict[str, object]:
    """Every message and call of the wire: its members' numbers and types, and one that is full."""
    full = {}
    for name in pb.DESCRIPTOR.message_types_by_name:
        message = filled(getattr(pb, name)())
        body = MessageToDict(message, preserving_proto_field_name=True)
        full[name] = {"bytes": message.SerializeToString(deterministic=True).hex(), "says": body}
    return {"shapes": shapes(pb.DESCRIPTOR), "full": full}


async def receipts(fleet: Founded, work: Path) -> dict[str, object]:
    """A gateway's receipts, signed; their ids and parts."""
    cell = GatewayCell(fleet.keys, work / "gateway")
    store = ReceiptStore(work / "gateway" / "state")
    await cell.live(store, lambda _: None, range(9))
    store.settle()
    with store.reading() as connection:
        rows = list(stored_leaves(connection, "ORDER BY leaves.number", ()))
    store.close()
    return {"leaves": [{"id": r.id, "part": r.part, "leaf": r.leaf.hex()} for r in rows]}


def ledger(folder: Path) -> dict[str, object]:
    """A line's parts: one that was let through, one that was not, one that is open."""
    book = Ledger(folder / "ledger.db", LINE)
    for number, outcome in enumerate((Outcome.PASS, Outcome.UNINSPECTED, None), 1):
        part = book.open_part(Trigger(f"part-{number}", "t", number), 1_000, 1_000, 2_000)
        if outcome is not None:
            book.decide(part, Ruling(outcome, "" if outcome == Outcome.PASS else "timeout"), 1_500)
            book.emitted(part, SENT)
    said = {"parts": [plain(row) for row in book.latest(10)], "counts": plain(book.counts())}
    book.close()
    return said


def dump(file: Path) -> bytes:
    """A SQLite file as SQL, compressed."""
    connection = sqlite3.connect(file)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    text = "\n".join([*connection.iterdump(), f"PRAGMA user_version = {version};"])
    connection.close()
    return packed(text.encode())


def packed(data: bytes) -> bytes:
    """Compressed, the same for the same bytes."""
    return gzip.compress(data, 9, mtime=0)


def write(file: Path, body: object) -> None:
    """As JSON, a member a line."""
    file.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
