"""Measurement lists of any template, binary and ASCII: fields in any list and order, fs-verity
digests, names as the kernel prints them, entries of other PCRs (N60, N65).
"""

import hashlib
import struct

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.eventlog import parse_boot_log
from framegate.ima import ImaEntry, looks_like_ima, parse_ima, running_values
from framegate.ima.allowlist import (
    ANYWHERE,
    AllowedFile,
    allowlist_text,
    key_of,
    parse_allowlist,
)
from framegate.ima.judge import ImaRules, ima_failures, key_id, signature_holds
from framegate.ima.replay import require_one_pcr
from framegate.ima.template import FIELDS
from framegate.profile.learn import Observation, learn, unlistable
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, boot_log, measurements

DIGEST = hashlib.sha256(b"content").digest()
VALUES = {
    "d": b"\1" * 20,
    "n": b"/usr/bin/tool\0",
    "d-ng": b"sha256:\0" + DIGEST,
    "n-ng": b"/usr/bin/tool\0",
    "d-ngv2": b"ima:sha256:\0" + DIGEST,
    "sig": b"\x03\x02\x04" + b"\5" * 20,
    "buf": b"kernel buffer",
    "d-modsig": b"sha512:\0" + b"\6" * 64,
    "modsig": b"\x30\x03abc",
    "evmsig": b"\x05\x02\x04xyz",
    "iuid": (1000).to_bytes(4, "little"),
    "igid": (0).to_bytes(4, "little"),
    "imode": (0o100755).to_bytes(2, "little"),
    "xattrnames": b"security.ima|user.x\0",
    "xattrlengths": b"\4\0\0\0",
    "xattrvalues": b"\7\7\7\7",
}


def shown(field: str, value: bytes) -> bytes:
    """As the kernel prints it (ima_template_lib.c)."""
    if field in {"n", "n-ng", "xattrnames"}:
        return value.rstrip(b"\0")
    if field in {"iuid", "igid", "imode"}:
        return str(int.from_bytes(value, "little")).encode()
    if field in {"d-ng", "d-ngv2", "d-modsig"} and value:
        head, _, digest = value.partition(b":\0")
        return head + b":" + digest.hex().encode()
    return value.hex().encode()


def body_of(fields, values) -> bytes:
    return b"".join(struct.pack("<I", len(values[f])) + values[f] for f in fields)


def binary(name: str, body: bytes, algorithm: str = "sha1", pcr: int = 10) -> bytes:
    return (
        struct.pack("<I", pcr)
        + hashlib.new(algorithm, body).digest()
        + struct.pack("<I", len(name))
        + name.encode()
        + struct.pack("<I", len(body))
        + body
    )


def printed(name: str, fields, values, algorithm: str = "sha1", pcr: int = 10) -> bytes:
    digest = hashlib.new(algorithm, body_of(fields, values)).hexdigest().encode()
    texts = b" ".join(shown(f, values[f]) for f in fields)
    return b"%2d %s %s %s\n" % (pcr, digest, name.encode(), texts)


lists = st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=15, unique=True)


@given(lists, st.sampled_from(["sha1", "sha256", "sha384", "sha512"]))
def test_any_list_of_fields_reads_alike_in_both_forms(fields, algorithm):
    name = "|".join(fields)
    raw = binary(name, body_of(fields, VALUES), algorithm)
    text = printed(name, fields, VALUES, algorithm)
    one, other = parse_ima(raw * 2), parse_ima(text * 2)
    assert one.entries == other.entries and one.width == other.width
    assert looks_like_ima(raw) and looks_like_ima(text)
    entry = one.entries[0]
    assert entry.template == name and entry.data == body_of(fields, VALUES)
    assert entry.path == (b"/usr/bin/tool" if {"n", "n-ng"} & set(fields) else b"")
    wanted = "sha256" if {"d-ng", "d-ngv2"} & set(fields) else "sha1" if "d" in fields else ""
    assert entry.algorithm == wanted


@given(lists, st.data())
def test_empty_fields_and_trailing_spaces(fields, data):
    values = dict(VALUES)
    for field in fields:
        if field in {"sig", "buf", "modsig", "evmsig", "xattrvalues"} and data.draw(st.booleans()):
            values[field] = b""
    text = printed("|".join(fields), fields, values)
    (entry,) = parse_ima(text).entries
    assert entry.data == body_of(fields, values)
    stripped = parse_ima(text.rstrip(b" \n") + b"\n").entries[0]
    assert stripped.data == body_of(fields, values)


