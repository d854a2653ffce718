"""What machines ask of a controller, without ports between them, one by one or at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from framegate.errors import FramegateError
from framegate.wire import sha256
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.attestation import OfferedEvidence, Verifier
from framegate_controller.fleet.challenges import SignedChallenge
from framegate_controller.fleet.together import Answered, AskedChallenge, Outcome, Together
from framegate_controller.store.database import Database
from framegate_controller.timing import Timing
from framegate_simulators.fixtures.controller import without_quota
from framegate_simulators.forge.forge import Forge

PEER: Final = "ipv4:10.0.0.1:1"
Asked = Callable[[str], None]


def code_of(name: str) -> bytes:
    """The code of a machine's ticket."""
    return sha256(name.encode())[:16]


def device_of(name: str) -> str:
    """Its id."""
    return f"camera.line-1.{name}"


class Desk:
    """A verifier on a store, as a controller's ports ask it."""

    def __init__(self, store: Database, keys: FleetKeys, clock: Callable[[], int]) -> None:
        timing = Timing()
        ring = FolderKeyRing(keys)
        self.store, self.clock = store, clock
        self.fleet = Fleet(ring=ring, timing=timing, clock=clock, controller="controller-1")
        self.verifier = Verifier(store, self.fleet, state=without_quota(timing))

    def join(self, forge: Forge, name: str, asked: Asked = lambda _: None) -> Answer:
        """By its EK where it has joined, else by its ticket."""
        with self.store.reading() as tx:
            device = tx.devices.get(device_of(name))
        known = device is not None and device.tpm is not None
        hello = forge.hello(b"" if known else code_of(name))
        begun = self.verifier.begin_join(hello, PEER)
        mac, evidence = forge.answer(self.fleet.digest, hello, begun.challenge)
        asked(sha256(evidence).hex())
        return self.verifier.complete_join(begun.state, mac, evidence)

    def attest(self, forge: Forge, name: str, asked: Asked = lambda _: None) -> Answer:
        """On the fleet port; `asked` is told the evidence's digest before it is sent."""
        hello = forge.attest_hello(known_log=True)
        begun = self.verifier.begin_attest(hello, device_of(name))
        _, evidence = forge.answer(self.fleet.digest, hello, begun.challenge, join=False)
        asked(sha256(evidence).hex())
        return self.verifier.complete_attest(begun.state, evidence, device_of(name))

    def attest_together(
        self, forges: Mapping[str, Forge], asked: Callable[[str, str], None]
    ) -> Mapping[str, Answered | FramegateError]:
        """The same for several machines that ask at once, as the fleet port answers them: what each
        is told; `asked` is told its name and its evidence's digest. Raises FramegateError where one
        gets no challenge.
        """
        names, begun = list(forges), self._challenged(forges)
        offers = []
        for name in names:
            hello, key, challenge = begun[name]
            _, evidence = forges[name].answer(
                self.fleet.digest, hello, challenge.challenge, join=False
            )
            asked(name, sha256(evidence).hex())
            offers.append(OfferedEvidence(key, challenge.state, evidence))
        outcomes = _outcomes(self.verifier, offers)
        told: dict[str, Answered | FramegateError] = {}
        for place, name in enumerate(names):
            outcome = outcomes[place]
            if not isinstance(outcome, Answered | FramegateError):
                raise AssertionError(f"an answer or a refusal was expected, {outcome!r} came")
            told[name] = outcome
        return told

    def _challenged(self, forges: Mapping[str, Forge]) -> dict[str, _Begun]:
        hellos = {name: forge.attest_hello(known_log=True) for name, forge in forges.items()}
        with self.store.reading() as tx:
            machines = {name: tx.devices.get(device_of(name)) for name in forges}
        keys = {n: m.tls.spki_sha256 if m and m.tls else b"" for n, m in machines.items()}
        asked = [AskedChallenge(keys[name], hellos[name]) for name in forges]
        begun: dict[str, _Begun] = {}
        for name, outcome in zip(forges, _outcomes(self.verifier, asked).values(), strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, SignedChallenge)
            begun[name] = _Begun(hellos[name], keys[name], outcome)
        return begun


class _Begun(NamedTuple):
    """A machine that was given a challenge: what it said, by which key it is known."""

    hello: bytes
    key_sha256: bytes
    challenge: SignedChallenge


def _outcomes(
    verifier: Verifier, asked: Sequence[AskedChallenge | OfferedEvidence]
) -> dict[int, Outcome]:
    told = list(Together(verifier).answer(asked))
    return dict(sorted((place, outcome) for some in told for place, outcome in some.items()))
