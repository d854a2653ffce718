"""Every parser: parse of marshal is the identity, and no input raises anything but our errors."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate import wire
from framegate.codec import Record
from framegate.errors import FramegateError, Malformed
from framegate.eventlog import parse_boot_log, replay, structural_failures
from framegate.evidence.activation import EvidencePromise, activation_mac
from framegate.identity.endorsement import load_ek_certificate
from framegate.profile.model import parse_profile
from framegate.profile.posture import Posture, parse_posture
from framegate.sframe import encode_header, parse_header
from framegate.signed.dsse import parse_envelope, strict_json
from framegate.signed.statement import Grant, Verdict
from framegate.tpm.attest import (
    Attest,
    ClockInfo,
    PcrSelection,
    marshal_attest,
    marshal_ecdsa_signature,
    parse_attest,
    parse_signature,
)
from framegate.tpm.constants import Alg, St
from framegate.tpm.public import AK_ATTRS, parse_public
from framegate_simulators.forge.forge import Key
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml

RECORDS = [
    r
    for r in vars(wire).values()
    if isinstance(r, type) and issubclass(r, Record) and r is not Record
]
PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")
LOG = boot_log(measurements(Firmware("simulated-camera")))


def values(record: type[Record]):
    def one(codec):
        kind, most, extra = codec
        if kind in {"u8", "u32", "u64"}:
            return st.integers(0, 2 ** int(kind[1:]) - 1)
        if kind == "blob":
            return (
                st.binary(min_size=extra, max_size=extra)
                if extra
                else st.binary(max_size=min(most, 60))
            )
        if kind == "text":
            return st.text(
                st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]),
                max_size=min(most, 60) // 4,
            )
        if kind == "numbers":
            return st.sets(st.integers(0, 255), max_size=extra).map(lambda s: tuple(sorted(s)))
        return st.lists(st.binary(max_size=min(most, 40)), max_size=extra).map(tuple)

    return st.fixed_dictionaries({f.name: one(f.metadata["codec"]) for f in fields(record)})


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_records_roundtrip_and_account_for_every_byte(record):
    @given(values(record), st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
    def check(content, cut, more):
        original = record(**content)
        raw = original.marshal()
        assert record.parse(raw) == original
        with pytest.raises(Malformed):
            record.parse(raw + more)
        with pytest.raises(Malformed):
            record.parse(raw[: cut % len(raw)])

    check()


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.__name__)
def test_records_raise_only_our_errors(record):
    prefix = bytes([len(record.LABEL)]) + record.LABEL.encode()

    @given(st.binary(max_size=300))
    def check(data):
        for raw in (data, prefix + data):
            try:
                assert record.parse(raw).marshal() == raw
            except Malformed:
                continue

    check()


@given(st.binary(max_size=400))
def test_tpm_parsers_raise_only_our_errors(data):
    good = Key.make(AK_ATTRS).public.raw
    for parser in (parse_public, parse_attest, parse_signature, load_ek_certificate, parse_header):
        for raw in (data, good[: len(data) % len(good)] + data):
            try:
                parser(raw)
            except Malformed:
                continue


SELECTIONS = st.lists(
    st.tuples(
        st.sampled_from([Alg.SHA1, Alg.SHA256, Alg.SHA384, Alg.SHA512]), st.sets(st.integers(0, 23))
    ),
    max_size=4,
    unique_by=lambda s: s[0],
).map(lambda banks: tuple(PcrSelection(b, tuple(sorted(p))) for b, p in banks))


@given(
    st.integers(0, 2**32 - 1),
    st.binary(max_size=66),
    st.binary(max_size=64),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    SELECTIONS,
    st.binary(max_size=64),
)
def test_attest_roundtrip(magic, signer, extra, clock, count, safe, selections, digest):
    for kind in (St.ATTEST_QUOTE, St.ATTEST_CERTIFY):
        quote = kind == St.ATTEST_QUOTE
        attest = Attest(
            b"",
            magic,
            kind,
            signer,
            extra,
            ClockInfo(clock, count, count, safe),
            clock,
            selections if quote else (),
            digest if quote else b"",
            b"" if quote else digest,
            b"" if quote else signer,
        )
        raw = marshal_attest(attest)
        assert marshal_attest(parse_attest(raw)) == raw
        for cut in range(len(raw)):
            with pytest.raises(Malformed):
                parse_attest(raw[:cut])
        with pytest.raises(Malformed):
            parse_attest(raw + b"\0")


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_signature_roundtrip(r, s):
    parsed = parse_signature(marshal_ecdsa_signature(r, s))
    assert (parsed.r, parsed.s) == (r, s)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_sframe_header_roundtrip(kid, counter):
    header = encode_header(kid, counter)
    assert parse_header(header + b"more") == (kid, counter, len(header))


@given(st.integers(0, len(LOG) - 1), st.binary(min_size=1, max_size=8))
def test_boot_log_with_bytes_replaced_raises_only_our_errors(at, data):
    raw = LOG[:at] + data + LOG[at + len(data) :]
    try:
        log = parse_boot_log(raw)
        replay(log, Alg.SHA256)
        structural_failures(log, Alg.SHA256)
    except FramegateError:
        return


@given(st.binary(max_size=500))
def test_boot_log_of_anything_raises_only_our_errors(data):
    try:
        parse_boot_log(data)
    except Malformed:
        return


@given(st.integers(0, len(PROFILE) - 1), st.text(max_size=6))
def test_profile_with_text_replaced_raises_only_our_errors(at, text):
    try:
        parse_profile((PROFILE[:at] + text + PROFILE[at + len(text) :]).encode())
    except Malformed:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(max_size=8), c, max_size=3),
)


@given(JSON)
def test_json_parsers_raise_only_our_errors(value):
    raw = json.dumps(value).encode()
    assert strict_json(raw) == value
    for parser in (
        lambda: parse_envelope(raw, Grant.TYPE),
        lambda: Grant.parse_payload(raw),
        lambda: Verdict.parse_payload(raw),
        lambda: parse_posture(raw),
    ):
        with pytest.raises(Malformed):
            parser()


@given(st.text(max_size=20).filter(str.isprintable), st.integers(0, 2**31), st.booleans())
def test_posture_roundtrip(text, uptime, pending):
    posture = Posture(text, text, text, text, text, text, uptime, pending)
    assert parse_posture(posture.marshal()) == posture


@given(
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=50),
    st.integers(0, 255),
)
def test_activation_mac_depends_on_everything(secret, t, evidence, bit):
    promise = EvidencePromise.of(evidence)
    mac = activation_mac(secret, t, promise)
    flip = lambda b: bytes([b[0] ^ (1 << bit % 8)]) + b[1:]  # noqa: E731
    assert (
        len(
            {
                mac,
                activation_mac(flip(secret), t, promise),
                activation_mac(secret, flip(t), promise),
                activation_mac(secret, t, EvidencePromise.of(evidence + b"x")),
                activation_mac(secret, t, promise._replace(size=promise.size + 1)),
            }
        )
        == 5
    )
