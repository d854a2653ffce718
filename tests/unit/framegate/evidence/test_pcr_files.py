"""PCR values in every form that TPM tools write, and what is none."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.evidence.pcr_files import as_json, parse_pcr_file
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, Alg

GO_HASH = {"sha1": 3, "sha256": 5, "sha384": 6, "sha512": 7}
banks = st.sampled_from(sorted(BANK_BY_NAME))


@st.composite
def tables(draw, most: int = 3):
    """Bank to PCR to value."""
    chosen = draw(st.lists(banks, min_size=1, max_size=most, unique=True))
    return {
        b: {
            p: draw(st.binary(min_size=(n := DIGEST_SIZE[BANK_BY_NAME[b]]), max_size=n))
            for p in sorted(draw(st.sets(st.integers(0, 23), min_size=1, max_size=12)))
        }
        for b in chosen
    }


def mask(pcrs) -> bytes:
    return sum(1 << p for p in pcrs).to_bytes(3, "little")


def serialized(table) -> bytes:
    """pcr_fwrite_serialized of tpm2-tools."""
    raw = struct.pack("<I", len(table))
    for bank, values in table.items():
        raw += struct.pack("<HB", BANK_BY_NAME[bank], 3) + mask(values) + b"\0\0"
    raw = raw.ljust(132, b"\0")
    digests = [v for values in table.values() for v in values.values()]
    lists = [digests[i : i + 8] for i in range(0, len(digests), 8)]
    raw += struct.pack("<I", len(lists))
    for each in lists:
        block = struct.pack("<I", len(each))
        block += b"".join(struct.pack("<H", len(d)) + d.ljust(64, b"\0") for d in each)
        raw += block.ljust(532, b"\0")
    return raw


def structures(table, counter: bytes = b"") -> bytes:
    raw = counter + struct.pack(">I", len(table))
    for bank, values in table.items():
        raw += struct.pack(">HB", BANK_BY_NAME[bank], 3) + mask(values)
    digests = [v for values in table.values() for v in values.values()]
    raw += struct.pack(">I", len(digests))
    return raw + b"".join(struct.pack(">H", len(d)) + d for d in digests)


def protobuf(bank: str, values) -> bytes:
    raw = b"\x08" + bytes([BANK_BY_NAME[bank]])
    for pcr, value in values.items():
        entry = b"\x08" + bytes([pcr]) + b"\x12" + bytes([len(value)]) + value
        raw += b"\x12" + bytes([len(entry)]) + entry
    return raw


def yaml(table, head: str = "") -> bytes:
    lines = [head] if head else []
    for bank, values in table.items():
        lines += [f"  {bank}:", *(f"    {p:<2}: 0x{v.hex().upper()}" for p, v in values.items())]
    return ("\n".join([*lines, "  sm3_256:", "  sha3_256:", "    0 : 0x" + "11" * 32, ""])).encode()


@given(tables())
def test_every_form_of_several_banks_reads_alike(table):
    quoted = [PcrSelection(BANK_BY_NAME[b], tuple(v)) for b, v in table.items()]
    bare = b"".join(v for values in table.values() for v in values.values())
    forms = {
        "json": json.dumps(as_json(table)).encode(),
        "nested": json.dumps({"pcrs": as_json(table)}).encode(),
        "yaml": yaml(table),
        "quote": b"quoted: ff54\nsignature:\n  alg: rsassa\n  sig: 00\npcrs:\n"
        + yaml(table)
        + b"calcDigest: 00\n",
        "serialized": serialized(table),
        "structures": structures(table),
        "read": structures(table, b"\0\0\0\x2a"),
        "go-attestation": json.dumps(
            [
                {"Index": p, "Digest": base64.b64encode(v).decode(), "DigestAlg": GO_HASH[b]}
                for b, values in table.items()
                for p, v in values.items()
            ]
        ).encode(),
    }
    for name, raw in forms.items():
        assert parse_pcr_file(raw).values == table, name
    if not bare.isascii() or b"\0" in bare:  # a digest of letters alone is nobody's
        assert parse_pcr_file(bare, quoted).values == table


@given(tables(most=1))
def test_forms_of_one_bank(table):
    ((bank, values),) = table.items()
    for raw in (
        protobuf(bank, values),
        json.dumps(
            {
                "hash": bank.upper(),
                "pcrs": {p: base64.b64encode(v).decode() for p, v in values.items()},
            }
        ).encode(),
        "".join(f"PCR-{p:02}: {v.hex(' ').upper()} \n" for p, v in values.items()).encode(),
        f"Bank/Algorithm: TPM_ALG_{bank.upper()}(0x000b)\n".encode()
        + "".join(f"PCR_{p:02}: {v.hex(' ')}\n" for p, v in values.items()).encode(),
    ):
        assert parse_pcr_file(raw).values == table


TABLE = {"sha256": {p: bytes([p]) * 32 for p in (0, 7, 10)}}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]x",
        b"[5]",
        b'{"sha256": {"0": "00"}}',
        b'{"sha256": {"24": "' + b"00" * 32 + b'"}}',
        b'{"sha9": {"0": "' + b"00" * 32 + b'"}}',
        b'{"sha256": 5}',
        b'{"pcrs": [1]}',
        b'[{"Index": 0, "Digest": "AA==", "DigestAlg": 5}]',
        b'[{"Index": 0, "Digest": "AA==", "DigestAlg": 99}]',
        b"sha256:\n  0 : 0x00\n",
        b"sha256:\n  0 : 0x" + b"00" * 32 + b"\n  0 : 0x" + b"11" * 32 + b"\n",
        b"sha256:\n  24: 0x" + b"00" * 32 + b"\n",
        b"dear reader\n",
        b"\xff" * 668,
        b"\0" * 668,
        b"\0" * 200_000,
        serialized(TABLE)[:-1],
        serialized(TABLE) + b"\0",
        structures(TABLE)[:-1],
        structures(TABLE) + b"\0",
        protobuf("sha256", TABLE["sha256"])[:-1],
        bytes(96),
    ],
)
def test_files_that_are_none_name_the_forms(raw):
    with pytest.raises(Malformed) as caught:
        parse_pcr_file(raw)
    (failure,) = caught.value.failures
    assert failure.reason == Reason.USAGE and "Error" not in str(failure)
    assert len(raw) > 100_000 or "tpm2_quote" in failure.expected


def test_bare_values_need_the_quote_that_selects_them():
    raw = bytes(range(64))
    two = (PcrSelection(Alg.SHA256, (1, 2)),)
    assert parse_pcr_file(raw, two).values == {"sha256": {1: raw[:32], 2: raw[32:]}}
    for wrong in ((), (PcrSelection(Alg.SHA256, (1,)),), (PcrSelection(Alg.SHA384, (1, 2)),)):
        with pytest.raises(Malformed):
            parse_pcr_file(raw, wrong)


@given(st.binary(max_size=800))
def test_only_our_errors(data):
    for raw in (data, b"\x08\x0b\x12" + data, serialized(TABLE)[:140] + data, b"sha256:\n" + data):
        try:
            parse_pcr_file(raw, (PcrSelection(Alg.SHA256, (0,)),))
        except Malformed:
            continue


VALUE, OTHER = "ab" * 32, "cd" * 20
SYSFS = "/sys/class/tpm/tpm0/pcr-sha256"
TEXTS = {
    "eventlog": '---\nversion: 1\nevents:\n- EventNum: 0\n  Digest: "00"\npcrs:\n'
    f"  sha1:\n    0  : 0x{OTHER}\n  sha256:\n    0  : 0x{VALUE}\n    14 : 0x{VALUE}\n",
    "quoted": f"pcrs:\n  sha256:\n    '0': \"0x{VALUE}\"\n    '14': \"0x{VALUE}\"\n",
    "kernel": f"{SYSFS}/0:{VALUE.upper()}\n{SYSFS}/14:{VALUE.upper()}\npcr-sha1/0:{OTHER}\n",
    "systemd": f"NR NAME           SHA256\n 0 platform-code  {VALUE}\n14 -              {VALUE}\n",
    "systemd-json": json.dumps([{"nr": n, "name": "x", "sha256": VALUE} for n in (0, 14)]),
    "bom": f"\ufeff  sha256:\n    0 : 0x{VALUE}\n    14: 0x{VALUE}\n",
    "head": f"==> {SYSFS}/0 <==\n{VALUE}\n\n==> {SYSFS}/14 <==\n{VALUE.upper()}\n",
    "head, in the folder": f"==> 0 <==\n{VALUE}\n\n==> 14 <==\n{VALUE}\n",
    "warnings": f"WARNING:esys:src/x.c:1: Using it\nsha256:\n  0 : 0x{VALUE}\n  14: 0x{VALUE}\n",
    "a terminal": f"root@cam:~# tpm2_pcrread sha256\n  sha256:\n    0 : 0x{VALUE}\n"
    f"    14: 0x{VALUE}\nroot@cam:~#\n",
    "windows": f"PCR[00]: {VALUE}\r\nPCR[14]: {VALUE}\r\n",
    "unknown-bank": json.dumps({"sha256": {"0": VALUE, "14": VALUE}, "sm3_256": {"0": VALUE}}),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_newer_tools_write(name):
    read = parse_pcr_file(TEXTS[name].encode()).values
    assert read["sha256"] == {0: bytes.fromhex(VALUE), 14: bytes.fromhex(VALUE)}
    assert set(read) <= {"sha1", "sha256"}


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("name", [n for n in TEXTS if n != "bom"])
def test_what_windows_tools_redirect_into_a_file(name, codec):
    mark = "" if codec == "utf-8-sig" else "\ufeff"
    raw = (mark + TEXTS[name].replace("\r\n", "\n").replace("\n", "\r\n")).encode(codec)
    assert parse_pcr_file(raw).values["sha256"] == {n: bytes.fromhex(VALUE) for n in (0, 14)}


def test_text_of_a_bank_that_is_not_known_names_it():
    with pytest.raises(Malformed, match="values of sm3_256 alone") as caught:
        parse_pcr_file(f"  sm3_256:\n    0 : 0x{VALUE}\n".encode())
    assert caught.value.reason == Reason.USAGE


@pytest.mark.parametrize(
    "text",
    [
        TEXTS["eventlog"].partition("pcrs:")[0],
        TEXTS["eventlog"].replace("0x", "0y"),
        TEXTS["kernel"].replace("/14:", "/0:"),
        TEXTS["kernel"].replace("/14:", "/24:"),
        TEXTS["kernel"].replace(VALUE.upper(), VALUE[:-1]),
        TEXTS["systemd"].replace(VALUE, VALUE + "ab"),
        TEXTS["systemd-json"].replace('"nr": 14', '"nr": 0'),
        TEXTS["head"].replace("/14 ", "/0 "),
        TEXTS["head"].replace("/14 ", "/24 "),
        TEXTS["head"].replace(VALUE, VALUE[:-2]),
        TEXTS["head"].replace("==> ", "=> "),
        TEXTS["warnings"].replace("WARNING:", "FATAL:"),
        json.dumps([{"nr": 0}]),
        json.dumps({"sm3_256": {"0": VALUE}}) + "x",
        json.dumps({"ham256": {"0": VALUE}, "sha256": {"0": VALUE}}),
    ],
    ids=[
        "no-values", "no-hex", "twice", "no-such-pcr", "half-a-byte", "another-width",
        "head-twice", "head-no-such", "head-width", "head-line", "fatal",
        "json-twice", "json-without", "json-and-more", "no-bank",
    ],
)  # fmt: skip
def test_what_looks_like_it_and_is_none(text):
    try:
        read = parse_pcr_file(text.encode()).values
    except Malformed as error:
        assert error.reason == Reason.USAGE
    else:
        assert read == {}


V32 = b"\1" * 32


def entry(*members: tuple[int, bytes | int]) -> bytes:
    raw = b""
    for number, value in members:
        if isinstance(value, int):
            raw += bytes([number << 3, value])
        else:
            raw += bytes([number << 3 | 2, len(value)]) + value
    return raw


def changed(raw: bytes, at: int, value: bytes) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


@pytest.mark.parametrize(
    "raw",
    [
        changed(serialized(TABLE), 6, b"\x05"),
        changed(serialized(TABLE), 0, b"\xff"),
        changed(serialized(TABLE), 136, b"\x09"),
        changed(serialized(TABLE), 4, b"\x12"),
        changed(structures(TABLE), 6, b"\x05"),
        changed(structures(TABLE), 3, b"\x11"),
        changed(structures(TABLE), 10, b"\x7f"),
        changed(structures(TABLE), 4, b"\x00\x12"),
        entry((1, 11), (1, 11), (2, entry((1, 0), (2, V32)))),
        entry((1, 99), (2, entry((1, 0), (2, V32)))),
        entry((1, 11)),
        entry((1, 11), (3, entry((1, 0), (2, V32)))),
        entry((1, 11), (2, 7)),
        entry((1, 11), (2, entry((1, b"x"), (2, V32)))),
        entry((1, 11), (2, entry((1, 0), (2, 7)))),
        entry((1, 11), (2, entry((1, 24), (2, V32)))),
        entry((1, 11)) + b"\x15\x00\x00\x00\x00",
        b"\x08" + b"\xff" * 9,
        json.dumps({"hash": 99, "pcrs": {"0": VALUE}}).encode(),
        json.dumps({"hash": "SHA9", "pcrs": {"0": VALUE}}).encode(),
        json.dumps({"bank": {"0": VALUE}}).encode(),
        json.dumps({"sm3_256": {"0": VALUE}}).encode(),
        json.dumps({"sha256": {"0": "z" * 64}}).encode(),
        json.dumps({"sha256": {"0": "%%"}}).encode(),
        json.dumps([{"nr": 0, "name": "x", "sm3": VALUE}]).encode(),
        b'{"sha256": {"0": "x", "0": "y"}}',
    ],
)
def test_binary_and_json_that_only_look_like_a_form_are_refused(raw):
    with pytest.raises(Malformed) as caught:
        parse_pcr_file(raw)
    assert caught.value.reason == Reason.USAGE


def test_go_attestations_object_and_hashes_by_number():
    rows = [{"Index": 0, "Digest": base64.b64encode(V32).decode(), "DigestAlg": 5}]
    wanted = {"sha256": {0: V32}}
    assert parse_pcr_file(json.dumps({"PCRs": rows}).encode()).values == wanted
    told = {"hash": 11, "pcrs": {"0": "0x" + V32.hex()}}
    assert parse_pcr_file(json.dumps(told).encode()).values == wanted


def test_a_bank_that_is_not_known_is_left_out_of_a_serialized_file():
    raw = bytearray(serialized({**TABLE, "sha1": {0: b"\2" * 20}}))
    raw[12:14] = struct.pack("<H", 0x12)
    assert parse_pcr_file(bytes(raw)).values == TABLE
