"""N21: what makers wrote in BER is put right as a whole, and nothing of it is ever believed without
its signature.
"""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason
from framegate.identity.ber import MAX_NESTING, Element, elements, first_size
from framegate.identity.certificate_file import load_certificate_file
from framegate.identity.der import DEFAULT_WRITTEN, write_anew
from framegate.identity.endorsement import (
    EK_USAGE,
    load_maker_certificate,
    verify_maker_chain,
)
from framegate.identity.tpm_name import MAKER, MODEL, VERSION, tpm_name
from framegate_controller.fleet.makers import add_maker
from framegate_controller.verbs.trust import AddTpmMaker
from framegate_operator.evidence_kinds import Kind, likely
from framegate_proto.v1 import framegate_pb2 as pb

NOW = datetime.now(UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
ROOT_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Maker Root")])


def tpm_parts(one_set: bool) -> x509.Name:
    parts = [
        x509.NameAttribute(MAKER, "id:494E5443"),
        x509.NameAttribute(MODEL, "ADL"),
        x509.NameAttribute(VERSION, "id:00010000"),
    ]
    return x509.Name(
        [x509.RelativeDistinguishedName(parts)]
        if one_set
        else [x509.RelativeDistinguishedName([p]) for p in parts]
    )


def issued(*, ca: bool = False, one_set: bool = False, key=None) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(ROOT_NAME if ca else x509.Name([]))
        .issuer_name(ROOT_NAME)
        .public_key(key or KEY.public_key())
        .serial_number(0x1122334455667788)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if not ca:
        alternative = x509.SubjectAlternativeName([x509.DirectoryName(tpm_parts(one_set))])
        builder = builder.add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
        builder = builder.add_extension(alternative, critical=True)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


ROOT = x509.load_der_x509_certificate(issued(ca=True))


def as_written(der: bytes, change) -> bytes:
    """The certificate with `change` done to every element of what is signed, and signed again."""
    (whole,) = elements(der)
    tbs, algorithm, _ = whole.children

    def walk(element: Element) -> Element:
        kept = tuple(walk(c) for c in element.children)
        return change(replace(element, children=kept))

    body = walk(tbs).der
    signature = KEY.sign(body, ec.ECDSA(hashes.SHA256()))
    rest = change(algorithm).der + Element(0x03, b"", b"\0" + signature).der
    size = len(body) + len(rest)
    return b"\x30\x82" + size.to_bytes(2, "big") + body + rest


FALSE = Element(0x01, b"", b"\0")
USAGE_OID, CONSTRAINTS_OID = bytes.fromhex("551d25"), bytes.fromhex("551d13")
ECDSA_OID = bytes.fromhex("2a8648ce3d040302")


def critical_false(e: Element) -> Element:
    if e.children and e.children[0].content == USAGE_OID:
        return replace(e, children=(e.children[0], FALSE, e.children[1]))
    return e


def ca_false(e: Element) -> Element:
    if e.children and e.children[0].content == CONSTRAINTS_OID:
        value = replace(e.children[-1], content=bytes.fromhex("3003010100"))
        return replace(e, children=(*e.children[:-1], value))
    return e


def serial(value: bytes):
    return lambda e: replace(e, content=value) if e.tag == 0x02 and len(e.content) == 8 else e


def null_behind_ecdsa(e: Element) -> Element:
    if e.children and e.children[0].content == ECDSA_OID:
        return replace(e, children=(e.children[0], Element(0x05, b"", b"")))
    return e


def unsorted_alternative(e: Element) -> Element:
    if e.children and e.children[0].content == bytes.fromhex("551d11"):
        (value,) = elements(e.children[-1].content)

        def turned(v: Element) -> Element:
            children = tuple(turned(c) for c in v.children)
            return replace(v, children=children[::-1] if v.tag == 0x31 else children)

        return replace(
            e, children=(*e.children[:-1], replace(e.children[-1], content=turned(value).der))
        )
    return e


def true_as_one(e: Element) -> Element:
    return replace(e, content=b"\x01") if e.tag == 0x01 and e.content == b"\xff" else e


def time(as_text, tag: int | None = None):
    def change(e: Element) -> Element:
        if e.tag not in {0x17, 0x18}:
            return e
        return replace(e, tag=tag or e.tag, content=as_text(e.content))

    return change


def east(text: bytes) -> bytes:
    """The same moment, two hours before it in the words of a clock further west."""
    at = datetime.strptime(text.decode() + "+0000", "%y%m%d%H%M%SZ%z") - timedelta(hours=2)
    return at.strftime("%y%m%d%H%M%S").encode() + b"-0200"


def constraints(value: str):
    def change(e: Element) -> Element:
        if e.children and e.children[0].content == CONSTRAINTS_OID:
            last = replace(e.children[-1], content=bytes.fromhex(value))
            return replace(e, children=(*e.children[:-1], last))
        return e

    return change


def with_extension(oid: str, value: str, *critical: Element):
    """The list of extensions with one more."""
    wrapped = Element(0x04, b"", bytes.fromhex(value))
    more = Element(0x30, b"", b"", (Element(0x06, b"", bytes.fromhex(oid)), *critical, wrapped))

    def change(e: Element) -> Element:
        if e.tag != 0xA3:
            return e
        return replace(
            e, children=(replace(e.children[0], children=(*e.children[0].children, more)),)
        )

    return change


def another_alternative(tag: int, value: bytes):
    """The alternative names with one more."""

    def change(e: Element) -> Element:
        if not (e.children and e.children[0].content == bytes.fromhex("551d11")):
            return e
        (names,) = elements(e.children[-1].content)
        more = tuple(elements(bytes([tag, len(value)]) + value))
        body = replace(names, children=(*names.children, *more)).der
        return replace(e, children=(*e.children[:-1], replace(e.children[-1], content=body)))

    return change


def version_2(e: Element) -> Element:
    if e.tag == 0xA0 and [c.content for c in e.children] == [b"\2"]:
        return replace(e, children=(replace(e.children[0], content=b"\1"),))
    return e


ASIDE = "an extension that decides nothing and cannot be read"
NAMELESS = "an alternative name that says nothing"
NO_CA = "a path length of no CA"
KEY_USAGE = "551d0f"
PRINTABLE_NOTICE = "3022302006092b06010401823702013013301106082b0601050507020230051303544347"
CPS_IN_UTF8 = "3026302406092b06010401823702013017301506082b060105050702010c0968747470733a2f2f78"
QUALIFIER_OF_NOBODY = "301e301c06092b0601040182370201300f300d06092b060105050702037f0500"
ISSUER_WITHOUT_SERIAL = "3006a104a4023000"
REASONS_WITHOUT_A_POINT = "3006300481020186"
LATIN_ADDRESS = "3016301406082b060105050730028608687474703a2f2fe9"
FORM = "a time in another form"
KINDS = [
    (critical_false, "FALSE written out"),
    (ca_false, "FALSE written out"),
    (serial(b"\x91" + bytes(7)), "negative serial number"),
    (serial(b"\0"), "serial number 0"),
    (serial(b"\x01" * 24), "serial number of 24 bytes"),
    (null_behind_ecdsa, "NULL behind an ECDSA algorithm"),
    (unsorted_alternative, "order of a SET"),
    (true_as_one, "TRUE that is not FF"),
    (time(lambda t: b"20" + t, 0x18), FORM),
    (time(lambda t: b"20" + t[:-1] + b".5Z", 0x18), FORM),
    (time(lambda t: t[:-1] + b"+0000"), FORM),
    (time(lambda t: t[:-3] + b"Z"), FORM),
    (time(east), FORM),
    (with_extension(KEY_USAGE, "0302030f"), "padding bits that are set"),
    (with_extension(KEY_USAGE, "0302053f"), "padding bits that are set"),
    (constraints("3003020100"), NO_CA),
    (version_2, "extensions in version 2"),
    (another_alternative(0x86, b"http://\xe9/"), NAMELESS),
    (another_alternative(0x87, bytes(5)), NAMELESS),
    (another_alternative(0xA3, b"\x30\0"), NAMELESS),
    (another_alternative(0xA5, b"\xa1\3\x0c\1x"), NAMELESS),
    (with_extension("551d20", PRINTABLE_NOTICE), ASIDE),
    (with_extension("551d20", CPS_IN_UTF8), ASIDE),
    (with_extension("551d20", QUALIFIER_OF_NOBODY), ASIDE),
    (with_extension("551d23", ISSUER_WITHOUT_SERIAL), ASIDE),
    (with_extension("551d0e", "01020304"), ASIDE),
    (with_extension("551d1f", REASONS_WITHOUT_A_POINT), ASIDE),
    (with_extension("2b06010505070101", LATIN_ADDRESS), ASIDE),
]
IDS = [f"{n}-{note}" for n, (_, note) in enumerate(KINDS)]


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize(("change", "note"), KINDS, ids=IDS)
def test_n21_every_kind_is_read_flagged_and_verified_over_what_was_signed(change, note):
    raw = as_written(issued(one_set=True), change)
    read = load_maker_certificate(raw)
    assert read.notes == (note,) and not read.strict
    assert verify_maker_chain([read], [ROOT], NOW, EK_USAGE, signing=False)
    assert "ADL" in str(tpm_name(read.certificate))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize(("change", "note"), KINDS, ids=IDS)
def test_n21_a_flipped_bit_of_any_kind_is_refused(change, note):
    raw = as_written(issued(one_set=True), change)
    for at in (*range(4, len(raw), 7), len(raw) - 1):
        spoiled = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(FramegateError):
            verify_maker_chain(
                [load_maker_certificate(spoiled)], [ROOT], NOW, EK_USAGE, signing=False
            )


@pytest.mark.parametrize("oid", ["551d1e", "2a0304", "551d11"], ids=["constraints", "own", "names"])
def test_n21_what_may_decide_is_never_set_aside(oid):
    """Garbage in a name constraint or alternative names, or an extension of nobody that is
    critical: refused.
    """
    change = with_extension(oid, "ffff", Element(0x01, b"", b"\xff"))

    def also_odd(e: Element) -> Element:
        return change(critical_false(e))

    for altered in (change, also_odd):
        with pytest.raises(FramegateError):
            raw = as_written(issued(), altered)
            verify_maker_chain([load_maker_certificate(raw)], [ROOT], NOW, EK_USAGE, signing=False)


@pytest.mark.parametrize("tag", [0x14, 0x16, 0x0C], ids=["t61", "ia5", "utf8"])
def test_n21_letters_that_a_text_has_not_are_read_as_they_were_meant(tag):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Zürich")])

    def change(e: Element) -> Element:
        if e.content == "Zürich".encode():
            return replace(e, tag=tag, content="Zürich".encode("latin-1"))
        return e

    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 7, NOW, NOW + timedelta(days=1))
    der = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)
    read = load_maker_certificate(as_written(der, change))
    assert read.notes == ("letters that its kind of text has not",)
    assert read.certificate.subject == name


