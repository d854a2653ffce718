"""Files of the field, each with the outcome that is right for it, through the commands: one test a
case. What only editing a case gives is made from it here.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner, Result

from framegate.errors import EvidenceRejected, Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.evidence.quote_files import load_attest
from framegate.identity.certificate_file import load_certificate_file
from framegate.identity.endorsement import (
    verify_endorsement,
)
from framegate.ima import parse_ima
from framegate.ima.allowlist import parse_allowlist
from framegate.ima.judge import signature_holds
from framegate.image_header import encoding_of
from framegate.profile.learn import Observation, learn
from framegate.tpm.constants import Alg
from framegate.tpm.public import parse_public
from framegate.wire import sha256
from framegate_gateway.inference.decoding import decode_gray
from framegate_models.dataset import Listed, read_pair
from framegate_operator.main import app
from support.evidence_command import reasons, run_evidence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BOARD_CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")


@pytest.fixture
def case(real_data: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of the case that the test is named after."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    folder = real_data / "field-cases" / name
    assert (folder / "expected.json").exists(), f"no case {name}"
    return folder


def right(case: Path):
    return json.loads((case / "expected.json").read_text())["right"]


def profile(*arguments: object) -> Result:
    done = CliRunner().invoke(app, ["profile", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def verified(folder: Path, nonce: str, *more: object) -> tuple[int, dict]:
    return run_evidence(
        "verify",
        *("--ak", folder / "ak.pem", "--attest", folder / "quote.msg"),
        *("--signature", folder / "quote.sig", "--nonce", nonce, *more),
    )


def learnt(case: Path, *quirks: str, ima: Path | None = None) -> dict:
    body, _ = learn(
        [
            Observation(
                parse_boot_log((case / "boot_log").read_bytes()),
                parse_ima(ima.read_bytes()).entries if ima else (),
            )
        ],
        name="field",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )
    body["quirks"] = list(quirks)
    return {key: value for key, value in body.items() if value}


def written(path: Path, body: dict) -> Path:
    path.write_text(tomli_w.dumps(body))
    return path


def nonce_of(folder: Path) -> str:
    return load_attest((folder / "quote.msg").read_bytes()).extra_data.hex()


# endorsement


def endorsed(case: Path, raw: bytes):
    ek = parse_public((case / "ek.tpmt").read_bytes())
    (maker,) = load_certificate_file((case / "maker_ca.pem").read_bytes())
    return verify_endorsement(ek, [raw], [maker.certificate], NOW)


def check_endorsed(case: Path, note: str) -> None:
    raw = (case / "ek.der").read_bytes()
    assert endorsed(case, raw).issuer.rfc4514_string() == "CN=Test Maker EK CA"
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    with pytest.raises(EvidenceRejected, match="wrong signature"):
        endorsed(case, flipped)
    code, body = run_evidence("show", case / "ek.der")
    assert code == 0 and body["kind"] == "certificate" and note in body["put right"]
    assert "id:494E5443" in body["TPM"] or "NTC" in body["TPM"] or "NPCT" in body["TPM"]


def test_ek_critical_false_written_out(case):
    check_endorsed(case, "FALSE written out")


def test_ek_ca_false_written_out(case):
    check_endorsed(case, "FALSE written out")


def test_ek_negative_serial(case):
    check_endorsed(case, "negative serial number")


def test_ek_san_one_set_nuvoton(case):
    check_endorsed(case, "order of a SET")


def test_show_tpm_not_named(case):
    _, body = run_evidence("show", case / "ek.der")
    assert body["TPM"] == "maker id:494E5443 (INTC), model ADL, version id:00010000"


def test_trust_ca_pem_lenient(case):
    forms = [case / "nuvoton_ca.der", case / "nuvoton_ca.pem"]
    shown = [run_evidence("show", f) for f in forms]
    assert [code for code, _ in shown] == [0, 0] and shown[0][1]["subject"] == shown[1][1][
        "subject"
    ]
    assert "NTC TPM EK Root CA 01" in shown[0][1]["subject"]
    for form in forms:
        done = CliRunner().invoke(app, ["trust", "add-tpm-ca", str(form)])
        assert "certificate in PEM or DER" not in done.output, "it was read, and a fleet is missing"


# boot logs


def test_log_coreboot_fixed_slots(case):
    code, body = run_evidence("replay", case / "boot_log")
    assert code == 0 and body["findings"] == [] and body["edited"] == []
    assert body["startup_locality"] == 3 and body["pcrs"] == right(case)["pcrs"]["sha256"]


def test_log_undeclared_width_algorithm(case, tmp_path):
    raw = (case / "sha3_256.bin").read_bytes()
    wanted = right(case)["sha3_256.bin"]["sha256"]
    assert run_evidence("replay", case / "sha3_256.bin")[1]["pcrs"] == wanted
    (tmp_path / "unknown_0099.bin").write_bytes(raw.replace(b"\x27\0", b"\x99\0"))
    assert run_evidence("replay", tmp_path / "unknown_0099.bin")[1]["pcrs"] == wanted
    (tmp_path / "wrong.bin").write_bytes(raw.replace(b"\x0b\0\x20\0", b"\x0b\0\x1f\0"))
    code, body = run_evidence("replay", tmp_path / "wrong.bin")
    assert code == 1 and body["malformed"][0]["reason"] == Reason.BOOT_LOG_MALFORMED


def test_lint_dma_protection_disabled(case, tmp_path):
    out = tmp_path / "d.toml"
    done = profile("learn", "--name", "d", "--out", out, "--boot-log", case / "boot_log")
    assert done.exit_code == 0 and "DMA protection off" in done.output
    linted = json.loads(profile("lint", out, "-o", "json").stdout)
    (remark,) = [r for r in linted if "DMA protection off" in r["text"]]
    assert remark["level"] == "warning" and "DMA Protection Disabled" in remark["about"]


def test_systemd_os_separator(case, tmp_path):
    granted = ("systemd-phases", "systemd-os-separator")
    phases = written(tmp_path / "phases.toml", learnt(case, "systemd-phases"))
    both = written(tmp_path / "both.toml", learnt(case, *granted))

    def outcome(name: str, profile_file: Path) -> tuple[int, dict]:
        values = ("--pcrs", case / name / "pcrs.json", "--boot-log", case / "boot_log")
        return verified(case / name, "00112233", *values, "--profile", profile_file)

    code, body = outcome("q261", both)
    assert code == 0 and body["vector"]["executables"] == 32
    assert body["facts"]["quirks"] == ["systemd-os-separator", "systemd-phases"]
    assert outcome("q260", phases)[0] == outcome("q260", both)[0] == 0
    code, body = outcome("q261", phases)
    assert code == 6 and reasons(body) == {"boot-log-replay"}
    for failure in body["failures"]:
        assert "systemd 261" in failure["hint"] and "os-separator" in failure["hint"]
        assert "whole story" not in failure["hint"]


# IMA


def test_ima_other_pcr(case):
    wanted = right(case)["replay only11.ascii"]["sha256"]
    assert run_evidence("replay", case / "only11.ascii")[1]["pcrs"]["sha256"] == wanted
    (entry,) = parse_ima((case / "only11.ascii").read_bytes()).entries
    assert entry.pcr == 11 and entry.path == b"/root/cat"
    assert right(case)["replay ima"]["sha256"]["11"] == wanted["11"]


def _promise(case: Path, tmp_path: Path, *more: object) -> tuple[int, dict]:
    """learn from the case's boot log and list; verify its quote by what was learnt."""
    out = tmp_path / "p.toml"
    given = ("--boot-log", case / "boot_log", "--ima", case / "ima")
    done = profile("learn", "--name", "p", "--out", out, *given)
    assert done.exit_code == 0, done.output
    allowlist = more or ("--allowlist", tmp_path / "p.allowlist")
    given = (*given, "--pcrs", case / "q" / "pcrs.json", "--profile", out)
    return verified(case / "q", nonce_of(case / "q"), *given, *allowlist)


