"""`framegate evidence verify` and `show` on files: the forge's, whole and broken."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framegate.eventlog.user_space import OS_SEPARATOR, SEPARATOR_WORD, Extends
from framegate.ima import parse_ima
from framegate.tpm.attest import marshal_attest, parse_attest
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import Alg
from framegate.wire import Challenge, Evidence
from framegate_operator.main import app
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import ImaMachine, allowlist_of
from support.evidence_command import reasons, run_evidence

NONCE = bytes(range(32))


@pytest.fixture
def files(maker, tmp_path) -> dict[str, Path]:
    """A quote by the forge over PCR 0 to 10, as files, with all that belongs to it."""
    return in_files(Forge(maker, Firmware("simulated-camera")), tmp_path)


def in_files(forge: Forge, folder: Path) -> dict[str, Path]:
    """What `forge` quotes, as files in `folder`."""
    challenge = Challenge(
        hello_sha256=bytes(32),
        session=bytes(16),
        nonce=bytes(32),
        credential=b"",
        encrypted_secret=b"",
        bank=0x0B,
        pcrs=tuple(range(11)),
        ima_offset=0,
        want_boot_log=1,
        controller="c",
        issued_at_ms=0,
        deadline_ms=0,
        attest_interval_ms=60_000,
    )
    evidence = Evidence.parse(
        forge.with_quote(extra_data=NONCE).evidence(challenge, bytes(32), join=False)
    )
    pcrs = {
        "sha256": {
            str(p): (forge.ima.values[0x0B] if p == 10 else forge.pcrs[p]).hex() for p in range(11)
        }
    }
    content = {
        "ak": tpm2b(forge.ak.public.raw),
        "attest": evidence.quote_attest,
        "signature": evidence.quote_signature,
        "pcrs": json.dumps(pcrs).encode(),
        "boot-log": evidence.boot_log,
        "ima": evidence.ima_log,
        "profile": profile_toml(forge.firmware, "simulated-camera").encode(),
        "allowlist": allowlist_of("simulated-camera", forge.firmware.release),
    }
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in content}


def argv(files: dict[str, Path], *without: str, nonce: str = NONCE.hex()) -> list[object]:
    return [
        x for name, path in files.items() if name not in without for x in (f"--{name}", path)
    ] + ["--nonce", nonce]


def test_everything_given_affirms(files):
    code, body = run_evidence("verify", *argv(files))
    assert code == 0 and body["verdict"] == "affirming" and body["failures"] == []
    assert {
        "signature",
        "nonce",
        "PCR values",
        "boot log",
        "IMA list",
        "IMA allowlists",
        "firmware profile",
    } <= set(body["checked"])
    assert body["vector"] == {"instance-identity": 2, "executables": 2, "file-system": 2}


@pytest.mark.parametrize(
    "without",
    [
        ("pcrs",),
        ("profile", "allowlist"),
        ("profile", "allowlist", "ima"),
        ("profile", "allowlist", "ima", "boot-log"),
        ("profile", "allowlist", "ima", "boot-log", "pcrs"),
    ],
)
def test_less_given_is_less_said(files, without):
    code, body = run_evidence("verify", *argv(files, *without))
    assert code == 0 and (body["unchecked"] or len(without) == 2)
    if "profile" in without:
        assert body["vector"]["executables"] == 0 and body["vector"]["file-system"] == 0


@pytest.mark.parametrize(
    ("missing", "reason"),
    [("boot-log", "boot-log-missing"), ("ima", "ima-list-missing"), ("allowlist", "allowlist")],
)
def test_n49_a_profile_demands_what_it_has_rules_for(files, missing, reason):
    code, body = run_evidence("verify", *argv(files, missing))
    assert code == 6 and reason in reasons(body)


@pytest.mark.parametrize("name", ["attest", "signature", "ak"])
def test_n124_any_flipped_bit_is_refused(files, name):
    """With and without every optional part."""
    good = files[name].read_bytes()
    for at in range(0, len(good), 3):
        spoiled = bytearray(good)
        spoiled[at] ^= 1 << (at % 8)
        files[name].write_bytes(bytes(spoiled))
        for without in ((), ("profile", "allowlist", "ima", "boot-log", "pcrs")):
            code, body = run_evidence("verify", *argv(files, *without))
            # an attribute that does not matter for signing changes the key's name, which an AK
            # below another key does not show: a finding then
            assert code == 6 or (
                name == "ak" and "qualified-signer" in {f["reason"] for f in body["findings"]}
            ), (name, at, body)


@pytest.mark.parametrize(
    ("name", "reason"), [("boot-log", "boot-log-replay"), ("ima", "ima-"), ("pcrs", "pcr-digest")]
)
def test_a_changed_log_list_or_value_is_refused(files, name, reason):
    raw = files[name].read_bytes()
    if name == "pcrs":
        changed = raw.replace(b'"0": "', b'"0": "ff', 1).replace(
            b"ff" + raw[raw.index(b'"0": "') + 6 :][:2], b"ff", 1
        )
    elif name == "ima":
        changed = raw[: len(raw) // 2]
    else:
        changed = (
            raw[:-60]
            if name == "ima"
            else raw[: raw.rindex(b"Exit Boot Services Returned") - 4 - 12 - 2 - 20 - 2 - 32]
        )
    files[name].write_bytes(changed)
    code, body = run_evidence("verify", *argv(files))
    assert code == 6 and any(r.startswith(reason) for r in reasons(body)), body["failures"]


def test_n07_nonces(files):
    for nonce in ("", "00" * 32, NONCE.hex()[:-2], NONCE.hex() + "00", NONCE.hex().encode().hex()):
        code, body = run_evidence("verify", *argv(files, nonce=nonce))
        assert code == 6 and reasons(body) == {"extra-data"}
    assert (
        CliRunner()
        .invoke(app, ["evidence", "verify", *map(str, argv(files, nonce="xyz"))])
        .exit_code
        == 2
    )


def test_forms_of_keys_and_structures(files, tmp_path, maker):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from framegate.evidence.quote_files import load_ak

    key = load_ak(files["ak"].read_bytes())
    forms = [
        key.public.raw,
        key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]
    for form in forms:
        files["ak"].write_bytes(form)
        assert run_evidence("verify", *argv(files))[0] == 0
    from framegate.tpm.attest import parse_signature

    signature = parse_signature(files["signature"].read_bytes())
    files["signature"].write_bytes(
        signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big")
    )
    assert run_evidence("verify", *argv(files))[0] == 0
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    files["signature"].write_bytes(encode_dss_signature(signature.r, signature.s))
    assert run_evidence("verify", *argv(files))[0] == 0
    files["attest"].write_bytes(tpm2b(files["attest"].read_bytes()))
    assert run_evidence("verify", *argv(files))[0] == 0


def test_n11_an_unrestricted_key_is_no_attestation_key(files, maker):
    forge = Forge(maker, Firmware("simulated-camera"))
    attest = parse_attest(files["attest"].read_bytes())
    files["ak"].write_bytes(forge.tls.public.raw)
    files["signature"].write_bytes(forge.tls.sign(marshal_attest(attest)))
    code, body = run_evidence(
        "verify", *argv(files, "profile", "allowlist", "ima", "boot-log", "pcrs")
    )
    assert code == 6 and reasons(body) == {"ak-template"}


def test_n04_values_nobody_quoted_are_not_used(files):
    body = json.loads(files["pcrs"].read_text())
    body["sha256"]["16"] = "11" * 32
    files["pcrs"].write_text(json.dumps(body))
    code, report = run_evidence("verify", *argv(files))
    assert code == 0 and any("1 others" in f["actual"] for f in report["findings"])


def test_show_names_every_kind(files):
    kinds = {name: run_evidence("show", path)[1]["kind"] for name, path in files.items()}
    assert kinds == {
        "ak": "TPM key (TPM2B_PUBLIC)",
        "attest": "TPM attestation",
        "signature": "TPM signature",
        "boot-log": "boot log",
        "ima": "IMA measurement list",
        "profile": "firmware profile",
        "pcrs": "PCR values",
        "allowlist": "IMA allowlist",
    }


def test_show_and_verify_of_garbage_say_why(tmp_path):
    for content in (
        b"",
        b"\0",
        b"\xff" * 3000,
        b"-----BEGIN CERTIFICATE-----\n",
        b"\x30\x82\x00\x00",
    ):
        (tmp_path / "x").write_bytes(content)
        assert run_evidence("show", tmp_path / "x")[0] == 1
        code, body = run_evidence(
            "verify",
            "--ak",
            tmp_path / "x",
            "--attest",
            tmp_path / "x",
            "--signature",
            tmp_path / "x",
            "--nonce",
            "00",
        )
        assert code == 6 and body["failures"][0]["expected"]
    done = CliRunner().invoke(app, ["evidence", "show", str(tmp_path / "missing")])
    assert done.exit_code == 2 and "readable file" in done.stderr


def test_a_value_that_is_missing_and_values_that_were_not_quoted(files):
    values = json.loads(files["pcrs"].read_text())
    left = {p: v for p, v in values["sha256"].items() if p != "3"}
    files["pcrs"].write_text(json.dumps({"sha256": left}))
    code, body = run_evidence("verify", *argv(files))
    assert code == 6 and "pcr-selection" in reasons(body)
    files["pcrs"].write_text(json.dumps({"sha256": {**values["sha256"], "16": "00" * 32}}))
    code, body = run_evidence("verify", *argv(files))
    assert code == 0 and "pcr-selection" in {f["reason"] for f in body["findings"]}


def test_a_log_of_another_boot_and_a_list_that_was_cut(files):
    from framegate_simulators.machine.boot import boot_log, measurements

    log, ima = files["boot-log"].read_bytes(), files["ima"].read_bytes()
    files["boot-log"].write_bytes(boot_log(measurements(Firmware("another", kernel="other"))))
    for without in ((), ("profile", "allowlist"), ("profile", "allowlist", "pcrs", "ima")):
        code, body = run_evidence("verify", *argv(files, *without))
        assert code == 6 and reasons(body) & {"boot-log-replay", "pcr-digest"}
    files["boot-log"].write_bytes(log)
    for cut in (ima[len(ima) // 2 :], ima[: len(ima) // 2], b"junk"):
        files["ima"].write_bytes(cut)
        code, body = run_evidence("verify", *argv(files, "profile", "allowlist"))
        assert code in {1, 6} and body["failures"]


def test_a_list_nobody_quoted(files, tmp_path):
    """Without the values, the log and the list have to lead to what was quoted; without PCR 10 in
    the quote nothing vouches for the list.
    """
    statement = parse_attest(files["attest"].read_bytes())
    changed = replace(
        statement, selections=(replace(statement.selections[0], pcrs=tuple(range(10))),)
    )
    files["attest"].write_bytes(marshal_attest(changed))
    code, body = run_evidence("verify", *argv(files))
    assert code == 6 and "signature" in reasons(body), "no part of what was signed is changeable"


@pytest.mark.parametrize(
    ("pcrs", "hint"),
    [
        (range(8), "systemd-os-separator"),
        ((4,), "into PCR 4 alone"),
        ((0, 1, 2), "into PCR 0 to 2 alone"),
        ((8,), "PCR 8 after boot"),
    ],
)
def test_n48_a_word_of_user_space_is_refused_and_named(maker, tmp_path, pcrs, hint):
    forge = Forge(maker, Firmware("simulated-camera"))
    extended = OS_SEPARATOR.after(forge.pcrs, 1, Alg.SHA256)
    word = Extends("", "", (8,), (SEPARATOR_WORD,)).after(forge.pcrs, 1, Alg.SHA256)
    forge.pcrs = {
        p: (word if p == 8 else extended)[p] if p in pcrs else v for p, v in forge.pcrs.items()
    }
    files = in_files(forge, tmp_path)
    code, body = run_evidence("verify", *argv(files))
    assert code == 6 and reasons(body) == {"boot-log-replay"}
    assert all(hint in f["hint"] and "whole story" not in f["hint"] for f in body["failures"])
    values = json.dumps({"pcrs": json.loads(files["pcrs"].read_text())})
    (tmp_path / "expected").write_text(values)
    _, body = run_evidence("replay", files["boot-log"], "--expected", tmp_path / "expected")
    assert body["os_separator"] == [p for p in pcrs if p < 8]


def test_n60_entries_of_another_pcr_are_no_part_of_pcr_10(files):
    ima = ImaMachine()
    ima.measure(b"/root/cat", b"c" * 32, pcr=11)
    whole = files["ima"].read_bytes()
    entries = len(parse_ima(whole).entries)
    files["ima"].write_bytes(whole + ima.list_from())
    code, body = run_evidence("verify", *argv(files, "profile", "allowlist"))
    assert code == 0 and any("1 IMA entries of PCR 11" in u for u in body["unchecked"])
    code, body = run_evidence("verify", *argv(files))
    assert code == 6
    assert f"entry {entries} was extended into PCR 11, not 10" in str(body["failures"])


def test_a_profile_that_cannot_be_read_says_nothing_of_the_evidence(files):
    for name in ("profile", "allowlist", "pcrs"):
        good = files[name].read_bytes()
        files[name].write_bytes(b"nonsense")
        assert run_evidence("verify", *argv(files))[0] == 2
        files[name].write_bytes(good)
