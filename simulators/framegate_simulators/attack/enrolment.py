"""N20 to N31, N111: strangers, their certificates and their tickets."""

from __future__ import annotations

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.endorsement import EK_USAGE
from framegate_proto.edge import evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import TIMEOUT_S, Answer, Seen, Target, attempt, reason_of
from framegate_simulators.forge.forge import Forge, Key
from framegate_simulators.machine.tpm import TpmMaker


def _by_certificate(t: Target, certificates: tuple[bytes, ...], forge: Forge | None = None) -> Seen:
    forge = forge or t.forge()
    forge.ek_certificates = certificates
    code, _ = t.invite()
    return t.join(forge, code).seen


@attempt(
    "N20",
    "EK certificates: self-signed, a CA, expired, without the EK usage, of another EK, of an"
    " unknown maker",
)
def n20(t: Target) -> Seen:
    maker, seen = t.plant.maker, []
    for certificate in (
        lambda k: maker.issue(k, ca=True),
        lambda k: maker.issue(k, days=-1),
        lambda k: maker.issue(k, eku=False),
        TpmMaker.found("Nobody").issue,
    ):
        forge = t.forge()
        seen.append(_by_certificate(t, (certificate(forge.ek.private.public_key()),), forge))
    seen.append(
        _by_certificate(t, (maker.issue(ec.generate_private_key(ec.SECP256R1()).public_key()),))
    )
    forge = t.forge()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(forge.ek.private.public_key())
        .serial_number(1)
    )
    builder = (
        builder.not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
    )
    seen.append(
        _by_certificate(
            t, (builder.sign(forge.ek.private, hashes.SHA256()).public_bytes(Encoding.DER),), forge
        )
    )
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt(
    "N21", "an EK certificate in its TPM 1.2 wrapper with padding, one bit of its signature flipped"
)
def n21(t: Target) -> Seen:
    forge = t.forge()
    der = t.plant.maker.issue(forge.ek.private.public_key())
    spoiled = der[:-3] + bytes([der[-3] ^ 1]) + der[-2:]
    wrapped = (
        bytes.fromhex("100100")
        + (len(spoiled) + 2).to_bytes(2, "big")
        + bytes.fromhex("1002")
        + spoiled
    )
    return _by_certificate(t, (wrapped + b"\xff" * 40,), forge)


@attempt("N22", "an EK chain longer than any real one")
def n22(t: Target) -> Seen:
    root = t.plant.maker.certificate.public_bytes(Encoding.DER)
    forge = t.forge()
    return _by_certificate(t, (t.plant.maker.issue(forge.ek.private.public_key()), root * 8), forge)


@attempt("N23", "an EK certificate that names a CA's address: does the controller fetch from it?")
def n23(t: Target) -> Seen:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(1.5)
    caught: list[object] = []

    def listen() -> None:
        try:
            caught.append(listener.accept())
        except OSError:
            return

    thread = threading.Thread(target=listen)
    thread.start()
    key, forge, now = ec.generate_private_key(ec.SECP256R1()), t.forge(), datetime.now(UTC)
    url = x509.UniformResourceIdentifier(f"http://127.0.0.1:{listener.getsockname()[1]}/ca.crt")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far away")]))
    )
    builder = (
        builder.public_key(forge.ek.private.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    builder = builder.add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityInformationAccess(
            [x509.AccessDescription(x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, url)]
        ),
        critical=False,
    )
    seen = _by_certificate(
        t, (builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER),), forge
    )
    thread.join()
    listener.close()
    return Seen(
        seen.refused and not caught, f"{seen.reason}; {'FETCHED' if caught else 'nothing fetched'}"
    )


@attempt(
    "N24", "another TPM takes over the name of a trusted device, by its ticket and without one"
)
def n24(t: Target) -> Seen:
    forge, device, _ = t.enrol()
    thief = t.forge()
    seen = [t.join(thief).seen, reason_of(lambda: t.invite(thief, name=device.rsplit(".", 1)[1]))]
    return Seen(
        all(s.refused for s in seen)
        and t.state(device) == "trusted"
        and t.join(forge).certificate is not None,
        "; ".join(s.reason for s in seen),
    )