def test_ima_fsverity(case, tmp_path):
    code, body = _promise(case, tmp_path)
    assert code == 0, body["failures"]
    lines = (tmp_path / "p.allowlist").read_text().splitlines()
    (verity,) = [line for line in lines if line.startswith("verity:sha256:f1a0")]
    allowlist = parse_allowlist((tmp_path / "p.allowlist").read_bytes())
    digest, path = bytes.fromhex(verity[14:78]), verity.split("  ")[1].encode()
    assert allowlist.allows("verity:sha256", digest, path)
    assert not allowlist.allows("sha256", digest, path)
    (real,) = parse_ima((case / "real_sigv2.ascii").read_bytes()).entries
    assert real.algorithm == "verity:sha256" and real.digest == digest
    assert real.signature[:2] == b"\x06\x03" and not signature_holds(real, {})


def test_allowlist_spaces(case, tmp_path):
    made = tmp_path / "s.allowlist"
    assert profile("allowlist", case / "sums.txt", "--out", made).exit_code == 0
    paths = {f.path for f in parse_allowlist(made.read_bytes()).files()}
    measured = parse_ima((case / "ima").read_bytes()).entries
    assert paths == {e.path for e in measured} - {b"boot_aggregate"}
    assert b"/opt/My_App/tool" in paths
    body = learnt(case, ima=case / "ima")
    body["ima"]["allowlists"] = [f"sha256:{sha256(made.read_bytes()).hex()}"]
    out = written(tmp_path / "p.toml", body)
    code, body = verified(
        case / "q",
        nonce_of(case / "q"),
        *("--pcrs", case / "q" / "pcrs.json", "--boot-log", case / "boot_log"),
        *("--ima", case / "ima", "--profile", out, "--allowlist", made),
    )
    assert code == 0, body["failures"]