def test_n21_a_wrong_signature_is_called_that():
    for change in (lambda e: e, critical_false):
        raw = as_written(issued(), change)
        spoiled = raw[:-1] + bytes([raw[-1] ^ 1])
        with pytest.raises(EvidenceRejected, match="a wrong signature"):
            verify_maker_chain(
                [load_maker_certificate(spoiled)], [ROOT], NOW, EK_USAGE, signing=False
            )


def test_n20_putting_right_makes_no_certificate_of_another_kind():
    """A CA, another usage, a dead one, or one of nobody: as odd as they are, refused as ever."""
    read = load_maker_certificate(as_written(issued(ca=True), true_as_one))
    for roots, when, usage in (
        ([ROOT], NOW, EK_USAGE),
        ([ROOT], NOW + timedelta(days=99), EK_USAGE),
        ([], NOW, EK_USAGE),
    ):
        with pytest.raises(FramegateError):
            verify_maker_chain([read], roots, when, usage, signing=False)
    leaf = load_maker_certificate(as_written(issued(), critical_false))
    with pytest.raises(EvidenceRejected):
        verify_maker_chain([leaf], [ROOT], NOW, x509.ObjectIdentifier("1.2.3"), signing=False)


def test_what_is_in_order_is_left_as_it_is():
    for raw in (issued(), issued(ca=True), issued(one_set=True)):
        anew = write_anew(raw)
        assert anew.der == raw and anew.notes == ()
        assert load_maker_certificate(raw).strict


