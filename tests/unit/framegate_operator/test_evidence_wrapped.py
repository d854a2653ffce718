"""Files of evidence as they come out of a plant: packed, dumped as text, cut off, with something
behind them, or of another program altogether. Each is told by name, with what to do.
"""

import base64
import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from framegate_operator.evidence_kinds import Kind, likely
from framegate_operator.evidence_wrapped import wrapped
from framegate_operator.main import app
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from support.evidence_command import run_evidence

LOG = boot_log(measurements(Firmware("m")))
SHA256 = 0x0B


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("binary_bios_measurements")
        entry.size = len(LOG)
        archive.addfile(entry, io.BytesIO(LOG))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("log", LOG)
    return file.getvalue()


def dump(line: str) -> bytes:
    """LOG sixteen bytes a line, by a format of offset, hexadecimal words and text."""
    rows = []
    for at in range(0, len(LOG), 16):
        part = LOG[at : at + 16]
        pairs = " ".join(part[n : n + 2].hex() for n in range(0, len(part), 2))
        single = " ".join(f"{b:02x}" for b in part)
        rows.append(line.format(at=at, pairs=pairs, single=single))
    return "\n".join(rows).encode()


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack(">I", len(value)) + value


CEL_TLV = b"".join(
    tlv(0, struct.pack(">I", n)) + tlv(1, b"\0") + tlv(3, tlv(SHA256, bytes(32))) + tlv(5, b"x")
    for n in range(3)
)
FINAL = struct.pack("<QQIIIH", 1, 1, 5, 0x80000007, 1, SHA256) + bytes(range(32)) + bytes(4)
CEL_JSON = {"recnum": 0, "pcr": 0, "digests": [], "content_type": "pcclient_std"}
TOLD = {
    "gzip": (gzip.compress(LOG), "a gzip archive; unpack it first: gzip -dc FILE"),
    "xz": (lzma.compress(LOG), "an xz archive; unpack it first: xz -dc FILE"),
    "bzip2": (bz2.compress(LOG), "a bzip2 archive; unpack it first: bzip2 -dc FILE"),
    "zip": (zipped(), "a ZIP archive; unpack it first: unzip FILE"),
    "tar": (tar(), "a tar archive; unpack it first: tar -xf FILE"),
    "hex": (LOG.hex().encode(), "hexadecimal text of a file that is most likely boot log"),
    "hex with colons": (b":".join(b"%02x" % b for b in LOG), "most likely boot log"),
    "base64": (base64.encodebytes(LOG), "base64 text of a file that is most likely boot log"),
    "base64url": (base64.urlsafe_b64encode(LOG).rstrip(b"="), "most likely boot log"),
    "xxd": (dump("{at:08x}: {pairs}  text"), "what xxd printed of a file that is most likely boot"),
    "hexdump": (dump("{at:08x}  {single}  |text|"), "what hexdump -C printed"),
    "od": (dump("{at:07o} {single}"), "what od -t x1 printed"),
    "CEL, TLV": (CEL_TLV, "canonical event log (TCG CEL), as TLV"),
    "CEL, JSON lines": (
        b"\n".join([json.dumps(CEL_JSON).encode()] * 2),
        "canonical event log (TCG CEL), as JSON",
    ),
    "CEL, JSON inside": (json.dumps({"events": [CEL_JSON]}).encode(), "(TCG CEL), as JSON"),
    "CEL, CBOR": (cbor2.dumps([{0: 0, 1: 0, 3: [], 5: {}}]), "(TCG CEL), as CBOR"),
    "final events alone": (FINAL, "table of final events alone"),
    "the kernel's text": (
        b" 0 " + b"8f" * 20 + b" 08 [S-CRTM Version]\n",
        "give binary_bios_measurements",
    ),
    "tpm2_print": (b"magic: ff544347\ntype: 8018\n", "give the binary file"),
    "tpm2_readpublic": (b"name: 000b" + b"00" * 32 + b"\n", "the file it wrote with -o"),
    "a context": (b"\xba\xdc\xc0\xde" + bytes(40), "tpm2_readpublic -c FILE -o AK"),
    "Keylime's quote": (b"r" + b"A" * 44 + b":" + b"B" * 44 + b":" + b"C" * 44, "Keylime's agent"),
    "Keylime's policy": (b'{"digests": {}, "excludes": []}', "a runtime policy of Keylime"),
    "CoSWID": (cbor2.dumps(cbor2.CBORTag(1398229316, {0: "x"})), "a CoSWID"),
    "CoRIM, cut": (
        cbor2.dumps(cbor2.CBORTag(501, {0: "c", 1: []}))[:-2],
        "CBOR of a CoRIM that is cut off",
    ),
    "CoRIM, more behind": (
        cbor2.dumps(cbor2.CBORTag(501, {0: "c", 1: []})) + b"\0\0",
        "with 2 bytes behind it",
    ),
    "a token": (cbor2.dumps(cbor2.CBORTag(61, {1: "x"})), "an attestation token"),
    "digests alone": (
        f"{'4B' * 32}\n{'c0' * 32}\n".encode(),
        "without their numbers? Give what gre",
    ),
    "words, no base64": (b"PCR0 " + b"6e" * 32 + b"\n", "text that begins 'PCR0 6e6'"),
    "tabs, no base64": (b"sha256\n0\t" + b"6e" * 32 + b"\n", "of no kind known here"),
    "a report": (b"\2\0\0\0" + b"\4" + bytes(1179), "an attestation report of AMD SEV-SNP"),
    "a quote": (b"\4\0\2\0\x81\0\0\0" + bytes(624), "a quote of Intel TDX"),
    "a program": (b"MZ" + bytes(100), "its hash is measured"),
    "a database": (bytes.fromhex("2616c4c14c509240aca941f936934328") + bytes(60), "(ESL), hashes"),
    "an update": (bytes(20) + b"\0\2\xf1\x0e" + b"p" * 90, "a signed update of a UEFI variable"),
    "systemd-measure": (b"11:sha256=" + b"0b" * 32 + b"\n", "that systemd-measure expects"),
    "systemd's signatures": (b'{"sha256": [{"pcrs": [11], "pkfp": "00"}]}', "signatures over PCR"),
    "systemd's policy": (b'{"pcrBank": "sha256", "pcrValues": [{"pcr": 7}]}', "systemd-pcrlock"),
    "an image's values": (b'{"Measurements": {"PCR4": "00"}}', "a cloud image is expected"),
    "go-attestation's": (b'{"EventLog": "", "PlatformParameters": {}}', "evidence of go-attest"),
    "an error": (b"ERROR: Esys_PCR_Read\n", "what a tool printed when it failed"),
    "a web page": (b"<!DOCTYPE html><html>404</html>", "a web page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "a secret": (b"-----BEGIN PRIVATE KEY-----\nAAAA", "keep it to yourself"),
    "a request": (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA", "not a certificate"),
    "a document": (
        "––BEGIN CERTIFICATE––\nAAAA".encode(),
        "without its five hyphens",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_a_file_is_wrapped_in_is_told_with_what_to_do(name, tmp_path: Path):
    raw, told = TOLD[name]
    (tmp_path / "file").write_bytes(raw)
    done = CliRunner().invoke(app, ["evidence", "show", str(tmp_path / "file")])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    first = done.stderr.splitlines()[0]
    assert first.startswith("most likely ") and told in first
    assert likely(raw).kind is Kind.OTHER


def test_a_replay_says_what_it_was_given_instead_of_a_log(tmp_path: Path):
    for name in ("gzip", "hex", "Keylime's quote"):
        raw, told = TOLD[name]
        (tmp_path / "file").write_bytes(raw)
        code, body = run_evidence("replay", tmp_path / "file")
        seen = body["malformed"][0]
        assert code == 1 and seen["expected"] == "boot log or IMA measurement list"
        assert told in seen["actual"]


def test_a_damaged_log_is_called_a_log(tmp_path: Path):
    (tmp_path / "file").write_bytes(LOG[:4096] if len(LOG) > 4096 else LOG[:-7])
    code, body = run_evidence("replay", tmp_path / "file")
    assert code == 1 and "event data" in body["malformed"][0]["expected"]


def test_the_file_that_is_of_another_kind_is_named_beside_a_failure(tmp_path: Path):
    values = b"sha256:\n  0 : 0x" + b"00" * 32 + b"\n"
    for name, raw in {"ak": TOLD["a context"][0], "attest": values, "signature": values}.items():
        (tmp_path / name).write_bytes(raw)
    files = [part for n in ("ak", "attest", "signature") for part in (f"--{n}", tmp_path / n)]
    code, body = run_evidence("verify", *files, "--nonce", "")
    assert code == 6 and "tpm2_readpublic" in body["other_kinds"]["--ak"]
    assert body["other_kinds"]["--signature"].startswith("PCR values")
    done = CliRunner().invoke(app, ["evidence", "verify", *map(str, files), "--nonce", ""])
    assert "the file of --signature is most likely PCR values" in done.stderr


@pytest.mark.parametrize(
    ("option", "name"), [("--pcrs", "gzip"), ("--profile", "hex"), ("--allowlist", "a web page")]
)
def test_an_option_of_another_kind_says_which(option, name, tmp_path: Path):
    raw, told = TOLD[name]
    (tmp_path / "file").write_bytes(raw)
    argv = [f for n in ("ak", "attest", "signature") for f in (f"--{n}", str(tmp_path / "file"))]
    done = CliRunner().invoke(
        app, ["evidence", "verify", *argv, "--nonce", "", option, str(tmp_path / "file")]
    )
    assert done.exit_code == 2 and told.split(";")[0][:30] in " ".join(done.stderr.split())


@given(st.binary(max_size=400))
def test_a_wrapping_never_fails_and_is_turned_back(data):
    for raw in (data, data.hex().encode(), base64.b64encode(data), b"00000000: " + data):
        wrapped(raw)
    for text in (data.hex().encode(), base64.b64encode(data)):
        found = wrapped(text)
        assert len(data) < 64 or (found is not None and found.inside == data)
