"""N01 to N18: quotes and certifications that are not what they should be."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, Final

from cryptography import x509

from framegate.tpm.attest import ClockInfo, PcrSelection
from framegate.tpm.constants import Alg, Attr, St
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS
from framegate.wire import Challenge
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.forge.forge import Forge, Key

_OTHER: Final = PcrSelection(Alg.SHA256, (16, 23))


@attempt("N01", "a quote that does not begin with TPM_GENERATED, signed by the AK")
def n01(t: Target) -> Seen:
    return t.try_join(t.forge().with_quote(magic=0xFF544348))


@attempt("N02", "a certification offered as a quote, and a quote as a certification")
def n02(t: Target) -> Seen:
    a, b = (
        t.try_join(t.forge().with_quote(type=St.ATTEST_CERTIFY, name=b"\0\x0b" + bytes(32))),
        t.try_join(t.forge().with_certify(type=St.ATTEST_QUOTE)),
    )
    return Seen(a.refused and b.refused, f"{a.reason}; {b.reason}")


@attempt("N03", "PCR 16 and 23, which software may reset, signed in place of those asked for")
def n03(t: Target) -> Seen:
    return t.try_join(t.forge().with_quote(selections=(_OTHER,)))


@attempt("N04", "PCR 4 left out of the signed selection, a log that tells of it all the same")
def n04(t: Target) -> Seen:
    return t.try_join(
        t.forge().with_quote(
            selections=(PcrSelection(Alg.SHA256, tuple(p for p in range(11) if p != 4)),)
        )
    )


@attempt("N05", "an empty selection with the digest of nothing")
def n05(t: Target) -> Seen:
    return t.try_join(t.forge().with_quote(selections=(), pcr_digest=hashlib.sha256(b"").digest()))


@attempt("N06", "a selection of two banks")
def n06(t: Target) -> Seen:
    pcrs = tuple(range(11))
    return t.try_join(
        t.forge().with_quote(
            selections=(PcrSelection(Alg.SHA256, pcrs), PcrSelection(Alg.SHA1, pcrs))
        )
    )


@attempt("N07", "extraData empty, truncated, another session's; a session used twice")
def n07(t: Target) -> Seen:
    seen = [
        t.try_join(t.forge().with_quote(extra_data=data)) for data in (b"", bytes(31), bytes(32))
    ]
    forge = t.forge()
    code, _ = t.invite(forge)
    hello = forge.hello(code)
    begun = t.begin(hello)
    mac, evidence = forge.answer(t.fleet, hello, begun.challenge)
    first, second = (t.complete(begun.state, mac, evidence) for _ in range(2))
    good = (
        all(s.refused for s in seen)
        and first.certificate is not None
        and second.certificate is None
    )
    return Seen(good, f"{seen[0].reason}; again: {', '.join(second.reasons)}")


@attempt("N08", "500 challenges: a nonce that repeats, is short or constant")
def n08(t: Target) -> Seen:
    forge = t.forge()
    with t.fleet_channel(t.pair(*_enrolled(t, forge))) as channel:
        from framegate_proto.v1 import framegate_pb2 as pb
        from framegate_proto.v1 import framegate_pb2_grpc as rpc

        stub = rpc.FleetStub(channel)
        nonces = [
            Challenge.parse(
                stub.Begin(pb.BeginRequest(hello=forge.attest_hello()), timeout=5).challenge
            ).nonce
            for _ in range(500)
        ]
    bits = sum(n.bit_count() for n in (int.from_bytes(x, "big") for x in nonces)) / (
        256 * len(nonces)
    )
    good = len(set(nonces)) == 500 and {len(n) for n in nonces} == {32} and 0.48 < bits < 0.52
    return Seen(good, f"500 different nonces of 32 bytes, {100 * bits:.1f} % ones")


def _enrolled(t: Target, forge: Forge) -> tuple[Forge, x509.Certificate]:
    _, _, certificate = t.enrol(forge)
    return forge, certificate


@attempt("N09", "a quote whose qualifiedSigner is the AK's in another hierarchy")
def n09(t: Target) -> Seen:
    forge = t.forge()
    return t.try_join(forge.with_quote(qualified_signer=forge.ak.public.qualified_name(0x40000001)))


@attempt("N10", "a signature that names SHA-1; RSASSA under an ECC key")
def n10(t: Target) -> Seen:
    seen = [
        t.try_join(t.forge().with_evidence(quote_signature=lambda s, h=head: h + s[4:]))
        for head in (
            struct.pack(">HH", Alg.ECDSA, Alg.SHA1),
            struct.pack(">HH", Alg.RSASSA, Alg.SHA256),
        )
    ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt("N11", "AKs that are not restricted, can leave the TPM, or decrypt")
def n11(t: Target) -> Seen:
    seen = []
    for attributes in (
        AK_ATTRS & ~Attr.RESTRICTED,
        AK_ATTRS & ~Attr.FIXED_TPM,
        AK_ATTRS & ~Attr.FIXED_PARENT,
        AK_ATTRS & ~Attr.SENSITIVE_DATA_ORIGIN,
        AK_ATTRS | Attr.DECRYPT,
    ):
        forge = t.forge()
        forge.ak = Key.make(attributes)
        seen.append(t.try_join(forge))
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt(
    "N12",
    "Hello shows one AK, the TPM activates with another: the credential is bound to the name of"
    " those very bytes",
)
def n12(t: Target) -> Seen:
    forge = t.forge()
    code, _ = t.invite(forge)
    hello = forge.hello(code)
    challenge = Challenge.parse(t.begin(hello).challenge)
    forge.ak = Key.make(AK_ATTRS)
    try:
        forge.activate(challenge.credential, challenge.encrypted_secret)
    except ValueError:
        return Seen(True, "the TPM refuses the credential")
    return Seen(False, "the credential opened for another AK")


@attempt("N13", "AK 1 joins, AK 2 signs the quote")
def n13(t: Target) -> Seen:
    forge, other = t.forge(), Key.make(AK_ATTRS)
    return t.try_join(forge.with_evidence(quote_signature=lambda _: other.sign(b"x")))


@attempt("N14", "a wrong activation answer, then the right one in the same session")
def n14(t: Target) -> Seen:
    forge = t.forge()
    code, device = t.invite(forge)
    hello = forge.hello(code)
    begun = t.begin(hello)
    mac, evidence = forge.answer(t.fleet, hello, begun.challenge)
    first, second = (
        t.complete(begun.state, bytes(32), evidence),
        t.complete(begun.state, mac, evidence),
    )
    return Seen(
        first.certificate is None and second.certificate is None and t.state(device) == "invited",
        f"{', '.join(first.reasons)}; then {', '.join(second.reasons)}",
    )


@attempt("N15", "a certificate request for another key than the one certified")
def n15(t: Target) -> Seen:
    forge = t.forge()
    return t.try_join(forge.with_evidence(csr=forge.csr(Key.make(TLS_ATTRS))))


@attempt("N16", "TLS keys that can leave the TPM, are restricted, or live in another hierarchy")
def n16(t: Target) -> Seen:
    seen = []
    for attributes in (
        TLS_ATTRS & ~Attr.FIXED_TPM,
        TLS_ATTRS | Attr.RESTRICTED,
        TLS_ATTRS | Attr.USER_WITH_AUTH,
    ):
        forge = t.forge()
        forge.tls = Key.make(attributes, policy=forge.tls.public.auth_policy)
        seen.append(t.try_join(forge))
    forge = t.forge()
    seen.append(
        t.try_join(
            forge.with_certify(certified_qualified_name=forge.tls.public.qualified_name(0x4000000B))
        )
    )
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt(
    "N17",
    "structures with bytes behind them, cut short, with sizes past the end, a selection of four"
    " bytes, a bank twice",
)
def n17(t: Target) -> Seen:
    def two_banks(raw: bytes) -> bytes:
        one = PcrSelection(Alg.SHA256, tuple(range(11))).marshal()
        return raw.replace(struct.pack(">I", 1) + one, struct.pack(">I", 2) + one + one)

    changes: tuple[Callable[[bytes], bytes], ...] = (
        lambda r: r + b"\0",
        lambda r: r[:-1],
        lambda r: r[:6] + b"\xff\xff" + r[8:],
        lambda r: r.replace(b"\x00\x0b\x03", b"\x00\x0b\x04"),
        two_banks,
    )
    seen = []
    for change in changes:
        seen.append(t.try_join(_resigned(t.forge(), change)))
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


def _resigned(forge: Forge, change: Callable[[bytes], bytes]) -> Forge:
    """A forge that signs the changed bytes of its quote."""

    def run(p: dict[str, Any]) -> dict[str, Any]:
        raw = change(p["quote_attest"])
        return {**p, "quote_attest": raw, "quote_signature": forge.ak.sign(raw)}

    forge.change_evidence = run
    return forge


@attempt("N18", "an empty quote, as a TPM in failure mode gives; safe = 0 alone is no offence")
def n18(t: Target) -> Seen:
    broken = t.try_join(t.forge().with_evidence(quote_attest=b"", quote_signature=b""))
    forge = t.forge()
    forge.clock = ClockInfo(5, 2, 0, False)
    sound = t.try_join(forge)
    return Seen(broken.refused and not sound.refused, f"{broken.reason}; safe = 0: {sound.reason}")


@attempt(
    "N124", "one bit of quote, certification or signature flipped, on every path that verifies"
)
def n124(t: Target) -> Seen:
    seen = []
    for member in ("quote_attest", "quote_signature", "certify_attest", "certify_signature", "csr"):
        for place in (0, 1, 2):
            seen.append(
                t.try_join(t.forge().with_evidence(**{member: lambda raw, p=place: _flip(raw, p)}))
            )
    forge, device, certificate = t.enrol()
    for place in (0, 1, 2):
        answer = t.attest(
            forge.with_evidence(quote_signature=lambda raw, p=place: _flip(raw, p)), certificate
        )
        seen.append(answer.seen)
    return Seen(
        all(s.refused for s in seen) and t.state(device) == "trusted",
        "; ".join(dict.fromkeys(s.reason for s in seen)),
    )


def _flip(raw: bytes, place: int) -> bytes:
    at = (len(raw) - 1) * place // 2
    return raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
