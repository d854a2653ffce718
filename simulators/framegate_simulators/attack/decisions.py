"""N203 to N205: the log of decisions, by whoever holds the fleet's own keys: two histories for a
witness and a machine, a witness from an old copy or twice, and what nobody logged.
"""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.transparency.cosignature import Quorum
from framegate.transparency.decision import Kind, Named
from framegate.transparency.following import LogAnswer
from framegate.transparency.head import TreeHead, log_key, parse_head, sign_head
from framegate.transparency.note import parse_note, parse_note_key
from framegate.transparency.proof import Inclusion
from framegate.transparency.submission import Submission
from framegate.wire import sha256
from framegate_host.cosigned_log import CosignedLog
from framegate_proto.decisions import from_decisions, to_fetch_decisions
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.witness import PlantWitness

COSIGNED_S: Final = 60.0
WITHIN_S: Final = 7_200


class _Watched:
    """The target's log with a witness; its controller is started again with that."""

    def __init__(self, t: Target) -> None:
        self._t, plant = t, t.plant
        self.witness = PlantWitness(plant)
        self.witness.start()
        plant.stop("controller")
        plant.start_controller(*plant.controller_options, "--cosigner", self.witness.cosigner)
        wait_for("a cosigned head", lambda: plant.ask("log", "show")["published"], COSIGNED_S)

    def close(self) -> None:
        """End the witness."""
        self.witness.stop()

    def shown(self) -> dict[str, Any]:
        """The log as the controller shows it to operators."""
        shown: dict[str, Any] = self._t.plant.ask("log", "show")
        return shown

    def signed(self, size: int, root: bytes) -> bytes:
        """A head of this log that never was, signed with its real key."""
        signer = self._t.keys.signing["log"]
        origin = parse_head(parse_note(self.shown()["head"].encode()).text).origin
        key = log_key(origin, signer.key.public_key())
        return sign_head(TreeHead(origin, size, root), key, signer.sign)

    def submit(self, old: int, proof: tuple[bytes, ...], note: bytes) -> int:
        """Ask the witness; its status."""
        body = Submission(old, proof, parse_note(note)).body
        url = self.witness.cosigner.rpartition("@")[2] + "/add-checkpoint"
        request = urllib.request.Request(url, body, method="POST")  # noqa: S310 - our own witness
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def machine(self, name: str) -> CosignedLog:
        """What a machine knows that demands this witness."""
        folder = self._t.plant.folder / f"demands-{name}"
        folder.mkdir()
        quorum = Quorum(1, (parse_note_key(self.witness.key),), WITHIN_S)
        return CosignedLog(folder / "decisions-head", quorum)

    def follow(self, log: CosignedLog) -> None:
        """A sound machine asks the controller, and takes what it is shown."""
        answer = self._fetched(log)
        if answer is not None:
            root = self._t.context.root_certificate
            log.take(answer, root, time.time_ns() // 1_000_000)

    def _fetched(self, log: CosignedLog) -> LogAnswer | None:
        forge, _, certificate = self._t.enrol()
        with self._t.fleet_channel(self._t.pair(forge, certificate)) as channel:
            request = to_fetch_decisions(log.seen, log.wanted)
            reply = rpc.FleetStub(channel).FetchDecisions(request, timeout=TIMEOUT_S)
            return from_decisions(reply)


@attempt(
    "N203", "another history of the log, signed with its real key, for a witness and a machine"
)
def n203(t: Target) -> Seen:
    t.sign_in_again()
    watched = t.once(_Watched)
    machine = watched.machine("forked")
    watched.follow(machine)
    head = parse_head(parse_note(watched.shown()["note"].encode()).text)
    same = watched.signed(head.size, b"\x07" * 32)
    other = watched.submit(head.size, (), same)
    longer = watched.submit(head.size, (b"\x01" * 32,), watched.signed(head.size + 1, b"\x08" * 32))
    root = t.context.root_certificate
    answer = LogAnswer(note=same, certificate=t.keys.signing["log"].der, growth=(), inclusions=())
    said = reason_of(lambda: machine.take(answer, root, time.time_ns() // 1_000_000))
    kept = len(list((watched.witness.folder / "forks").iterdir()))
    return Seen(
        (other, longer) == (409, 422) and said.refused and kept == 1,
        f"the witness: {other} and both heads kept, {longer}; a machine: {said.reason}",
    )


@attempt("N204", "a witness from an old copy of its folder, and a second one beside the first")
def n204(t: Target) -> Seen:
    t.sign_in_again()
    watched, plant = t.once(_Watched), t.plant
    witness = watched.witness
    second = _run(t, witness, witness.folder)
    empty = plant.folder / "witness-old"
    shutil.copytree(witness.folder, empty, ignore=shutil.ignore_patterns("heads", "lock"))
    old = _run(t, witness, empty)
    goes_on = witness.stands()["failing_ms"] == 0
    return Seen(
        bool(second and old and goes_on),
        f"a second on its folder: {second}; an old copy: {old}; the first goes on: {goes_on}",
    )


def _run(t: Target, witness: PlantWitness, folder: Path) -> str:
    """The reason for which a witness does not start on `folder`; empty where it does."""
    where = ("--state", folder, "--port", 0, "--also", witness.also)
    done = t.plant.framegate("witness", "run", *where, check=False)
    return done.stderr.split()[0] if done.returncode else ""


@attempt(
    "N205", "a model pin past the log, signed with the real key, for a machine that demands it"
)
def n205(t: Target) -> Seen:
    t.sign_in_again()
    watched = t.once(_Watched)
    machine = watched.machine("unlogged")
    (policy, *_) = t.plant.ask("log", "list", "--kind", "policy")
    logged = Named(Kind.POLICY, policy["sha256"])
    pin = Named(Kind.PIN, sha256(b"a pin that somebody put into the registry").hex())
    machine.want(logged, pin)
    watched.follow(machine)
    sound = machine.want(logged)
    now_ms = time.time_ns() // 1_000_000
    past = reason_of(lambda: machine.require("the model pin", now_ms, pin))
    inclusion = Inclusion(b'{"format":"framegate-decision-1"}', 0, ())
    forged = _forged(t, watched, machine, inclusion)
    return Seen(
        sound and past.refused and bool(forged),
        f"the policy: {'proved' if sound else 'NOT PROVED'}; the pin: {past.reason}, "
        f"with a proof of its own: {forged}",
    )


def _forged(t: Target, watched: _Watched, machine: CosignedLog, inclusion: Inclusion) -> str:
    """Why an entry with a made-up path is not taken; empty where it is."""
    answer = LogAnswer(
        note=watched.shown()["note"].encode(),
        certificate=t.keys.signing["log"].der,
        growth=(),
        inclusions=(inclusion,),
    )
    try:
        machine.take(answer, t.context.root_certificate, time.time_ns() // 1_000_000)
    except FramegateError as error:
        return str(error.reason)
    return ""
