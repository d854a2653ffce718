"""Real boot logs through the command: every one gives the outcome written beside it, never a traceback."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import VerificationError
from typer.testing import CliRunner

from framegate.endorsement import _verifier, load_ek_certificate
from framegate.errors import FramegateError
from framegate_controller.cli.main import app

REJECTED = ("must be rejected", "must be rejected (or reported")


def run(*argv: object):
    done = CliRunner().invoke(app, ["evidence", "replay", *map(str, argv), "-o", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def logs(folder: Path) -> list[tuple[Path, str]]:
    records = json.loads((folder / "attestation" / "MANIFEST.json").read_text())
    listed = records if isinstance(records, list) else next(v for v in records.values() if isinstance(v, list))
    return [(folder / "attestation" / r["file"], r["verdict"] or "") for r in listed if r["kind"] in {"tcg-eventlog", "ccel"}]


def test_every_real_log_has_the_outcome_beside_it(real_data):
    seen = 0
    for path, verdict in logs(real_data):
        beside = path.with_name(path.name + ".expected.json")
        if beside.exists():
            verdict = json.loads(beside.read_text()).get("verdict", verdict)
        code, body = run(path, *(["--expected", beside] if beside.exists() else []))
        has_pcrs = beside.exists() and json.loads(beside.read_text()).get("pcrs")
        if verdict.startswith(REJECTED):
            want = 1
        elif has_pcrs and ("DIFFERS" in verdict or "replay differs" in verdict or ("logs 1-4" in verdict and not path.name.endswith("5.eventlog"))):
            want = 6
        else:
            want = 0
        assert code == want, (path.name, verdict, body.get("mismatches"), body.get("malformed"))
        seen += 1
    assert seen > 50


def test_only_the_edited_pcr_differs(real_data):
    derived = real_data / "attestation" / "derived"
    for name, pcr in (("digest-flip.bin", 4), ("event-removed.bin", 7)):
        _, body = run(derived / name, "--expected", derived / f"{name}.expected.json")
        assert [m["pcr"] for m in body["mismatches"]] == [pcr]
    for name, reason in (("secureboot-data-edited.bin", "event-data"), ("pcr7-duplicate-separator.bin", "separator"), ("no-action-with-digest.bin", "event-data")):
        code, body = run(derived / name, "--expected", derived / f"{name}.expected.json")
        assert code == 0 and reason in {f["reason"] for f in body["findings"]}, name


def test_every_bank_can_be_asked_for(real_data):
    log = real_data / "attestation" / "go-tpm-tools" / "rhel8-uefi.bin"
    for bank in ("sha1", "sha256", "sha384"):
        code, body = run(log, "--bank", bank)
        assert code == 0 and body["bank"] == bank and body["match"] is None
    done = CliRunner().invoke(app, ["evidence", "replay", str(log), "--bank", "sha512"])
    assert done.exit_code == 2 and "sha256" in done.stderr


def test_real_ek_certificates_load_or_say_why(real_data):
    loaded = 0
    for path in (real_data / "attestation").rglob("*"):
        if path.is_file() and "ek" in path.name.lower() and path.suffix in {".der", ".bin", ".crt", ".cer"}:
            try:
                load_ek_certificate(path.read_bytes())
                loaded += 1
            except FramegateError as error:
                assert error.failures[0].expected
    assert loaded >= 2


def test_a_real_makers_chain_endorses_its_ek_and_a_flipped_bit_does_not(real_data):
    """ST's certificate as read from NV, with padding; ST and GlobalSign mark their certificate policies critical."""
    folder = real_data / "attestation"
    raw = (folder / "keylime" / "ek" / "st_rsa_padded_nv.der").read_bytes()
    authorities = []
    for path in folder.rglob("*"):
        if path.suffix in {".pem", ".crt", ".cer", ".der"} and path.is_file():
            content = path.read_bytes()
            try:
                authorities += x509.load_pem_x509_certificates(content) if b"-----BEGIN" in content else [x509.load_der_x509_certificate(content)]
            except ValueError:
                continue
    leaf, notes = load_ek_certificate(raw)
    when = leaf.not_valid_before_utc + timedelta(days=100)
    roots, others = [a for a in authorities if a.subject == a.issuer], [a for a in authorities if a.subject != a.issuer]
    _verifier(roots, when).verify(leaf, others)
    assert notes == ("padding",)
    spoiled = bytearray(raw)
    spoiled[int.from_bytes(raw[2:4], "big")] ^= 1
    with pytest.raises(VerificationError):
        _verifier(roots, when).verify(load_ek_certificate(bytes(spoiled))[0], others)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 64, b"\xff" * 64])
def test_files_that_are_no_log(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    code, body = run(tmp_path / "log")
    assert code == 1 and body["malformed"][0]["reason"] == "boot-log-malformed"


def test_expectations_that_are_none(tmp_path):
    from framegate_simulators.boot import Firmware, boot_log, measurements

    (tmp_path / "log").write_bytes(boot_log(measurements(Firmware("x"))))
    for text in ("[]", "{", '{"pcrs": {"sha256": {"x": "y"}}}', '{"pcrs": 3}'):
        (tmp_path / "e.json").write_text(text)
        assert run(tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 1
    (tmp_path / "e.json").write_text('{"verdict": "parses"}')
    assert run(tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 0
    (tmp_path / "e.json").write_text(json.dumps({"pcrs": {"sha256": {"4": "00" * 32}}}))
    assert run(tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 6
