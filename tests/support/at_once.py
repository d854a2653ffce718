"""Machines that ask the fleet port at once, without the port."""

from framegate.errors import FramegateError
from framegate.wire import sha256
from framegate_controller.fleet.attestation import OfferedEvidence, Verifier
from framegate_controller.fleet.challenges import SignedChallenge
from framegate_controller.fleet.together import Answered, AskedChallenge, Outcome
from framegate_simulators.fixtures.controller import without_quota
from support.bench import Bench

NAMES = ("cam1", "cam2", "cam3")
STRANGER = sha256(b"nobody's key")


def device_of(name: str) -> str:
    return f"camera.line-1.{name}"


class Machines:
    """Three cameras that are enrolled."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.forges = {name: bench.enrol(name) for name in NAMES}
        state = without_quota(bench.fleet.timing)  # some attest dozens of times
        bench.verifier = Verifier(bench.store, bench.fleet, state=state)

    def key(self, name: str) -> bytes:
        return sha256(self.forges[name].tls.public.spki())

    def hello(self, name: str) -> AskedChallenge:
        return AskedChallenge(self.key(name), self.forges[name].attest_hello(known_log=True))

    def offer(self, name: str) -> OfferedEvidence:
        """Evidence that answers a challenge of its own."""
        asked = self.hello(name)
        (challenge,) = self.bench.told([asked])
        assert isinstance(challenge, SignedChallenge), challenge
        _, evidence = self.forges[name].answer(
            self.bench.fleet.digest, asked.hello, challenge.challenge, join=False
        )
        return OfferedEvidence(asked.key_sha256, challenge.state, evidence)

    def attested(self) -> list[object]:
        """Devices of the record's attestations on the fleet port, in their order."""
        return [e["device"] for e in self.bench.events("attested")][len(NAMES) :]


def said(outcome: Outcome) -> str:
    """In short: the state it is in, or why it was refused."""
    if isinstance(outcome, Answered):
        return str(outcome.answer.state)
    return outcome.reason if isinstance(outcome, FramegateError) else type(outcome).__name__