def test_allowlist_sha256sum_escaped(case, tmp_path):
    made = tmp_path / "a"
    assert profile("allowlist", case / "sums.txt", "--out", made).exit_code == 0
    files = list(parse_allowlist(made.read_bytes()).files())
    assert {f.path for f in files} == {b"/opt/ba\\r", b"/opt/tool"}
    assert {f.digest.hex()[:8] for f in files} == {"b5bb9d80"} and "/opt/ba%5Cr" in made.read_text()


# PCR values


def test_pcrs_of_tpm2_tools(case, tmp_path):
    for name in ("pcrs.json", "pcrs.yaml", "pcrs.serialized", "pcrs.values"):
        code, body = verified(case, "abc123", "--pcrs", case / name)
        assert code == 0 and "PCR values" in body["checked"], (name, body)
    for name in ("pcrs.json", "pcrs.yaml", "pcrs.serialized"):
        assert parse_pcr_file((case / name).read_bytes()).values.keys() == {"sha256"}
    for junk in (b"\xff" * 700, b"{", b"", (case / "pcrs.values").read_bytes()[:-1]):
        (tmp_path / "junk").write_bytes(junk)
        options = ("--ak", case / "ak.pem", "--attest", case / "quote.msg", "--nonce", "abc123")
        more = ("--signature", case / "quote.sig", "--pcrs", tmp_path / "junk")
        done = CliRunner().invoke(app, ["evidence", "verify", *map(str, (*options, *more))])
        assert done.exit_code == 2 and "tpm2_pcrread" in done.stderr
        assert "Error" not in done.stderr


# frames


def test_frame_exif_orientation(case, tmp_path):
    def pair(folder: Path, turned: int | None = None):
        files = [folder / "a_test.jpg", folder / "a_temp.jpg"]
        if turned:
            for n, file in enumerate(files):
                raw = file.read_bytes()
                files[n] = tmp_path / f"{turned}-{file.name}"
                files[n].write_bytes(raw[:2] + exif(turned) + raw[2:])
        return read_pair(Listed("a", *files, folder / "a.txt"), BOARD_CLASSES)

    plain, wide = pair(case / "square_plain"), pair(case / "wide_plain")
    half = pair(case / "square_180")
    assert (half.frame == plain.frame).all() and (half.golden == plain.golden).all()
    for orientation in range(2, 9):
        assert (pair(case / "square_plain", orientation).frame == plain.frame).all()
        assert pair(case / "wide_plain", orientation).frame.shape == wide.frame.shape
    raw = (case / "square_180" / "a_test.jpg").read_bytes()
    assert (decode_gray(raw, encoding_of(raw)) == plain.frame).all()


def exif(orientation: int) -> bytes:
    """An APP1 segment that says so (CIPA DC-008, tag 0x0112)."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + b"\0" * 7
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def test_firmware_that_looks_like_an_editor_is_a_finding(real_data):
    """Two makers' logs: four zeros measured as part of the S-CRTM, and variables hashed without
    their head.
    """
    folder = real_data / "attestation-2"
    for name in ("go-tpm-tools/glinux-alex.bin", "go-eventlog/linux_tpm12.eventlog"):
        code, body = run_evidence("replay", folder / name)
        assert code == 0 and body["findings"] and body["edited"] == [], name


def test_every_makers_authority_is_read(real_data):
    authorities = next((real_data / "attestation").rglob("MIRROR.tpm-ca-certificates.pem"))
    assert len(load_certificate_file(authorities.read_bytes())) == 26