def pem(der: bytes, label: str = "CERTIFICATE", ending: str = "\n") -> bytes:
    lines = base64.encodebytes(der).decode().split()
    body = ending.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
    return body.encode()


def test_pem_and_der_are_read_alike():
    odd, good = as_written(issued(), critical_false), issued(ca=True)
    assert [c.der for c in load_certificate_file(odd)] == [odd]
    bundle = b"# two of a maker\n" + pem(odd, ending="\r\n") + b"words\n" + pem(good)
    assert [c.der for c in load_certificate_file(bundle)] == [odd, good]
    assert load_certificate_file(pem(odd, "TRUSTED CERTIFICATE"))[0].notes


@pytest.mark.parametrize("text", [b"991332000000Z", b"240101000000", b"2401010000Z0", b"Z", b""])
def test_n21_a_time_that_there_is_not_is_none(text):
    with pytest.raises(Malformed):
        load_maker_certificate(as_written(issued(), time(lambda _: text)))


def test_n21_a_time_is_the_same_moment_in_another_form():
    plain = load_maker_certificate(issued()).certificate
    for form in (east, lambda t: t[:-1] + b"+0000"):
        read = load_maker_certificate(as_written(issued(), time(form))).certificate
        assert read.not_valid_after_utc == plain.not_valid_after_utc
    late = load_maker_certificate(as_written(issued(), time(lambda _: b"20500101000000Z", 0x18)))
    assert late.strict and late.certificate.not_valid_after_utc.year == 2050