@given(
    lists.filter(lambda f: {"n", "n-ng"} & set(f)),
    st.binary(min_size=1, max_size=40).filter(lambda n: b"\0" not in n and b"\n" not in n),
)
def test_any_name_in_a_list_reads_alike_in_both_forms(fields, name):
    """Spaces too, which kernels before 3.13 left in names."""
    values = VALUES | {"n": name + b"\0", "n-ng": name + b"\0"}
    (one,) = parse_ima(binary("|".join(fields), body_of(fields, values))).entries
    assert one.path == name
    if len({"n", "n-ng"} & set(fields)) == 1:
        assert parse_ima(printed("|".join(fields), fields, values)).entries == (one,)


def test_a_name_with_line_breaks_is_one_entry():
    fields = ("d-ng", "n-ng")
    values = VALUES | {"n-ng": b"/tmp/a\nb\n10 c\0"}
    text = printed("ima-ng", fields, values)
    assert [e.path for e in parse_ima(text + printed("ima-ng", fields, VALUES)).entries] == [
        b"/tmp/a\nb\n10 c",
        b"/usr/bin/tool",
    ]


def test_n60_a_name_that_looks_like_an_entry_makes_none():
    """Whoever names a file after a line of the list gets neither entry through."""
    inner = printed("ima-ng", ("d-ng", "n-ng"), VALUES).rstrip(b"\n")
    values = VALUES | {"n-ng": b"/tmp/x\n" + inner + b"\0"}
    with pytest.raises(Malformed):
        parse_ima(printed("ima-ng", ("d-ng", "n-ng"), values))


@given(lists, st.integers(0, 2000), st.integers(1, 255))
def test_n60_a_changed_byte_of_the_data_is_refused(fields, at, change):
    body = body_of(fields, VALUES)
    raw = bytearray(binary("|".join(fields), body))
    place = len(raw) - 1 - at % len(body)
    raw[place] ^= change
    with pytest.raises(Malformed):
        parse_ima(bytes(raw))


@pytest.mark.parametrize(
    "name", ["d-ng|d-ng", "d-ng|x", "|", "d-ng|", "", "D-NG", "|".join(sorted(FIELDS))]
)
def test_templates_that_there_are_not(name):
    fields = [f for f in name.split("|") if f in FIELDS] or ["d-ng"]
    with pytest.raises(Malformed):
        parse_ima(binary(name, body_of(fields, VALUES)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("d-ng", b"verity:sha256:\0" + DIGEST),
        ("d-ng", b"ima:sha256:\0" + DIGEST),
        ("d-ngv2", b"sha256:\0" + DIGEST),
        ("d-ngv2", b"fs:sha256:\0" + DIGEST),
        ("d-ngv2", b"verity:ima:sha256:\0" + DIGEST),
        ("d-ngv2", b"verity:sha256:\0" + DIGEST[:-1]),
        ("d", bytes(19)),
        ("n-ng", b"/no/end"),
    ],
)
def test_n65_fields_that_say_what_they_may_not(field, value):
    fields = [field] if field.startswith("d") else ["d-ng", field]
    body = body_of(fields, VALUES | {field: value})
    with pytest.raises(Malformed):
        parse_ima(binary("|".join(fields), body))


# fs-verity


def entry_of(template: str, fields, **changes: bytes) -> ImaEntry:
    values = VALUES | {k.replace("_", "-"): v for k, v in changes.items()}
    return parse_ima(binary(template, body_of(fields, values))).entries[0]


VERITY = entry_of("ima-ngv2", ("d-ngv2", "n-ng"), d_ngv2=b"verity:sha256:\0" + DIGEST)
PLAIN = entry_of("ima-ngv2", ("d-ngv2", "n-ng"))
OLD = entry_of("ima-ng", ("d-ng", "n-ng"))


def judged(entry: ImaEntry, *allowed: AllowedFile):
    lists = [parse_allowlist(allowlist_text(allowed))]
    rules = ImaRules((), 0, (), (), {}, (), False)
    return ima_failures([entry], rules, lists, Alg.SHA256, {}, first=False, violations=0)


def test_n65_a_verity_digest_and_a_file_hash_are_never_taken_for_each_other():
    name = b"/usr/bin/tool"
    for path in (name, ANYWHERE):
        tree, whole = (
            AllowedFile("verity:sha256", DIGEST, path),
            AllowedFile("sha256", DIGEST, path),
        )
        assert judged(VERITY, tree) == [] == judged(PLAIN, whole) == judged(OLD, whole)
        assert judged(VERITY, whole) and judged(PLAIN, tree) and judged(OLD, tree)
    assert "ima_hash" not in judged(VERITY)[0].hint


