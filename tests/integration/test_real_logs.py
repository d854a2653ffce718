"""Real boot logs through the command: every one gives the outcome written beside it, never a
traceback.
"""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import VerificationError
from typer.testing import CliRunner

from framegate.errors import FramegateError
from framegate.identity.endorsement import _verifier, load_ek_certificate
from framegate_operator.main import app
from support.evidence_command import run_evidence

REJECTED = ("must be rejected", "must be rejected (or reported")


def logs(folder: Path) -> list[tuple[Path, str]]:
    records = json.loads((folder / "attestation" / "MANIFEST.json").read_text())
    listed = (
        records
        if isinstance(records, list)
        else next(v for v in records.values() if isinstance(v, list))
    )
    return [
        (folder / "attestation" / r["file"], r["verdict"] or "")
        for r in listed
        if r["kind"] in {"tcg-eventlog", "ccel"}
    ]


def test_every_real_log_has_the_outcome_beside_it(real_data):
    seen = 0
    for path, verdict in logs(real_data):
        beside = path.with_name(path.name + ".expected.json")
        if beside.exists():
            verdict = json.loads(beside.read_text()).get("verdict", verdict)
        code, body = run_evidence(
            "replay", path, *(["--expected", beside] if beside.exists() else [])
        )
        has_pcrs = beside.exists() and json.loads(beside.read_text()).get("pcrs")
        if verdict.startswith(REJECTED):
            want = 1
        elif ("must be refused" in verdict and "MATCHES" in verdict) or (
            has_pcrs
            and (
                "DIFFERS" in verdict
                or "replay differs" in verdict
                or ("logs 1-4" in verdict and not path.name.endswith("5.eventlog"))
            )
        ):
            want = 6
        else:
            want = 0
        assert code == want, (path.name, verdict, body.get("mismatches"), body.get("malformed"))
        seen += 1
    assert seen > 50


def test_only_the_edited_pcr_differs(real_data):
    derived = real_data / "attestation" / "derived"
    for name, pcr in (("digest-flip.bin", 4), ("event-removed.bin", 7)):
        _, body = run_evidence(
            "replay", derived / name, "--expected", derived / f"{name}.expected.json"
        )
        assert [m["pcr"] for m in body["mismatches"]] == [pcr]
    for name, reason in (
        ("secureboot-data-edited.bin", "event-data"),
        ("pcr7-duplicate-separator.bin", "separator"),
        ("no-action-with-digest.bin", "event-data"),
    ):
        code, body = run_evidence(
            "replay", derived / name, "--expected", derived / f"{name}.expected.json"
        )
        assert reason in {f["reason"] for f in body["findings"]} and body["match"], name
        assert code == (0 if name == "no-action-with-digest.bin" else 6), (
            "edited after it was measured: refused although it replays"
        )


def test_every_real_ima_list_has_the_outcome_beside_it(real_data):
    records = json.loads((real_data / "attestation" / "MANIFEST.json").read_text())
    listed = (
        records
        if isinstance(records, list)
        else next(v for v in records.values() if isinstance(v, list))
    )
    seen = 0
    for record in listed:
        if record["kind"] not in {"ima-binary", "ima-ascii"}:
            continue
        path = real_data / "attestation" / record["file"]
        beside = path.with_name(path.name + ".expected.json")
        verdict = (
            json.loads(beside.read_text()).get("verdict", "")
            if beside.exists()
            else record["verdict"] or ""
        )
        code, body = run_evidence(
            "replay", path, *(["--expected", beside] if beside.exists() else [])
        )
        bad = "must be rejected" in verdict or "cut one byte short" in verdict
        assert code == (1 if bad else 0), (path.name, verdict, body)
        wanted = json.loads(beside.read_text()).get("pcrs", {}) if beside.exists() else {}
        prefix = json.loads(beside.read_text()).get("prefix_entries") if beside.exists() else None
        for bank in wanted:
            assert body["prefix"][bank] == (prefix or body["entries"]), path.name
        seen += 1
    assert seen >= 20


def test_real_file_signatures_by_the_keys_given(real_data):
    from framegate.ima import parse_ima
    from framegate.ima.judge import key_id, signature_holds

    folder = real_data / "attestation" / "keylime" / "ima"
    entries = parse_ima((folder / "signatures.ascii").read_bytes()).entries
    keys = {}
    for name in ("rsa2048pub.pem", "ecpub.pem"):
        keys |= dict([key_id((folder / name).read_bytes())])
    assert [signature_holds(e, keys) for e in entries] == [True, True]
    assert [
        signature_holds(e, dict([key_id((folder / "rsa2048pub.pem").read_bytes())]))
        for e in entries
    ] == [True, False]
    assert [signature_holds(e, {}) for e in entries] == [False, False]


def test_a_changed_file_shows_against_an_allowlist_learnt_before(real_data):
    """The same server before and after /root/.ssh/authorized_keys was changed and measured
    again.
    """
    from framegate.ima import parse_ima
    from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
    from framegate.ima.judge import ImaRules, ima_failures
    from framegate.tpm.constants import Alg

    folder = real_data / "attestation" / "guard-oss" / "h12ssl"
    created, changed = (
        parse_ima((folder / f"{n}.measurements").read_bytes()).entries
        for n in ("created", "changed")
    )
    allowlist = parse_allowlist(
        allowlist_text(
            AllowedFile(e.algorithm, e.digest, e.path)
            for e in created
            if e.algorithm == "sha256" and not e.violation
        )
    )
    sha1 = any(e.algorithm == "sha1" for e in created)
    if sha1:  # this kernel hashed files with SHA-1, which Framegate never lets decide
        from framegate.ima.allowlist import Allowlist, key_of

        allowlist = Allowlist(
            b"", frozenset(key_of("sha1", e.digest, e.path) for e in created), frozenset()
        )
    rules = ImaRules((), 100, (), (), {}, (), False)
    failures = ima_failures(changed, rules, [allowlist], Alg.SHA256, {}, first=False, violations=0)
    assert any("authorized_keys" in f.actual for f in failures)
    assert not any(
        "authorized_keys" in f.actual
        for f in ima_failures(
            created, rules, [allowlist], Alg.SHA256, {}, first=False, violations=0
        )
    )


