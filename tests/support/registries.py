"""A controller's folder that goes on, is copied, is put back and is restored, without its ports."""

import json
import shutil
from pathlib import Path

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.record.entry import Act
from framegate.record.following import LogPosition
from framegate.record.machine_events import DeviceMoved
from framegate.record.verify import LogAnchor
from framegate.record.witness import head_line
from framegate.signed.receipt import Checkpoint
from framegate_controller.ca.open import load_fleet
from framegate_controller.record.ledger import checkpoint, position
from framegate_controller.registry_address import StoreAt
from framegate_controller.restoration.backup import Source, take_backup
from framegate_controller.restoration.restore import (
    Ask,
    Restored,
    restore_backup,
    restore_in_place,
)
from framegate_controller.store.database import open_registry
from framegate_controller.store.ports import EntryQuery
from framegate_simulators.fixtures import controller
from support.founded import found_controller


class Registry:
    """A founded fleet's folder; `another`: not the fleet of all others here. `grow` is the life of
    its record; `put_back` a silent old copy.
    """

    def __init__(self, folder: Path, *, another: bool = False) -> None:
        self.folder = folder
        if not (folder / "keys").exists():
            (controller.found_controller if another else found_controller)(folder)
        self.keys = load_fleet(folder / "keys")
        self.anchor = LogAnchor(root=self.keys.root.certificate)

    def store(self):
        return open_registry(self.folder / "registry.db")

    def change(self, work):
        store = self.store()
        try:
            with store.writing() as tx:
                return work(tx)
        finally:
            store.close()

    def grow(self, entries: int = 5, why: str = "life") -> bytes:
        """So many more entries; the head over them."""

        def work(tx) -> bytes:
            for number in range(entries):
                moved = DeviceMoved(
                    device=f"camera.line-1.cam{number}",
                    edge=Edge.LATE,
                    before=State.TRUSTED,
                    after=State.STALE,
                    why=why,
                )
                tx.record(moved, by="operator.anna")
                tx.raise_revision()
            return checkpoint(tx, self.keys)

        return self.change(work)

    def shows(self, seen: Checkpoint | None) -> LogPosition:
        """Where the record stands, for who saw this head."""
        size, restored = (seen.size, seen.restorations) if seen is not None else (0, 0)
        return self.change(lambda tx: position(tx, checkpoint(tx, self.keys), size, restored))

    def backup(self, out: Path) -> Path:
        take_backup(Source(at=StoreAt(self.folder), passphrase_file=None), out)
        return out

    @property
    def passphrase(self) -> Path:
        return self.folder / "keys" / "passphrase"

    def copy(self, to: Path) -> Path:
        return shutil.copytree(self.folder, to)

    def put_back(self, copy: Path) -> None:
        """What somebody does who restores an old copy of the folder, or of the whole machine."""
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)

    def ask(self, *seen: Path, **more) -> Ask:
        state = more.pop("state", self.folder)
        given = {"at": StoreAt(state), "passphrase_file": None, "root": None, **more}
        return Ask(seen=seen, act=Act(actor="host.anna"), **given)

    def made_good(self, *seen: Path) -> Restored:
        return restore_in_place(self.ask(*seen))

    def restored(self, archive: Path, to: Path, *seen: Path) -> "Registry":
        """Another machine's folder, out of a backup."""
        ask = self.ask(*seen, state=to, passphrase_file=self.passphrase)
        self.last = restore_backup(archive, ask)
        shutil.copy(self.passphrase, to / "keys" / "passphrase")
        return Registry(to)


def export(registry: Registry) -> list[bytes]:
    """The whole record with its last head."""
    head = registry.grow(0)
    store = registry.store()
    with store.reading() as tx:
        rows = tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=10_000)
    store.close()
    header = {"format": "framegate-audit-1", "fleet": "plant", "entries": len(rows)}
    return [json.dumps(header).encode(), *(r.entry for r in rows), head_line(head)]
