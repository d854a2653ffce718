"""What a file most likely is, told first; and what is shown of kinds that were not known."""

import hashlib
import json
import struct
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from framegate.ima.allowlist import HEADER
from framegate_operator.evidence_kinds import Kind, likely
from framegate_operator.main import app
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from framegate_simulators.machine.ima import ImaMachine
from support.evidence_command import run_evidence

COMID = {1: {0: "vendor module"}, 4: {0: [[{0: {}}, [{0: 4, 1: {2: [[1, b"\1" * 32]]}}]]]}}
VALUES = {"sha256": {"0": "00" * 32}}


def ima() -> bytes:
    machine = ImaMachine()
    machine.measure(b"/x", b"x" * 32)
    return machine.list_from()


def corim(comid) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(501, {0: "c", 1: [cbor2.CBORTag(506, cbor2.dumps(comid))]}))


FILES = {
    "boot": (Kind.BOOT_LOG, boot_log(measurements(Firmware("m")))),
    "ima": (Kind.IMA, ima()),
    "custom": (
        Kind.IMA,
        b"10 "
        + hashlib.sha256(struct.pack("<I", 3) + b"/x\0").hexdigest().encode()
        + b" n-ng /x\n",
    ),
    "pcrs": (Kind.PCRS, json.dumps(VALUES).encode()),
    "text": (Kind.PCRS, b"sha256:\n  0 : 0x" + b"00" * 32 + b"\n"),
    "allowlist": (Kind.ALLOWLIST, f"{HEADER}\nsha256:{'00' * 32}  /x\n".encode()),
    "sums": (Kind.CHECKSUMS, b"00" * 32 + b"  /x\n"),
    "custom in UTF-16": (
        Kind.IMA,
        (
            "10 " + hashlib.sha256(struct.pack("<I", 3) + b"/x\0").hexdigest() + " n-ng /x\r\n"
        ).encode("utf-16"),
    ),
    "text in UTF-16": (Kind.PCRS, ("sha256:\r\n  0 : 0x" + "00" * 32 + "\r\n").encode("utf-16")),
    "JSON in UTF-16": (Kind.PCRS, json.dumps(VALUES).encode("utf-16")),
    "sums in UTF-16": (Kind.CHECKSUMS, ("00" * 32 + "  /x\r\n").encode("utf-16")),
    "corim": (Kind.CORIM, corim(COMID)),
    "comid": (Kind.COMID, cbor2.dumps(cbor2.CBORTag(506, cbor2.dumps(COMID)))),
    "bare comid": (Kind.COMID, cbor2.dumps(COMID)),
}


@pytest.mark.parametrize("name", FILES)
def test_kinds_are_told_and_shown(name, tmp_path: Path):
    kind, raw = FILES[name]
    assert likely(raw).kind is kind
    (tmp_path / "file").write_bytes(raw)
    code, body = run_evidence("show", tmp_path / "file")
    assert code == 0 and body["kind"] == kind.value and body["likely"].startswith(kind.value)
    assert "vendor module" in json.dumps(body) or kind not in {Kind.CORIM, Kind.COMID}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "an empty file"),
        (b"\xff" * 3000, "padding only"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "certificate: PEM"),
        (b"-----BEGIN PKCS7-----\nAAAA", "certificate: PEM"),
        ("-----BEGIN CERTIFICATE-----".encode("utf-16"), "CERTIFICATE, in UTF-16"),
        ("words".encode("utf-16"), "text of no kind known here, in UTF-16"),
        (b'{"records": [{"pcr": 4}]}', "JSON of systemd-pcrlock"),
        (b'[{"recnum": 0, "content_type": "pcclient_std"}]', "canonical event log"),
        (b"[7]", "JSON of another program"),
        (b'\x1e{"pcr": 11}', "systemd's log"),
        (b"II*\0" + bytes(range(60)), "a TIFF"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA", "PEM that says PUBLIC KEY"),
        (b"\x30\x82\x01\0" + bytes(256), "DER"),
        (boot_log(measurements(Firmware("m")))[:-5], "boot log: begins with a Spec ID event"),
        (ima()[:-3], "IMA measurement list: binary"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b'{"a": 1}', "JSON of another program, with a"),
        (b'{"a', "JSON that is cut off"),
        (b"<?xml version='1.0'?><SoftwareIdentity/>", "SWID"),
        (b"\xffTCG" + bytes(20), "TPM attestation"),
        (b"\x10\x01\0\x05", "with the header of an NV index"),
        (b"\0\x0b" + bytes(range(32)), "the name of a TPM object"),
        (b"coreboot TPM log:\n\n TPM2 log:\n", "coreboot's log as cbmem prints it"),
        (b"TPM log entry 1:\n", "coreboot's log as cbmem prints it"),
        (b"https://example.com/ek.cer\n", "an address: give what lies there"),
        (b"[    1.234567] ima: No TPM chip found", "lines of the kernel's own log"),
        (b"[1.5", "JSON that is cut off"),
        (b"501({ 0: h'4d5c' })\n", "CBOR in diagnostic notation"),
        (b"%%%% HASHDEEP-1.0\n", "a list of hashdeep"),
        (b"\0\0\0\x0a" + bytes(20) + b"\0\0\0\x06ima-ng", "IMA list of a big-endian machine"),
        (b"\0\0\0\x0a" + bytes(20) + b"\0\0\0\x06iMa-ng", "bytes that begin 0000000a00000000"),
        (b"bank,index,value\n", "text that begins 'bank,ind', of no kind known here"),
        (b"\x7fbank,in", "bytes that begin 7f62616e6b2c696e"),
    ],
)
def test_the_likeliest_is_the_first_line_before_any_other_reading(raw, told, tmp_path: Path):
    (tmp_path / "file").write_bytes(raw)
    done = CliRunner().invoke(app, ["evidence", "show", str(tmp_path / "file")])
    assert done.exit_code == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith("most likely ") and told in first
    code, body = run_evidence("show", tmp_path / "file")
    assert code == 1 and body["kind"] == "unknown" and told in body["likely"]


