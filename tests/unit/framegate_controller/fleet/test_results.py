"""Results as EARs: anybody with the fleet's root can check one, and nobody else can make one."""

import json

import jwt
import pytest

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.evidence.ear import EAR_PROFILE, sign_ear, verify_ear
from framegate.machines.lifecycle import Event
from framegate.registry.evidence import KeptResult
from framegate.wire import sha256
from framegate_controller.ca.open import found_fleet
from framegate_controller.fleet.profiles import add_profile
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml


@pytest.fixture
def result(bench) -> KeptResult:
    bench.enrol()
    (only,) = results(bench)
    return only


def results(bench) -> list[KeptResult]:
    with bench.store.reading() as tx:
        return [
            tx.evidence.result(identifier) for (identifier,) in bench.sql("SELECT id FROM results")
        ]


def test_a_result_is_an_ear_that_says_what_it_rests_on(bench, result):
    claims = verify_ear(result.ear, bench.keys.root.certificate)
    submod = claims["submods"]["framegate"]
    assert (
        claims["eat_profile"] == EAR_PROFILE
        and claims["sub"] == "camera.line-1.cam1"
        and claims["jti"] == result.id
    )
    assert submod["ear.status"] == "affirming"
    assert submod["ear.trustworthiness-vector"] == {
        "instance-identity": 2,
        "configuration": 2,
        "executables": 2,
        "file-system": 2,
        "hardware": 2,
        "runtime-opaque": 0,
    }
    assert (
        submod["framegate.evidence-sha256"] == result.evidence_sha256.hex()
        and submod["framegate.tpm"]["firmware"] == "2019102300163636"
    )
    with bench.store.reading() as tx:
        assert sha256(tx.evidence.get(result.evidence).raw) == result.evidence_sha256, (
            "the very evidence is kept"
        )


def test_any_jwt_library_checks_it_with_the_key(bench, result):
    key = bench.keys.signing["result"].certificate.public_key()
    assert jwt.decode(result.ear, key, algorithms=["ES256"])["sub"] == "camera.line-1.cam1"


def test_ears_that_are_forged(bench, result, tmp_path):
    keys, root = bench.keys, bench.keys.root.certificate
    claims = verify_ear(result.ear, root)
    other = found_fleet(tmp_path / "other", "plant")
    head, body, signature = result.ear.split(".")
    for token, kind in (
        (sign_ear(claims, other.signing["result"]), Refused),
        (sign_ear(claims, keys.signing["grant"]), Refused),
        (f"{head}.{body}.", FramegateError),
        (f"{head}.{body[:-2]}AA.{signature}", FramegateError),
        ("", Malformed),
        ("a.b.c", Malformed),
        (jwt.encode(claims, None, algorithm="none"), Malformed),
        ("x" * 300_000, Malformed),
        (
            jwt.encode(
                claims,
                "secret" * 8,
                algorithm="HS256",
                headers=jwt.get_unverified_header(result.ear) | {"alg": "HS256"},
            ),
            Refused,
        ),
    ):
        with pytest.raises(kind):
            verify_ear(token, root)
    assert json.loads(json.dumps(claims))


def test_every_flipped_character_of_the_signature_or_claims_refuses(bench, result):
    root = bench.keys.root.certificate
    start = result.ear.index(".") + 1
    for at in range(start, len(result.ear), 17):
        changed = result.ear[:at] + ("A" if result.ear[at] != "A" else "B") + result.ear[at + 1 :]
        if changed.replace("=", "") == result.ear or result.ear[at] == ".":
            continue
        if at == len(result.ear) - 1:
            continue  # the last character holds bits that base64 does not use
        with pytest.raises(FramegateError):
            verify_ear(changed, root)


def test_a_quirk_is_a_warning_and_a_finding_and_no_failure(bench):
    firmware = Firmware("simulated-camera")
    lenient = profile_toml(firmware, "simulated-camera", 2).replace(
        "[profile]", 'quirks = ["exit-boot-services-unlogged"]\n\n[profile]', 1
    )
    forge = bench.forge()
    forge.log = boot_log([m for m in measurements(firmware) if "exit boot" not in m.name])
    code = bench.invite(ek=forge.ek_sha256)
    refused = bench.join(forge, code)
    assert refused.certificate is None and refused.failures[0].reason == Reason.PCR_DIGEST
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, lenient.encode())
    bench.move(Event.RELEASE)
    assert bench.join(forge).state == "trusted"
    (only,) = results(bench)
    claims = verify_ear(only.ear, bench.keys.root.certificate)
    submod = claims["submods"]["framegate"]
    assert (
        submod["ear.status"] == "warning" and submod["framegate.findings"][0]["reason"] == "quirk"
    )


def test_a_contradicted_machine_has_an_ear_that_says_why(bench):
    forge = bench.enrol()
    forge.ima.measure(b"/implant", b"x" * 32)
    assert bench.attest(forge, known_log=True).state == "suspect"
    with bench.store.reading() as tx:
        kept = [
            tx.evidence.get(identifier)
            for identifier, _ in tx.evidence.ids_since(0, device="camera.line-1.cam1")
        ]
        (row,) = [k for k in kept if not k.affirming]
    assert len(results(bench)) == 1, "only affirming results are what receipts name"
    submod = verify_ear(row.ear, bench.keys.root.certificate)["submods"]["framegate"]
    assert (
        submod["ear.status"] == "contraindicated"
        and submod["framegate.failures"][0]["reason"] == "ima-file"
    )