@attempt("N25", "a ticket used by two machines at the same time")
def n25(t: Target) -> Seen:
    code, device = t.invite()
    forges = [t.forge(), t.forge()]
    answers: list[Answer | None] = [None, None]

    def run(n: int) -> None:
        answers[n] = t.join(forges[n], code)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    came = [a for a in answers if a is not None]
    won = [a for a in came if a.state != "refused"]
    lost = [a for a in came if a.state == "refused"]
    return Seen(
        len(won) == 1 and t.state(device) == "pending",
        f"one is pending; the other: {', '.join(lost[0].reasons) if lost else ''}",
    )


@attempt("N26", "evidence changed after its MAC was made")
def n26(t: Target) -> Seen:
    forge = t.forge()
    code, device = t.invite(forge)
    hello = forge.hello(code)
    begun = t.begin(hello)
    mac, _ = forge.answer(t.fleet, hello, begun.challenge)
    _, other = forge.answer(t.fleet, hello, begun.challenge)
    answer = t.complete(begun.state, mac, other)
    return Seen(
        answer.certificate is None and t.state(device) == "invited", ", ".join(answer.reasons)
    )


@attempt("N27", "Complete without Begin, and with another machine's session")
def n27(t: Target) -> Seen:
    a = t.complete(os.urandom(16), bytes(32), b"evidence")
    forge, _, certificate = t.enrol()
    join = t.forge()
    code, _ = t.invite(join)
    state = t.begin(join.hello(code)).state
    with t.fleet_channel(t.pair(forge, certificate)) as channel:
        from framegate_proto.v1 import framegate_pb2_grpc as rpc

        b = reason_of(
            lambda: rpc.FleetStub(channel).Complete(
                evidence_parts(state, b"", b"p"), timeout=TIMEOUT_S
            )
        )
    return Seen(a.certificate is None and b.refused, f"{', '.join(a.reasons)}; {b.reason}")


@attempt("N28", "a certificate request that asks for another device's name")
def n28(t: Target) -> Seen:
    forge = t.forge()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "operator.anna")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(forge.tls.private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    code, device = t.invite(forge)
    answer = t.join(forge.with_evidence(csr=csr), code)
    got = answer.certificate.subject.rfc4514_string() if answer.certificate else "nothing"
    return Seen(
        got in {f"CN={device}", "nothing"},
        f"the certificate says {got}: the registry's name, not the request's",
    )


@attempt("N29", "device names with terminal escapes, newlines and formulas")
def n29(t: Target) -> Seen:
    seen = [
        reason_of(partial(t.invite, name=name))
        for name in ("x\x1b[2J", "a\nb", "=cmd()", "../../etc", "a b", "é", "x" * 64)
    ]
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt("N30", "a compressed message that unfolds to 200 MiB")
def n30(t: Target) -> Seen:
    with t.joining(compression=grpc.Compression.Gzip) as stub:
        return reason_of(
            lambda: stub.Begin(pb.BeginRequest(hello=bytes(200 * 1024 * 1024)), timeout=TIMEOUT_S)
        )


@attempt(
    "N31",
    "empty, default and guessed ticket codes, until the address is held off",
    control="attest",
)
def n31(t: Target) -> Seen:
    seen = []
    for code in (
        b"",
        bytes(16),
        b"framegate\0\0\0\0\0\0\0",
        os.urandom(16),
        os.urandom(16),
        os.urandom(16),
        os.urandom(16),
        os.urandom(16),
    ):
        seen.append(t.join(t.forge(), code).seen)
    reason = seen[-1].reason
    return Seen(
        all(s.refused for s in seen) and reason == "too-many-tries",
        "; ".join(dict.fromkeys(s.reason for s in seen)),
    )


@attempt("N111", "a stranger says Hello with a victim's public EK and garbage")
def n111(t: Target) -> Seen:
    victim, device, _ = t.enrol()
    stranger = t.forge()
    stranger.ek = Key(stranger.ek.private, victim.ek.public)
    stranger.ek_certificates = victim.ek_certificates
    hello = stranger.hello()
    answer = t.complete(t.begin(hello).state, os.urandom(32), b"garbage")
    return Seen(
        answer.certificate is None
        and t.state(device) == "trusted"
        and t.join(victim).certificate is not None,
        f"{', '.join(answer.reasons)}; the victim stays trusted",
    )
