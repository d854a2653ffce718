"""A verifier with a clock of its own, and shortcuts through its protocol."""

import contextlib
import json
import sqlite3
from collections.abc import Sequence

from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate.record.entry import Act
from framegate.registry.device import Device
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.attestation import Verifier, VerifierState
from framegate_controller.fleet.devices import change_state
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.fleet.together import Asked, Outcome, Together
from framegate_controller.store.database import Database
from framegate_controller.store.engines import SqliteEngines
from framegate_controller.store.ports import EntryQuery
from framegate_controller.store.shared.quotas import MachineRates
from framegate_controller.store.sharing import sharing_of
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.tpm import TpmMaker
from support.clock import Clock


class Bench:
    """A verifier with two firmware profiles and one trusted TPM maker, and shortcuts through
    its protocol.
    """

    def __init__(self, store: Database, fleet: Fleet, maker: TpmMaker) -> None:
        self.store, self.fleet, self.maker = store, fleet, maker
        shared = sharing_of(store, fleet.controller, MachineRates.of(fleet.timing))
        state = VerifierState(
            tries=shared.tickets, begins=shared.begins, devices=shared.devices, spent=shared.spent
        )
        self.verifier = Verifier(store, fleet, state=state)

    @property
    def keys(self) -> FleetKeys:
        return self.fleet.keys

    @property
    def clock(self) -> Clock:
        assert isinstance(self.fleet.clock, Clock)
        return self.fleet.clock

    def invite(
        self,
        name: str = "cam1",
        *,
        kind: Kind = Kind.CAMERA,
        ek: bytes | None = None,
        code: bytes = b"\x01" * 16,
        life_s: int = 3600,
        replaces: bool = False,
    ) -> bytes:
        invitation = Invitation(
            kind=kind,
            zone="line-1",
            name=name,
            profile=f"simulated-{kind}",
            ek_sha256=ek,
            code=code,
            life_s=life_s,
            replaces=replaces,
        )
        with self.store.writing() as tx:
            tx.act = Act(actor="operator.anna")
            invite(tx, invitation)
        return code

    def forge(self, kind: str = "camera") -> Forge:
        return Forge(self.maker, Firmware(f"simulated-{kind}"))

    def join(self, forge: Forge, code: bytes = b"", peer: str = "ipv4:10.0.0.1") -> Answer:
        hello = forge.hello(code)
        begun = self.verifier.begin_join(hello, peer)
        mac, evidence = forge.answer(self.fleet.digest, hello, begun.challenge)
        return self.verifier.complete_join(begun.state, mac, evidence)

    def enrol(self, name: str = "cam1", kind: Kind = Kind.CAMERA) -> Forge:
        forge = self.forge(kind)
        code = self.invite(name, kind=kind, ek=forge.ek_sha256, code=name.encode().ljust(16, b"."))
        answer = self.join(forge, code)
        assert answer.state == "trusted", answer
        return forge

    def attest(
        self, forge: Forge, device: str = "camera.line-1.cam1", *, known_log: bool = False
    ) -> Answer:
        hello = forge.attest_hello(known_log=known_log)
        begun = self.verifier.begin_attest(hello, device)
        _, evidence = forge.answer(self.fleet.digest, hello, begun.challenge, join=False)
        return self.verifier.complete_attest(begun.state, evidence, device)

    def told(self, asked: Sequence[Asked]) -> list[Outcome]:
        """What each of those is told who ask the fleet port at once."""
        pieces = list(Together(self.verifier).answer(asked))
        told = {place: outcome for piece in pieces for place, outcome in piece.items()}
        assert sum(map(len, pieces)) == len(told) == len(asked), "each was told once"
        return [told[place] for place in range(len(asked))]

    def device(self, device: str = "camera.line-1.cam1") -> Device:
        with self.store.reading() as tx:
            row = tx.devices.get(device)
            assert row is not None
            return row

    def state(self, device: str = "camera.line-1.cam1") -> str:
        return self.device(device).state

    def move(self, edge: Edge, device: str = "camera.line-1.cam1") -> None:
        """Take an edge as an operator does."""
        with self.store.writing() as tx:
            tx.act = Act(actor="operator.anna")
            row = tx.devices.get(device)
            assert row is not None
            change_state(tx, row, edge)

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """What somebody with the database does behind the controller's back."""
        if not isinstance(self.store.engines, SqliteEngines):
            with self.store.engines.begin(writes=True).connection as there:
                done = there.exec_driver_sql(statement.replace("?", "%s"), values)
                rows = [tuple(row) for row in done] if done.returns_rows else []
                there.commit()
                return rows
        with contextlib.closing(sqlite3.connect(self.store.path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def events(self, name: str = "", device: str = "") -> list[dict[str, object]]:
        """Entries of the record, oldest first."""
        with self.store.reading() as tx:
            stored = tx.log.entries(
                EntryQuery(event=name, device=device), first=0, below=tx.log.size(), most=10_000
            )
            return [json.loads(e.entry) for e in stored]