def test_profiles_learnt_from_real_logs_affirm_them_and_tell_what_changed(real_data):
    """Learn from every log that is structurally sound; it must pass its own profile, and an
    update must be told by name.
    """
    import tomli_w

    from framegate.eventlog import parse_boot_log, structural_failures
    from framegate.evidence.appraise import secure_boot_failures
    from framegate.evidence.boot_events import event_failures
    from framegate.profile.learn import Observation, learn
    from framegate.profile.model import parse_profile
    from framegate.tpm.constants import Alg

    learnt = 0
    for path, verdict in logs(real_data):
        if verdict.startswith(REJECTED) or path.parent.name == "derived":
            continue
        log = parse_boot_log(path.read_bytes())
        bank = next((b for b in (Alg.SHA256, Alg.SHA384) if b in log.banks), None)
        if bank is None or structural_failures(log, bank):
            continue
        body, _ = learn(
            [Observation(log)], name="real", version="1", revision=1, description="", bank=bank
        )
        profile = parse_profile(tomli_w.dumps(body).encode())
        assert event_failures(log, profile) == [], path.name
        assert {f.reason for f in secure_boot_failures(log, profile)} <= {"secure-boot"}, path.name
        learnt += 1
    assert learnt >= 25
    folder = real_data / "attestation" / "guard-oss" / "evidence"
    before, after = (
        parse_boot_log((folder / f"hp830-{n}-update.eventlog").read_bytes())
        for n in ("before", "after")
    )
    profile = parse_profile(
        tomli_w.dumps(
            learn(
                [Observation(before)],
                name="hp",
                version="1",
                revision=1,
                description="",
                bank=Alg.SHA256,
            )[0]
        ).encode()
    )
    told = event_failures(after, profile)
    assert told and {f.reason for f in told} <= {"event-unclaimed", "event-absent", "command-line"}
    assert not any("PCR 7" in f.expected or "PCR 0" in f.expected for f in told), (
        "the update changed the system, not the firmware"
    )


def test_every_bank_can_be_asked_for(real_data):
    log = real_data / "attestation" / "go-tpm-tools" / "rhel8-uefi.bin"
    for bank in ("sha1", "sha256", "sha384"):
        code, body = run_evidence("replay", log, "--bank", bank)
        assert code == 0 and body["bank"] == bank and body["match"] is None
    done = CliRunner().invoke(app, ["evidence", "replay", str(log), "--bank", "sha512"])
    assert done.exit_code == 2 and "sha256" in done.stderr


def test_real_ek_certificates_load_or_say_why(real_data):
    loaded = 0
    for path in (real_data / "attestation").rglob("*"):
        if (
            path.is_file()
            and "ek" in path.name.lower()
            and path.suffix in {".der", ".bin", ".crt", ".cer"}
        ):
            try:
                load_ek_certificate(path.read_bytes())
                loaded += 1
            except FramegateError as error:
                assert error.failures[0].expected
    assert loaded >= 2


def test_a_real_makers_chain_endorses_its_ek_and_a_flipped_bit_does_not(real_data):
    """ST's certificate as read from NV, with padding; ST and GlobalSign mark their certificate
    policies critical.
    """
    folder = real_data / "attestation"
    raw = (folder / "keylime" / "ek" / "st_rsa_padded_nv.der").read_bytes()
    authorities = []
    for path in folder.rglob("*"):
        if path.suffix in {".pem", ".crt", ".cer", ".der"} and path.is_file():
            content = path.read_bytes()
            try:
                authorities += (
                    x509.load_pem_x509_certificates(content)
                    if b"-----BEGIN" in content
                    else [x509.load_der_x509_certificate(content)]
                )
            except ValueError:
                continue
    leaf, notes = load_ek_certificate(raw)
    when = leaf.not_valid_before_utc + timedelta(days=100)
    roots, others = (
        [a for a in authorities if a.subject == a.issuer],
        [a for a in authorities if a.subject != a.issuer],
    )
    _verifier(roots, when).verify(leaf, others)
    assert notes == ("padding",)
    spoiled = bytearray(raw)
    spoiled[int.from_bytes(raw[2:4], "big")] ^= 1
    with pytest.raises(VerificationError):
        _verifier(roots, when).verify(load_ek_certificate(bytes(spoiled))[0], others)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 64, b"\xff" * 64])
def test_files_that_are_no_log(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    code, body = run_evidence("replay", tmp_path / "log")
    assert code == 1 and body["malformed"][0]["reason"] == "boot-log-malformed"


def test_expectations_that_are_none(tmp_path):
    from framegate_simulators.machine.boot import Firmware, boot_log, measurements

    (tmp_path / "log").write_bytes(boot_log(measurements(Firmware("x"))))
    for text in ("[]", "{", '{"pcrs": {"sha256": {"x": "y"}}}', '{"pcrs": 3}'):
        (tmp_path / "e.json").write_text(text)
        assert run_evidence("replay", tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 1
    (tmp_path / "e.json").write_text('{"verdict": "parses"}')
    assert run_evidence("replay", tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 0
    (tmp_path / "e.json").write_text(json.dumps({"pcrs": {"sha256": {"4": "00" * 32}}}))
    assert run_evidence("replay", tmp_path / "log", "--expected", tmp_path / "e.json")[0] == 6