@pytest.mark.parametrize(
    "tag", [0x13, 0x14, 0x16, 0x1A], ids=["printable", "t61", "ia5", "visible"]
)
def test_n21_a_name_in_another_string_type_is_the_same_name(tag):
    def retyped(e: Element) -> Element:
        return replace(e, tag=tag) if e.tag == 0x0C and e.content == b"Maker Root" else e

    def renamed(e: Element) -> Element:
        return replace(e, tag=tag, content=b"Maker root") if e.content == b"Maker Root" else e

    raw = as_written(issued(), retyped)
    assert verify_maker_chain([load_maker_certificate(raw)], [ROOT], NOW, EK_USAGE, signing=False)
    spoiled = load_maker_certificate(raw[:-1] + bytes([raw[-1] ^ 1]))
    another = load_maker_certificate(as_written(issued(), renamed))
    for wrong in (spoiled, another):
        with pytest.raises(EvidenceRejected):
            verify_maker_chain([wrong], [ROOT], NOW, EK_USAGE, signing=False)


TRUST = bytes.fromhex("300c300a06082b06010505070302")
"""X509_CERT_AUX: for TLS clients."""


def test_files_as_people_get_them():
    odd, good = as_written(issued(), critical_false), issued(ca=True)
    text = base64.encodebytes(odd)
    answer = json.dumps({"pubhash": "x", "certificate": base64.urlsafe_b64encode(odd).decode()})
    for raw in (
        pem(odd).decode().encode("utf-16"),
        b"\xef\xbb\xbf" + pem(odd),
        pem(odd + TRUST, "TRUSTED CERTIFICATE"),
        text,
        text.replace(b"\n", b"\r\n"),
        base64.urlsafe_b64encode(odd).rstrip(b"="),
        answer.encode(),
        odd + b"\r\n",
    ):
        (read,) = load_certificate_file(raw)
        assert read.der == odd and "FALSE written out" in read.notes
        assert likely(raw).kind is Kind.CERTIFICATE
    long = b"\x30\x83\0" + good[2:]
    assert load_certificate_file(long)[0].notes == ("a length or number in a long form",)
    other = x509.load_der_x509_certificate(issued(ca=True))
    for form in (Encoding.DER, Encoding.PEM):
        bundle = pkcs7.serialize_certificates([ROOT, other], form)
        assert {c.certificate for c in load_certificate_file(bundle)} == {ROOT, other}
        assert likely(bundle).kind is Kind.CERTIFICATE


