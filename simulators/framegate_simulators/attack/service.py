"""N80 to N90, N112 to N118: the service plane, the gateway's door, the agent's own defences."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.identity.pem import private_pem
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate.signed.statement import Grant, verify_verdict
from framegate_agent.camera.session import hold_grant
from framegate_agent.signing import TLS_CLIENT_PREFIX, TlsSigner
from framegate_agent.tpm import Tpm
from framegate_controller.ca.issue import certify, issue_operator
from framegate_controller.ca.open import found_fleet
from framegate_controller.ca.template import leaf_template
from framegate_controller.store.database import open_registry
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import SILENCE_S, TrustView
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.fixtures.access import access_update
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured, passed
from framegate_simulators.fixtures.gateway import CAMERA, warranted
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.machine import Machine

_OPERATOR: dict[str, Any] = {
    "Invite": pb.InviteRequest(kind="camera", name="x", zone="z", profile="p"),
    "List": pb.ListRequest(),
    "Show": pb.DeviceRequest(device="x"),
    "Change": pb.ChangeRequest(device="x", event="release"),
    "AddTpmCa": pb.TpmCa(),
    "FleetStatus": pb.ListRequest(),
    "Events": pb.EventsRequest(),
    "ImportProfile": pb.ImportProfileRequest(),
    "RevokeSigner": pb.RevokeSignerRequest(),
    "Observe": pb.DeviceRequest(device="x"),
    "StartRollout": pb.StartRolloutRequest(),
    "ChangeRollout": pb.ChangeRolloutRequest(),
    "ShowRollouts": pb.RolloutRequest(),
    "SetMasks": pb.SetMasksRequest(),
}


def _certificate(
    t: Target, label: str, purpose: Purpose, name: str, life_s: float = 600, *, fleet: Any = None
) -> tuple[bytes, bytes]:
    keys = fleet or t.keys
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certify(
        keys.issuing[label],
        leaf_template(
            purpose, name, key.public_key(), timedelta(seconds=life_s), datetime.now(UTC)
        ),
    )
    return private_pem(key), leaf.public_bytes(Encoding.PEM) + keys.issuing[label].pem


def _operators_calls(t: Target, pair: tuple[bytes, bytes] | None) -> list[Seen]:
    with t.fleet_channel(pair) as channel:
        stub = rpc.OperatorStub(channel)
        return [
            reason_of(lambda n=name, r=request: getattr(stub, n)(r, timeout=TIMEOUT_S))  # type: ignore[misc]
            for name, request in _OPERATOR.items()
        ]


@attempt(
    "N80",
    "every operator's call with no certificate, a device's, an expired one, another fleet's, a"
    " verdict key's",
)
def n80(t: Target) -> Seen:
    other = found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")
    pairs = [
        None,
        _certificate(t, "device-ca", Purpose.DEVICE, "camera.line-1.a1"),
        _certificate(t, "operator-ca", Purpose.OPERATOR, "operator.eve", -30),
        _certificate(t, "operator-ca", Purpose.OPERATOR, "operator.eve", fleet=other),
        _certificate(t, "gateway-ca", Purpose.GATEWAY, "operator.eve"),
    ]
    seen = [s for pair in pairs for s in _operators_calls(t, pair)]
    return Seen(
        all(s.refused for s in seen),
        f"{len(seen)} calls: " + "; ".join(sorted({s.reason for s in seen}))[:160],
    )


@attempt("N81", "a trusted camera's own certificate on operators' calls")
def n81(t: Target) -> Seen:
    forge, _, certificate = t.enrol()
    seen = _operators_calls(t, t.pair(forge, certificate))
    return Seen(all(s.refused for s in seen), "; ".join(sorted({s.reason for s in seen})))


@attempt("N82", "a stream that stays open after its device was retired")
def n82(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    with t.fleet_channel(t.pair(forge, certificate)) as channel:
        call = rpc.FleetStub(channel).Watch(pb.WatchRequest(), timeout=TIMEOUT_S)
        next(call)
        t.change(device, "retire")
        return reason_of(lambda: [None for _ in call])


@attempt(
    "N83", "the fleet port without a certificate, again with what the first connection left behind"
)
def n83(t: Target) -> Seen:
    seen = []
    for _ in range(2):  # a resumed session would skip the chain
        with t.fleet_channel(None) as channel:
            seen.append(
                reason_of(lambda c=channel: rpc.FleetStub(c).Begin(pb.BeginRequest(), timeout=5))  # type: ignore[misc]
            )
    return Seen(all(s.refused for s in seen), seen[-1].reason)


@attempt(
    "N84",
    "300 half-open connections, 40 kB of headers, 16 MiB messages; a sound camera must still"
    " get in",
)
def n84(t: Target) -> Seen:
    silent = [socket.create_connection(("127.0.0.1", t.plant.join_port)) for _ in range(300)]
    with t.joining() as stub:
        headers = reason_of(
            lambda: stub.Begin(
                pb.BeginRequest(), metadata=(("x", "y" * 40_000),), timeout=TIMEOUT_S
            )
        )
        large = reason_of(
            lambda: stub.Begin(pb.BeginRequest(hello=bytes(16 * 1024 * 1024)), timeout=TIMEOUT_S)
        )
    _, device, _ = t.enrol()
    for connection in silent:
        connection.close()
    return Seen(
        headers.refused and large.refused and t.state(device) == "trusted",
        f"{headers.reason}; {large.reason}; a camera joined meanwhile",
    )


@attempt(
    "N85",
    "39 proofs broken at 39 places: whatever happens inside, nobody is trusted by it and the old"
    " state stands",
)
def n85(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    seen = []
    members = ("boot_log", "posture", "quote_attest", "quote_signature")

    def broken_at(place: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        member = members[place % 4]

        def cut(p: dict[str, Any]) -> dict[str, Any]:
            return {**p, member: p[member][: len(p[member]) * place // 40]}

        return cut

    for place in range(1, 40):
        forge.change_proof = broken_at(place)
        hello = forge.attest_hello()
        seen.append(t.attest(forge, certificate, hello=hello).certificate is None)
    state = t.state(device)
    return Seen(
        all(seen) and state == "suspect",
        f"{len(seen)} broken proofs, no certificate; those that its TPM vouched for made it"
        f" {state}",
    )


@attempt("N86", "a flood of unfinished sessions, and an attempt to end another's")
def n86(t: Target) -> Seen:
    victim = t.forge()
    code, _ = t.invite(victim)
    hello = victim.hello(code)
    begun = t.begin(hello)
    other, _, _ = t.enrol()
    flood = Seen(False, "")
    for _ in range(80):
        flood = reason_of(lambda: t.begin(other.hello()))
        if flood.refused:
            break
    mac, proof = victim.answer(t.fleet, hello, begun.challenge)
    survived = t.complete(begun.state, mac, proof).certificate is not None
    return Seen(
        flood.refused and survived,
        f"{flood.reason}; the victim's session {'survived' if survived else 'IS GONE'}",
    )


@attempt("N87", "keys that others can read, secrets in logs")
def n87(t: Target) -> Seen:
    loose = [
        p.name
        for p in t.plant.folder.rglob("*")
        if p.is_file()
        and (p.suffix == ".key" or p.name in {"registry.db", "operator.json"})
        and p.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    logs = b"".join(p.read_bytes() for p in t.plant.logs.rglob("*") if p.is_file())
    leaks = [w for w in (b"PRIVATE KEY", b"secret=", b"ticket_code") if w in logs]
    return Seen(
        not loose and not leaks,
        f"readable by others: {loose or 'none'}; in logs: {leaks or 'nothing'}",
    )


@attempt("N88", "a registry of the first version, with rows in it")
def n88(t: Target) -> Seen:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text

    from framegate_controller import store

    path = Path(tempfile.mkdtemp(prefix="fg-")) / "registry.db"
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        key = t.keys.signing["profile"]
        envelope = seal_envelope(
            PROFILE_TYPE,
            profile_toml(Firmware("simulated-camera"), "simulated-camera").encode(),
            key.der,
            key.sign,
        )
        connection.execute(
            text(
                "INSERT INTO profiles (name, revision, envelope, added_ms) VALUES"
                " ('simulated-camera', 1, :e, 1)"
            ),
            {"e": envelope},
        )
        connection.commit()
    engine.dispose()
    database = open_registry(path)
    with database.reading() as tx:
        kept = [(r.name, r.revision) for r in tx.profiles.revisions()]
    database.close()
    return Seen(kept == [("simulated-camera", 1)], "opened, brought up to date, nothing lost")


@attempt(
    "N90",
    "profiles: unsigned, edited, rolled back, by another fleet's key, by a grant key, by a revoked"
    " signer",
)
def n90(t: Target) -> Seen:
    toml = profile_toml(Firmware("simulated-camera"), "simulated-camera", 9).encode()
    keys, other = t.keys, found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")

    def sealed(key: Any, body: bytes = toml) -> bytes:
        return seal_envelope(PROFILE_TYPE, body, key.der, key.sign)

    from framegate_controller.ca.issue import issue_profile_signer

    private = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_profile_signer(keys, "eve", private.public_key(), timedelta(days=1))
    from framegate_controller.ca.keys import SigningKey

    signer = SigningKey(private, certificate)
    good = sealed(keys.signing["profile"])
    candidates = [
        toml,
        b"",
        good.replace(b'"sig":"M', b'"sig":"N'),
        sealed(other.signing["profile"]),
        sealed(keys.signing["grant"]),
        sealed(
            keys.signing["profile"],
            profile_toml(Firmware("simulated-camera"), "simulated-camera", 1).encode(),
        ),
        sealed(signer),
    ]
    with operator_stub(t.context) as stub:
        stub.RevokeSigner(pb.RevokeSignerRequest(certificate=signer.der, reason="campaign"))
        seen = [
            reason_of(lambda e=envelope: stub.ImportProfile(pb.ImportProfileRequest(envelope=e)))  # type: ignore[misc]
            for envelope in candidates
        ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


class _Door:
    """A gateway's door with a camera that is trusted: the product's own admission, keys and trust
    view.
    """

    def __init__(self, t: Target) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fg-"))
        self.fleet = t.keys
        self.camera = SoftwareCamera(self.folder, self.fleet)
        self.keys, self.view = warranted(self.fleet, self.camera.certificate, bytes(32))

    def opened(self) -> tuple[CameraLink, Any, pb.SignedOpening]:
        link = CameraLink(self.camera.certificate, self.keys, self.view)
        session = self.camera.session(link.offer(), self.keys.newest.publics)
        signed = session.opening(self.camera)
        link.open(signed.opening, signed.signature)
        return link, session, signed


_HEAD = captured(1, 5, part="p", captured_at_ms=1, uncertainty_ms=1, width=64, height=64)


@attempt("N89", "the controller falls silent behind a gate without grace")
def n89(t: Target) -> Seen:
    door, now = _Door(t), [0.0]
    view = TrustView(
        None, AccessView(None, lambda: t.keys.root.certificate), monotonic=lambda: now[0]
    )
    never = reason_of(lambda: view.require(CAMERA))
    view.apply(
        pb.TrustUpdate(
            revision=1,
            snapshot=True,
            devices=[pb.DeviceTrust(device=CAMERA, state="trusted", remaining_ms=600_000)],
            access=access_update(t.keys),
        )
    )
    view.require(CAMERA)
    now[0] = SILENCE_S + 0.1
    silent = reason_of(lambda: view.require(CAMERA))
    door.view.disconnected()
    return Seen(
        never.refused and silent.refused, f"{never.reason}; after {SILENCE_S:g} s {silent.reason}"
    )


@attempt("N112", "a recorded opening and its frames, sent again on the same stream and on another")
def n112(t: Target) -> Seen:
    door = _Door(t)
    link, session, signed = door.opened()
    frame = session.seal(_HEAD, b"image")
    link.admit(frame.metadata, frame.sealed)
    fresh = CameraLink(door.camera.certificate, door.keys, door.view)
    fresh.offer()
    seen = [
        reason_of(lambda: link.open(signed.opening, signed.signature)),
        reason_of(lambda: fresh.open(signed.opening, signed.signature)),
        reason_of(lambda: link.admit(frame.metadata, frame.sealed)),
    ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt("N113", "a grant after its time, with another nonce, signed by another key of the fleet")
def n113(t: Target) -> Seen:
    fleet, nonce = t.keys, os.urandom(32)
    grant = Grant(
        grant_id="g",
        camera=CAMERA,
        nonce=nonce.hex(),
        issued_at_ms=time.time_ns() // 1_000_000,
        ttl_s=60,
        host="gateway.line-1.gw1",
        result_id="r",
        zone="line-1",
        publics_sha256="00" * 32,
        tls_spki_sha256="",
        hpke_kem="x",
        hpke_public="00",
        address="",
        model_sha256="",
        policy="",
        mask_version=0,
        mask_sha256="",
    )

    def take(label: str, asked_s: float, with_nonce: bytes, **changes: Any) -> Callable[[], Any]:
        signer = fleet.signing[label]
        envelope = replace(grant, **changes).seal(signer.der, signer.sign)

        def run() -> None:
            held = hold_grant(
                envelope,
                CAMERA,
                with_nonce,
                time.monotonic() - asked_s,
                fleet.intermediates,
                fleet.root.certificate,
                time.time_ns() // 1_000_000,
            )
            if not held.alive:  # what the camera asks before it seals a frame
                raise Refused.of(Reason.GRANT_EXPIRED, "a grant alive", "ended")

        return run

    seen = [
        reason_of(take("grant", 3600, nonce)),
        reason_of(take("grant", 0, os.urandom(32))),
        reason_of(take("mask", 0, nonce)),
        reason_of(take("grant", 0, nonce, camera="camera.line-1.other")),
    ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt(
    "N114",
    "a PASS forged by other keys of the fleet, altered, out of its time, for another gateway",
)
def n114(t: Target) -> Seen:
    fleet, now = t.keys, time.time_ns() // 1_000_000
    digest = "ab" * 32
    verdict = passed(
        now,
        verdict_id="ab" * 16,
        session="ab" * 16,
        model_sha256=digest,
        golden_sha256=digest,
        input_sha256=digest,
    )

    def signer(label: str, purpose: Purpose, name: str) -> tuple[bytes, Callable[[bytes], bytes]]:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = certify(
            fleet.issuing[label],
            leaf_template(purpose, name, key.public_key(), timedelta(minutes=5), datetime.now(UTC)),
        )
        return leaf.public_bytes(Encoding.DER), lambda m: key.sign(m, ec.ECDSA(hashes.SHA256()))

    def check(envelope: bytes, at_ms: int = now) -> Seen:
        return reason_of(
            lambda: verify_verdict(
                envelope, fleet.intermediates, fleet.root.certificate, from_ms(at_ms)
            )
        )

    good = verdict.seal(*signer("gateway-ca", Purpose.VERDICT, "gateway.line-1.gw1"))
    sound = check(good)
    seen = [
        check(verdict.seal(*signer(*who)))
        for who in (
            ("device-ca", Purpose.DEVICE, CAMERA),
            ("gateway-ca", Purpose.GATEWAY, "gateway.line-1.gw1"),
            ("gateway-ca", Purpose.VERDICT, "gateway.line-1.gw2"),
        )
    ]
    seen += [check(good, now + 31_000), check(good.replace(b'"sig":"M', b'"sig":"N'))]
    return Seen(
        not sound.refused and all(s.refused for s in seen),
        "; ".join(dict.fromkeys(s.reason for s in seen)),
    )


@attempt(
    "N115",
    "a controller whose feed goes back, and a challenge key of another fleet in front of an agent",
)
def n115(t: Target) -> Seen:
    view = TrustView(
        Path(tempfile.mkdtemp(prefix="fg-")) / "revision",
        AccessView(None, lambda: t.keys.root.certificate),
    )
    access = access_update(t.keys)
    view.apply(pb.TrustUpdate(revision=7, snapshot=True, access=access))
    back = reason_of(lambda: view.apply(pb.TrustUpdate(revision=6, snapshot=True, access=access)))
    other = found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")
    certificate = other.signing["challenge"].certificate
    rogue = reason_of(
        lambda: verify_certificate(
            certificate, Purpose.CHALLENGE, (), t.context.root_certificate, datetime.now(UTC)
        )
    )
    return Seen(back.refused and rogue.refused, f"{back.reason}; {rogue.reason}")


@attempt("N116", "TPM Restart into another system with the TLS key's hierarchy alive (swtpm)")
def n116(t: Target) -> Seen:
    machine = Machine(
        Path(tempfile.mkdtemp(prefix="fg-")), t.plant.maker, Firmware("simulated-camera")
    )
    machine.power_on()
    tpm = Tpm(machine.tcti)
    try:
        tpm.tls_key()
        tpm.sign_with_tls_key(b"before")
        attempt_ = _changed_pcr(tpm)
        return reason_of(attempt_)
    finally:
        tpm.close()
        machine.power_off()


def _changed_pcr(tpm: Tpm) -> Callable[[], Any]:
    """What a running system that is no longer the attested one meets when it uses the key."""
    import tpm2_pytss as tss

    def extend() -> None:
        digest = tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=bytes(32)))
        tpm._esys.pcr_extend(tss.ESYS_TR.PCR4, tss.TPML_DIGEST_VALUES(digests=[digest]))

    def run() -> None:
        tpm._on_owner(extend)
        tpm.sign_with_tls_key(b"after")

    return run


@attempt("N118", "the signer asked for anything but a TLS 1.3 client handshake, and flooded")
def n118(t: Target) -> Seen:
    class Counting:
        count = 0

        def sign_with_tls_key(self, _message: bytes) -> bytes:
            self.count += 1
            return b"s"

    key = Counting()
    certificate = issue_operator(t.keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key())
    signer = TlsSigner(key, certificate, lambda: datetime.now(UTC).timestamp())
    messages = (
        b"",
        b"x" * 130,
        b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(32),
        TLS_CLIENT_PREFIX,
        b"framegate/v1/sign-opening\0" + bytes(64),
        b"\xffTCG" + bytes(126),
    )
    seen = [reason_of(lambda m=message: signer.sign(m)) for message in messages]  # type: ignore[misc]
    none = key.count == 0
    flood = Seen(False, "")
    for _ in range(2000):
        flood = reason_of(lambda: signer.sign(TLS_CLIENT_PREFIX + bytes(32)))
        if flood.refused:
            break
    return Seen(
        all(s.refused for s in seen) and none and flood.refused,
        f"{seen[0].reason}, nothing signed; {flood.reason} after {key.count}",
    )