def test_allowlists_hold_verity_digests_and_odd_names():
    files = [
        AllowedFile("verity:sha256", DIGEST, b"/a b"),
        AllowedFile("verity:sha512", b"\1" * 64, ANYWHERE),
        AllowedFile("sha256", b":" * 32, ANYWHERE),
        AllowedFile("sha256", DIGEST, b"*"),
        AllowedFile("sha256", DIGEST, b"/back\\slash%"),
    ]
    text = allowlist_text(files)
    assert set(parse_allowlist(text).files()) == set(files)
    assert b"  %2A\n" in text and b"%5C" in text, "a file called * is not everywhere"
    for line in (
        "verity:sha1:" + "00" * 20,
        "verity:sha384:" + "00" * 48,
        "ima:sha256:" + "00" * 32,
    ):
        with pytest.raises(Malformed):
            parse_allowlist(f"# framegate allowlist v1\n{line}  /x\n".encode())


def test_n65_a_signature_that_looks_like_a_digest_allows_nothing():
    """Template sig|n-ng has the very bytes of an ima-ng entry, and an attribute that root wrote."""
    fake = entry_of("sig|n-ng", ("sig", "n-ng"), sig=b"sha256:\0" + DIGEST)
    allowed = AllowedFile("sha256", DIGEST, b"/usr/bin/tool")
    assert fake.data == key_of(*allowed) and fake.algorithm == ""
    (failure,) = judged(fake, allowed)
    assert failure.reason == Reason.IMA_FILE and "ima_template=ima-ng" in failure.hint


def test_signatures_over_verity_digests():
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    identifier, public = key_id(pem)

    def signed(kind: int, version: int, digest: bytes) -> bytes:
        value = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        return bytes([kind, version, 4]) + identifier + struct.pack(">H", len(value)) + value

    of_tree = hashlib.sha256(b"\x06\x04" + DIGEST).digest()
    keys = {identifier: public}
    assert signature_holds(VERITY._replace(signature=signed(6, 3, of_tree)), keys)
    assert signature_holds(OLD._replace(signature=signed(3, 2, DIGEST)), keys)
    for entry, signature in (
        (VERITY, signed(3, 2, DIGEST)),
        (VERITY, signed(6, 3, DIGEST)),
        (VERITY, signed(6, 2, of_tree)),
        (OLD, signed(6, 3, of_tree)),
        (OLD, signed(3, 3, DIGEST)),
        (OLD, signed(3, 2, DIGEST)[:8]),
    ):
        assert not signature_holds(entry._replace(signature=signature), keys)
    assert not signature_holds(VERITY._replace(signature=signed(6, 3, of_tree)), {})


# other PCRs


def test_entries_of_another_pcr_are_replayed_to_that_pcr():
    here, there = (binary("ima-ng", body_of(("d-ng", "n-ng"), VALUES), pcr=p) for p in (10, 11))
    mixed, alone = parse_ima(here + there + here), parse_ima(here + here)
    start = bytes(32)
    assert (
        running_values(mixed, Alg.SHA256, start)[-1] == running_values(alone, Alg.SHA256, start)[-1]
    )
    other = running_values(mixed, Alg.SHA256, start, pcr=11)
    assert (
        other[1] == start
        and other[-1] == running_values(parse_ima(there), Alg.SHA256, start, pcr=11)[-1]
    )
    require_one_pcr(alone.entries)
    with pytest.raises(EvidenceRejected, match="entry 1 was extended into PCR 11, not 10"):
        require_one_pcr(mixed.entries)
    with pytest.raises(EvidenceRejected, match="entry 8 "):
        require_one_pcr(mixed.entries[1:], 8)


def test_learning_allows_verity_and_tells_what_it_cannot():
    log = parse_boot_log(boot_log(measurements(Firmware("m"))))
    weak = entry_of("ima-ng", ("d-ng", "n-ng"), d_ng=b"sha1:\0" + bytes(20))

    def learnt(*entries):
        return learn(
            [Observation(log, entries)],
            name="m",
            version="1",
            revision=1,
            description="",
            bank=Alg.SHA256,
        )

    allowlist = parse_allowlist(learnt(VERITY, weak).allowlist)
    assert list(allowlist.files()) == [AllowedFile("verity:sha256", DIGEST, b"/usr/bin/tool")]
    assert unlistable([VERITY, weak]) == [weak]
    with pytest.raises(EvidenceRejected):
        learnt(VERITY, VERITY._replace(pcr=11))