@pytest.mark.parametrize(
    "raw",
    [
        pem(issued() + b"\x30\3\2\1\1", "CERTIFICATE"),
        pem(issued() + b"rest", "TRUSTED CERTIFICATE"),
        b"MII" + b"A" * 200,
        b"MII" + b"!" * 200,
        b'{"certificate": "MII"}',
        b'{"certificate": 7}',
        b"\xff\xfe" + "nothing".encode("utf-16-le"),
        b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n",
        bytes.fromhex("300d06092a864886f70d010702a000"),
        issued() + b"\r\n\0",
        b"\x30\x84\0\0",
    ],
    ids=[
        "behind-it", "trust-of-another-shape", "base64-of-nothing", "no-base64", "short-json",
        "json-of-a-number", "utf16-words", "pkcs7-of-nothing", "pkcs7-empty", "line-and-more",
        "cut-in-its-length",
    ],
)  # fmt: skip
def test_files_that_hold_none_in_those_forms(raw):
    with pytest.raises(Malformed):
        load_certificate_file(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA",
        pem(b"\x30\x82\0\1\0"),
        pem(issued()) * 1025,
    ],
)
def test_files_without_a_certificate(raw):
    with pytest.raises(Malformed):
        load_certificate_file(raw)


def test_names_of_tpms():
    one, three = (
        tpm_name(x509.load_der_x509_certificate(issued(one_set=s))) for s in (True, False)
    )
    assert one == three
    assert str(one) == "maker id:494E5443 (INTC), model ADL, version id:00010000"
    assert tpm_name(ROOT) is None


@given(st.binary(max_size=400))
def test_write_anew_raises_only_value_errors(data):
    for raw in (data, b"\x30\x82" + len(data).to_bytes(2, "big") + data, issued()[:60] + data):
        try:
            write_anew(raw)
        except ValueError:
            continue


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_what_was_written_anew_needs_nothing_more(at, change):
    raw = as_written(issued(one_set=True), unsorted_alternative)
    at %= len(raw)
    spoiled = raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :]
    try:
        once = write_anew(spoiled)
        again = write_anew(once.der)
    except ValueError:
        return
    assert again.der == once.der and all("serial" in n for n in again.notes)


@given(st.recursive(st.binary(max_size=8), lambda c: st.lists(c, max_size=4), max_leaves=12))
def test_elements_account_for_every_byte(tree):
    def built(part) -> Element:
        if isinstance(part, bytes):
            return Element(0x04, b"", part)
        return Element(0x30, b"", b"", tuple(built(p) for p in part))

    raw = built(tree).der
    (read,) = elements(raw)
    assert read.raw == raw and read.der == raw
    with pytest.raises(ValueError, match=r"left|length"):
        list(elements(raw[:-1])) if len(raw) > 2 else list(elements(raw[:1]))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize(("change", "note"), KINDS, ids=IDS)
def test_n21_a_machine_with_such_a_certificate_joins_under_a_maker_that_was_added(
    bench, change, note
):
    asked = pb.TpmCa(certificate=as_written(issued(ca=True), true_as_one))
    maker = AddTpmMaker.parse(asked)
    assert maker.subject == "CN=Maker Root"
    with bench.store.writing() as tx:
        add_maker(tx, maker.certificate)
    forge = bench.forge()
    raw = as_written(issued(one_set=True, key=forge.ek.private.public_key()), change)
    forge.ek_certificates = (raw,)
    answer = bench.join(forge, bench.invite())
    assert [f.reason for f in answer.failures] == [Reason.APPROVAL_NEEDED], "the evidence passes"


def test_what_is_no_certificate_is_no_makers():
    with pytest.raises(Malformed) as caught:
        AddTpmMaker.parse(pb.TpmCa(certificate=b"\x30\x82\0\1\0"))
    assert caught.value.reason == Reason.CERTIFICATE


# elements, and what is put right inside extensions


