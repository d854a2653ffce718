"""A fleet whose log of decisions real witnesses cosign over HTTP, and who demands that."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framegate.errors import Reason, Unavailable
from framegate.machines.model import ModelState
from framegate.registry.model import Model
from framegate.transparency.cosignature import Quorum
from framegate.transparency.head import TreeHead, sign_head
from framegate_controller.clockwork.cosigning import Ask, Cosigning
from framegate_controller.clockwork.witness_http import asking
from framegate_controller.inspection.models import approve_model, pin_model
from framegate_controller.record import decisions
from framegate_gateway.trust.decided import DecidedView, decided_view
from framegate_host.cosigned_log import CosignedLog
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_witness.service import WitnessServer
from framegate_witness.state import WitnessState, make_witness, watch_log
from support.bench import Bench

MODEL = "ab" * 32
ZONE = "line-1"


class Witness:
    """A witness in a folder, run in this process by its real server."""

    def __init__(self, folder: Path, name: str, clock: Callable[[], float] = time.time) -> None:
        self.folder, self.name, self.clock = folder, name, clock
        self.key = make_witness(folder, name)
        self.server: WitnessServer | None = None

    def start(self, also: Path | None = None) -> None:
        state = WitnessState(self.folder, also, self.clock)
        self.server = WitnessServer(("127.0.0.1", 0), state)
        # asked often whether it is to end: tests end many
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server.state.close()
            self.server = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def ask(self, body: bytes):
        """As the controller asks it, wherever it listens now."""
        if self.server is None:
            raise Unavailable.of(Reason.UNAVAILABLE, self.name, "nobody listens")
        return asking(self.url)(body)


class Decided:
    """A controller's decisions, two witnesses, and gateways that demand them."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder, self.seconds = bench, folder, 0.0
        with bench.store.writing() as tx:
            self.key = decisions.decisions_key(tx, bench.keys)
        self.witnesses = [
            Witness(folder / f"w{n}", f"witness.example/w{n}", lambda: bench.clock() / 1000)
            for n in (1, 2)
        ]
        for witness in self.witnesses:
            watch_log(witness.folder, self.key)
            witness.start()
        self.turns = [self.cosigning(w, w.ask) for w in self.witnesses]

    def cosigning(self, witness: Witness, ask: Ask) -> Cosigning:
        return Cosigning(self.bench.store, self.bench.fleet, witness.key, ask, lambda: self.seconds)

    def cosign(self, *which: int) -> None:
        """A turn of these witnesses, all by default, however long ago the last failure was."""
        self.seconds += 100
        for number in which or range(len(self.turns)):
            self.turns[number].turn()

    def approve(self, digest: str = MODEL, version: int = 1) -> Model:
        model = Model(
            digest=digest,
            name="seals",
            version=version,
            signer="data",
            anchor="key:",
            files={},
            recipe=b"{}",
            card=b"",
            state=ModelState.REGISTERED,
            registered_by="anna",
            approved_by=(),
            at_ms=self.bench.clock(),
        )
        with self.bench.store.writing() as tx:
            return approve_model(tx, model, ("anna", "bert"))

    def promote(self, model: Model) -> None:
        with self.bench.store.writing() as tx:
            pin_model(tx, self.bench.keys, ZONE, model, rollback=False)

    def access(self) -> pb.AccessUpdate:
        """What the feed would tell a gateway of the zone."""
        with self.bench.store.reading() as tx:
            pin = tx.models.pin(ZONE)
            return pb.AccessUpdate(
                policy=tx.policies.current().envelope,
                model_pin=pin.envelope if pin is not None else b"",
            )

    def quorum(self, least: int = 2, within_s: int = 7200) -> Quorum:
        return Quorum(least, tuple(w.key for w in self.witnesses), within_s)

    def gateway(self, name: str = "gateway", least: int = 2, within_s: int = 7200) -> DecidedView:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        root = self.bench.keys.root.certificate
        view = decided_view(folder, self.quorum(least, within_s), lambda: root)
        assert view is not None
        return view

    def answer(self, log: CosignedLog, least: int = 1):
        """What the controller shows who knows `log`."""
        seen = (log.seen.origin, log.seen.size) if log.seen is not None else ("", 0)
        with self.bench.store.reading() as tx:
            return decisions.answer(tx, self.bench.keys, seen=seen, wanted=log.wanted, least=least)

    def show(self, view: DecidedView, least: int = 1) -> None:
        """The gateway asks, and takes what it is shown."""
        answer = self.answer(view.log, least)
        if answer is not None:
            view.log.take(answer, self.bench.keys.root.certificate, self.bench.clock())

    def forked_head(self, size: int, root: bytes = b"\x07" * 32) -> bytes:
        """Another head of this log, signed with its real key: the controller lies."""
        head = TreeHead(self.key.name, size, root)
        return sign_head(head, self.key, self.bench.keys.signing["log"].sign)

    @property
    def size(self) -> int:
        with self.bench.store.reading() as tx:
            return tx.decisions.size()


@pytest.fixture
def decided(bench: Bench, tmp_path: Path) -> Iterator[Decided]:
    fleet = Decided(bench, tmp_path)
    yield fleet
    for witness in fleet.witnesses:
        with contextlib.suppress(OSError):
            witness.stop()


def fork_files(folder: Path) -> list[dict[str, str]]:
    """Both heads of each fork that a witness or a gateway kept."""
    paths = [*folder.rglob("forks/*"), *folder.rglob("*.forked")]
    return [json.loads(p.read_text()) for p in paths if p.is_file()]
