"""N130 to N132, N138 to N140, N143, N149, N248: load, guesses, and whoever fills what there is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from framegate_controller.store.shared.limits import PAIR_TRIES
from framegate_operator.connection import load_context, operator_stub, sign_in_stub
from framegate_proto.edge import evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.conversation import head
from framegate_simulators.attack.floor import QUOTA_MIB, Floor, picture
from framegate_simulators.attack.target import Enrolled, Seen, Target, answer_of, attempt, reason_of
from framegate_simulators.fixtures.access import PASSWORD, certificate_request, wait_for_next_code
from framegate_simulators.forge.forge import Forge
from framegate_simulators.plant.processes import wait_for

LOAD_S: Final = 10.0
LOADS: Final = ("begin", "big", "mute", "idle")
JOIN_S: Final = 15.0
"""A sound camera has joined by then, whatever strangers do: its own calls give up later."""
FULL_S: Final = 300.0
"""Until a camera's receipts have filled their room and the oldest went, on a busy machine."""
GUESSES: Final = 24
OTHERS: Final = 4
ROUNDS: Final = 8


@contextmanager
def _strangers(t: Target) -> Iterator[list[subprocess.Popen[str]]]:
    folder = Path(tempfile.mkdtemp(prefix="fg-"))
    (folder / "ready.json").write_bytes((t.plant.folder / "controller-ready.json").read_bytes())
    (folder / "root.pem").write_bytes(t.context.root)
    argv = [sys.executable, "-m", "framegate_simulators.attack.strangers", str(folder)]
    loads = [
        subprocess.Popen(
            [*argv, kind, str(LOAD_S)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for kind in LOADS
    ]
    try:
        yield loads
    finally:
        for load in loads:
            load.kill()
            load.wait()


@attempt(
    "N130",
    "strangers' Hellos, evidence nobody asked for, mute calls and 2,000 idle connections at once",
    control="frame",
)
def n130(t: Target) -> Seen:
    took = []
    with _strangers(t) as loads:
        end = time.monotonic() + LOAD_S
        while time.monotonic() < end:
            took.append(_joined(t))
        inspected, gate = t.once(Floor).inspected(), t.once(Floor).status().gate_open
        told = [json.loads(load.communicate(timeout=6 * LOAD_S)[0] or "{}") for load in loads]
    seen = Counter[str]()
    for load in told:
        for counts in load.values():
            seen.update(counts)
    return Seen(
        max(took) < JOIN_S and inspected == "PASS" and gate and sum(seen.values()) > 0,
        f"{len(took)} cameras joined meanwhile, the slowest in {max(took):.1f} s; gate"
        f" {'open' if gate else 'CLOSED'}, frame {inspected}; strangers got"
        f" {', '.join(f'{k} {v}' for k, v in seen.most_common(4))}",
    )


def _joined(t: Target) -> float:
    """How long a new machine with a ticket took to join; it tries again, as agents do, where it was
    told to. Infinity where it did not get in.
    """
    forge = t.forge()
    code, _ = t.invite(forge)
    return _gets_in(t, forge, code)


def _gets_in(t: Target, forge: Forge, code: bytes) -> float:
    """The same of a machine with its ticket, of which a join port knows within a second."""
    begun = time.monotonic()
    while (took := time.monotonic() - begun) < JOIN_S:
        if t.join(forge, code).certificate is not None:
            return took
        time.sleep(0.2)
    return float("inf")


@attempt("N131", "a stranger holds every challenge of a camera's public EK; its owner comes back")
def n131(t: Target) -> Seen:
    victim, device, certificate = t.enrol()
    flood = Seen(False, "")
    for _ in range(200):
        flood = reason_of(lambda: t.begin(victim.hello()))
        if flood.refused:
            break
    attested = t.attest(victim, certificate, known_log=True)
    wait_for("its owner to come back", lambda: t.join(victim).certificate, JOIN_S, 0.5)
    newcomer = t.forge()
    code, _ = t.invite(newcomer)
    for _ in range(60):  # an EK that is not enrolled, and has an open ticket
        reason_of(lambda: t.begin(newcomer.hello()))
    joined = _gets_in(t, newcomer, code) < JOIN_S
    return Seen(
        flood.refused and attested.certificate is not None and joined,
        f"{flood.reason}; the owner attests meanwhile, comes back, and is {t.state(device)};"
        f" another, with its ticket: {'trusted' if joined else 'LOCKED OUT'}",
    )


@attempt("N132", "an enrolled machine attests as fast as it can, with all the evidence there is")
def n132(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    seen: list[str] = []
    for _ in range(120):
        answer = t.attest(forge, certificate)
        certificate = answer.certificate or certificate
        if answer.state == "refused":
            seen = list(answer.reasons)
            break
    _, other, _ = t.enrol()
    return Seen(
        seen == ["too-many-tries"] and t.state(device) == "trusted" and t.state(other) == "trusted",
        f"{', '.join(seen) or 'NEVER REFUSED'}; another camera joins, and it stays trusted itself",
    )


@attempt("N248", "a machine answers each challenge twice at once, wrongly, while others attest")
def n248(t: Target) -> Seen:
    hostile, sound = t.enrol(), [t.enrol() for _ in range(OTHERS)]
    refused, trusted = Counter[str](), 0
    with ThreadPoolExecutor(OTHERS + 1) as threads:
        for _ in range(ROUNDS):
            spoilt = threads.submit(_answered_twice, t, hostile)
            others = [threads.submit(t.attest, m.forge, m.certificate) for m in sound]
            trusted += sum(other.result().state == "trusted" for other in others)
            refused.update(spoilt.result())
    asked = ROUNDS * OTHERS
    return Seen(
        trusted == asked and refused["session-unknown"] >= ROUNDS,
        f"{trusted} of {asked} others trusted; it: "
        + ", ".join(f"{reason} {n}" for reason, n in sorted(refused.items())),
    )


def _answered_twice(t: Target, machine: Enrolled) -> Counter[str]:
    """Why each of two answers to one challenge is refused, which come at the same time."""
    with t.fleet_channel(t.pair(machine.forge, machine.certificate)) as channel:
        stub, hello = rpc.FleetStub(channel), machine.forge.attest_hello(known_log=True)
        begun = stub.Begin(pb.BeginRequest(hello=hello), timeout=JOIN_S)
        parts = list(evidence_parts(begun.state, b"", b"no evidence", begun.with_offer))
        calls = [stub.Complete.future(iter(parts), timeout=JOIN_S) for _ in range(2)]
        return Counter(", ".join(answer_of(call.result).reasons) or "TAKEN" for call in calls)


@attempt(
    "N138",
    "sixty refused joins by one stranger: how much of the record do they write?",
    control="attest",
)
def n138(t: Target) -> Seen:
    before, seen = _entries(t), Counter[str]()
    for _ in range(60):
        answer = t.join(t.forge())
        seen.update(answer.reasons)
    written = _entries(t) - before
    return Seen(
        written <= 6 and sum(seen.values()) >= 60,
        f"{', '.join(f'{k} {v}' for k, v in seen.items())}; {written} entries",
    )


def _entries(t: Target) -> int:
    with operator_stub(t.context) as stub:
        return int(stub.LogHead(pb.LogHeadRequest()).size)


@attempt("N139", "a copy of somebody's security key, whose counter falls, and falls to zero")
def n139(t: Target) -> Seen:
    from soft_fido2 import Fido2Authenticator

    t.sign_in_again()
    person = load_context(t.plant.add_person("kim", "viewer"))
    device = Fido2Authenticator(counter=1)

    def answered(make: Any, options: str) -> str:
        return json.dumps(make(json.loads(options)["publicKey"]))

    with operator_stub(person) as stub:
        challenge = stub.AddKeyBegin(pb.WhoAmIRequest())
        response = answered(device.credential_create, challenge.options)
        stub.AddKeyComplete(pb.AddKeyRequest(state=challenge.state, response=response, label="a"))

    def signs_in() -> None:
        with sign_in_stub(t.signing_in(person)) as stub:
            ceremony = stub.KeyBegin(pb.KeyBeginRequest(operator="kim"))
            response = answered(device.credential_request, ceremony.options)
            stub.KeyComplete(
                pb.KeyCompleteRequest(
                    state=ceremony.state, response=response, csr=certificate_request()
                )
            )

    sound = [reason_of(signs_in) for _ in range(2)]
    kept, seen = device.counter, []
    for counter in (0, 1):
        device.counter = counter
        seen.append(reason_of(signs_in))
    device.counter = kept + 5
    again = reason_of(signs_in)
    with operator_stub(t.context) as stub:
        told = [e.event for e in stub.Events(pb.EventsRequest(limit=50)).events]
    suspected = told.count("security-key-suspected")
    return Seen(
        not any(s.refused for s in (*sound, again))
        and [s.reason for s in seen] == ["sign-in", "sign-in"]
        and suspected >= 2,
        f"{', '.join(s.reason for s in seen)}; security-key-suspected {suspected};"
        " the owner signs in before and after",
    )


@attempt("N140", f"{GUESSES} guesses of a code that come at once", control="attest")
def n140(t: Target) -> Seen:
    def guess(number: int) -> str:
        def run() -> None:
            with sign_in_stub(t.signing_in(t.context)) as stub:
                stub.Password(
                    pb.PasswordRequest(
                        operator="mallory",
                        password=PASSWORD,
                        code=f"{number:06}",
                        csr=certificate_request(),
                    )
                )

        return reason_of(run).reason

    with ThreadPoolExecutor(GUESSES) as pool:
        seen = Counter(pool.map(guess, range(GUESSES)))
    return Seen(
        0 < seen["sign-in"] <= PAIR_TRIES and seen["locked-out"] == GUESSES - seen["sign-in"],
        ", ".join(f"{k} {v}" for k, v in seen.items()),
    )


@attempt(
    "N143",
    "a device code where nobody switched them on; sign-ins at a provider that never answers, while"
    " others join and sign in",
)
def n143(t: Target) -> Seen:
    def begin(flow: str) -> Seen:
        def run() -> None:
            with sign_in_stub(t.signing_in(t.context)) as stub:
                stub.OidcBegin(pb.OidcBeginRequest(flow=flow, redirect_uri="http://127.0.0.1:5/"))

        return reason_of(run)

    device = begin("device")
    asked = t.provider.asked
    wait_for_next_code()  # so that whoever signs in beside them need not
    with ThreadPoolExecutor(GUESSES) as pool:
        waiting = [pool.submit(begin, "code") for _ in range(GUESSES)]
        wait_for("the provider to be asked", lambda: t.provider.asked > asked, JOIN_S)
        begun = time.monotonic()
        t.enrol()
        t.sign_in_again(always=True)
        took = time.monotonic() - begun
        stuck = sum(not w.done() for w in waiting)
        seen = Counter(w.result().reason for w in waiting)
    return Seen(
        device.refused and asked == 0 and stuck > 0 and "accepted" not in seen,
        f"device code: {device.reason}, the provider not asked; {stuck} sign-ins waited while a"
        f" camera joined and somebody signed in ({took:.1f} s)",
    )


@attempt("N149", "one camera's refused frames until its receipts reach their room", control="frame")
def n149(t: Target) -> Seen:
    floor, kept = t.once(Floor), 0
    sound = _kept(t, floor.other.device)
    end = time.monotonic() + FULL_S
    while time.monotonic() < end and not _kept(t, floor.camera.device).pruned:
        with floor.conversation() as talk:
            session = talk.open()
            for _ in range(60):
                number = next(floor.numbers)
                image = picture(number)
                metadata = head(number, image, part_type="unheard-of")
                talk.send(frame=session.seal(metadata, image))
            for _ in range(60):
                talk.said()
    row = _kept(t, floor.camera.device)
    other = _kept(t, floor.other.device)
    kept = row.bytes
    return Seen(
        row.pruned > 0 and kept <= 2 * QUOTA_MIB * 2**20 and other.bytes >= sound.bytes,
        f"{row.pruned} of the oldest went, {kept // 1024} KiB kept of {QUOTA_MIB} MiB; another"
        f" camera's stay",
    )


def _kept(t: Target, device: str) -> pb.ReceiptsKept:
    rows = [r for r in t.once(Floor).status().receipts if r.device == device]
    return rows[0] if rows else pb.ReceiptsKept()