@pytest.mark.parametrize(
    "raw",
    [
        b"\x30",
        b"\x1f\x01\x00",
        b"\x30\x80\x00\x00",
        b"\x30\x85\x00\x00\x00\x00\x00",
        b"\x30\x02\x05",
        b"\x02\x82\x01\x00",
        b"\x30\x02\x05\x01",
        b"\x30\x00\x30",
    ],
)
def test_bytes_that_are_no_elements_are_refused(raw):
    with pytest.raises(ValueError):
        list(elements(raw))


def test_elements_nest_only_so_deep():
    raw = b""
    for _ in range(MAX_NESTING):
        raw = b"\x30" + bytes([len(raw)]) + raw
    assert list(elements(raw))
    with pytest.raises(ValueError, match="within one another"):
        list(elements(b"\x30" + bytes([len(raw)]) + raw))


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (b"\x30\x82\x01\x00", 0x104),
        (b"\x30\x81\x80\x00", 0x83),
        (b"\x30\x84\x00\x00", 0),
        (b"\x30\x7f\x00\x00", 0),
        (b"\x31\x82\x01\x00", 0),
        (b"\x30\x82\x01", 0),
    ],
)
def test_how_much_a_certificate_takes_of_what_begins_with_it(raw, size):
    assert first_size(raw) == size


def constrained(minimum: bytes) -> bytes:
    """A CA's certificate whose subtrees have a minimum written out."""
    base = Element(0x82, b"", b"plant.example").der + minimum
    subtree = b"\x30" + bytes([len(base)]) + base
    part = b"\xa0" + bytes([len(subtree)]) + subtree
    value = b"\x30" + bytes([len(part)]) + part
    names = x509.NameConstraints([x509.DNSName("plant.example")], None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(ROOT_NAME)
        .issuer_name(ROOT_NAME)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=9))
        .add_extension(names, critical=True)
    )
    der = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)

    def change(element: Element) -> Element:
        kids = element.children
        if kids and kids[0].content == bytes.fromhex("551d1e"):
            return replace(element, children=(*kids[:-1], replace(kids[-1], content=value)))
        return element

    return as_written(der, change)


def test_a_subtrees_minimum_of_nought_is_left_out_and_another_is_not():
    plain = write_anew(constrained(b""))
    assert plain.notes == ()
    mended = write_anew(constrained(b"\x80\x01\x00"))
    assert mended.notes == (DEFAULT_WRITTEN,)
    assert bytes.fromhex("551d1e") in mended.der and b"\x80\x01\x00" not in mended.der
    kept = write_anew(constrained(b"\x80\x01\x05"))
    assert kept.notes == () and b"\x80\x01\x05" in kept.der


@pytest.mark.parametrize(
    ("serial", "note"),
    [
        (b"\0", "serial number 0"),
        (b"\x80\x01", "negative serial number"),
        (b"\1" * 21, "serial number of 21 bytes"),
    ],
)
def test_serial_numbers_that_nobody_should_give_are_noted(serial, note):
    def change(element: Element) -> Element:
        if element.tag == 0x02 and element.content == bytes.fromhex("1122334455667788"):
            return replace(element, content=serial)
        return element

    assert note in write_anew(as_written(issued(), change)).notes


def test_an_extension_that_holds_no_ber_is_left_as_it_came():
    def change(element: Element) -> Element:
        kids = element.children
        if kids and kids[0].content == USAGE_OID:
            return replace(element, children=(*kids[:-1], replace(kids[-1], content=b"\x30\x09")))
        return element

    mended = write_anew(as_written(issued(), change))
    assert mended.notes == () and b"\x04\x02\x30\x09" in mended.der


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x05\x00",
        b"\x30\x00",
        b"\x30\x06\x30\x00\x30\x00\x03\x00",
        b"\x30\x07\x30\x00\x30\x00\x03\x01\x01",
        b"\x30\x07\x30\x00\x30\x00\x03\x01\x00",
    ],
)
def test_what_is_no_certificate_is_not_written_anew(raw):
    with pytest.raises(ValueError):
        write_anew(raw)