@given(st.binary(max_size=300))
def test_a_guess_never_fails(data):
    for raw in (data, b"{" + data, b"\x30\x82" + data, b"\xd9\x01\xf5" + data, b"sha256:\n" + data):
        assert likely(raw).told


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"excludes": [], "digests": {}}', "a runtime policy of Keylime"),
        (b"%%%% HASHDEEP-1.0\n", "a list of hashdeep"),
        (b"sha256sum: /opt/x: Permission denied\n", "in line 1"),
    ],
)
def test_an_allowlist_is_made_of_no_other_file_and_says_what_that_is(raw, told, tmp_path: Path):
    (tmp_path / "file").write_bytes(raw)
    words = ["profile", "allowlist", str(tmp_path / "file"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and told in done.stderr and "sha256sum" in done.stderr
    assert not (tmp_path / "out").exists()


LINE = b"10 " + b"0b" * 20 + b" ima-ng sha256:" + b"00" * 32 + b" /x\n"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"/sys/kernel/security/ima/ascii_runtime_measurements:" + LINE, "IMA list with others"),
        (b"     1\t" + LINE, "IMA list with others"),
        (b"root@cam:~# cat ascii_runtime_measurements\n" + LINE, "IMA list with others"),
        (b"# ours\nmeasure func=BPRM_CHECK mask=MAY_EXEC\n", "an IMA policy"),
        (b"dont_measure fsmagic=0x9fa0\n", "an IMA policy"),
        (b"1234\n", "text that begins '1234'"),
        (b"hello 10 " + b"0b" * 20 + b" nothing /x\n", "text that begins 'hello 10'"),
        (b"measure twice, cut once\n", "text that begins 'measure '"),
    ],
)
def test_texts_beside_an_ima_list(raw, told):
    guess = likely(raw)
    assert guess.kind is Kind.OTHER and told in str(guess)


@pytest.mark.parametrize("below", ["  0 : 0x" + "0b" * 32, "  - " + "0b" * 32])
def test_values_of_a_bank_that_is_not_known_are_pcr_values_all_the_same(below):
    guess = likely(f"sha3_256:\n{below}\n".encode())
    assert guess.kind is Kind.PCRS and "the name of a bank" in guess.told


def test_a_processors_report_is_no_boot_log(tmp_path):
    path = tmp_path / "report"
    path.write_bytes(b"\2\0\0\0" + bytes(1180))
    result = CliRunner().invoke(app, ["evidence", "show", str(path)])
    assert result.exit_code == 1 and "SEV-SNP" in result.stderr
    assert "EV_" not in result.stdout and "boot log\n" not in result.stderr
