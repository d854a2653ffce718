"""Witnesses, codec limits, profiles, certificates: the rules that other rooms rely on."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason, Refused
from framegate.evidence import verify as evidence_module
from framegate.evidence.appraise import appraise
from framegate.evidence.verify import VerifiedEvidence, verify_evidence
from framegate.identity.certificates import Purpose, request_key, verify_certificate
from framegate.identity.names import Kind, device_id, spiffe_id, split_device_id
from framegate.ima.allowlist import parse_allowlist
from framegate.profile.model import MAX_PROFILE_BYTES, parse_profile
from framegate.profile.review import diff, lint
from framegate.wire import GatewayPublics, Hello, SessionOffer
from framegate_controller.ca.issue import certify, issue_device, issue_gateway
from framegate_controller.ca.open import found_fleet, load_fleet
from framegate_controller.ca.template import leaf_template
from framegate_controller.fleet.profiles import add_profile, load_profile
from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of

NOW = datetime.now(UTC) + timedelta(hours=1)
"""After the fleet of these tests was founded, however late in a run that is."""
PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")


def captured_evidence(bench, monkeypatch) -> VerifiedEvidence:
    import framegate_controller.fleet.judge as module

    seen = []
    monkeypatch.setattr(module, "verify_evidence", lambda *a: seen.append(verify_evidence(*a)) or seen[-1])
    bench.enrol()
    return seen[0]


def test_verified_types_are_made_by_verifying_functions_alone(bench, monkeypatch):
    real = captured_evidence(bench, monkeypatch)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(real, digest=b"forged")
    content = {f.name: getattr(real, f.name) for f in dataclasses.fields(real)}
    for witness in (None, object(), evidence_module._Witness()):
        with pytest.raises(TypeError, match="verify_evidence"):
            VerifiedEvidence(**content, witness=witness)
    with pytest.raises(TypeError):
        real.pcrs[0] = b"x"
    result = appraise(real, parse_profile(PROFILE.encode()), None)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(result, failures=())


def test_no_certificate_without_an_affirming_result(bench, monkeypatch, keys):
    real = captured_evidence(bench, monkeypatch)
    other = parse_profile(profile_toml(Firmware("other"), "other").encode())
    with pytest.raises(Refused) as caught:
        issue_device(keys, device_id(Kind.CAMERA, "z", "n"), appraise(real, other, None), timedelta(minutes=1), NOW)
    assert caught.value.reason == Reason.NOT_TRUSTED


def test_a_failure_is_never_falsy_and_an_error_never_empty():
    """N124: nothing that failed may read as success further up."""
    assert Failure(Reason.MAGIC, "", "", "") and bool(Failure(Reason.MAGIC, "", ""))
    with pytest.raises(ValueError, match="at least one"):
        FramegateError([])


def test_reason_ids_are_unique_and_stable_in_form():
    assert len({r.value for r in Reason}) == len(Reason)
    assert all(r.value == r.value.lower() and " " not in r.value for r in Reason)


def test_records_refuse_values_past_their_limits():
    good = {"client_nonce": b"n" * 32, "ticket_code": b"", "ek_certificates": (), "ek_public": b"", "ak_public": b"", "tls_public": b"", "iak_public": b"", "iak_certificates": ()}
    numbers = {"manufacturer": 0, "firmware_version": 0, "boot_log_size": 0, "ima_log_size": 0}
    for change in ({"client_nonce": b"n"}, {"ticket_code": b"x" * 17}, {"ek_certificates": (b"",) * 7}, {"manufacturer": 2**32}, {"manufacturer": -1}):
        with pytest.raises(Malformed):
            Hello(**{**good, **numbers, **change}).marshal()
    with pytest.raises(Malformed):
        SessionOffer.parse(Hello(**good, **numbers).marshal())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('bank = "sha256"', 'bank = "sha1"'), ('bank = "sha256"', 'bank = "md5"'), ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = []"),
        ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]"), ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 24]"),
        ("revision = 1", "revision = 0"), ("revision = 1", 'revision = "1"'), ("revision = 1", ""), ('firmware = "any"', ""), ('firmware = "any"', 'firmware = ["x"]'),
        ("required = true", "required = false"), ('os_ids = ["debian", "ubuntu"]', "os_ids = []"), ("[secure_boot]", "[secure_boots]"), ("[tpm]", "[tpm]\nskip = true"),
        ("[[event]]", "[[events]]"), ('digests = ["', 'digests = ["zz'), ('name = "simulated-camera"', 'name = "Bad Name"'),
    ],
)  # fmt: skip
def test_profiles_that_are_refused(old, new):
    assert old in PROFILE
    with pytest.raises(Malformed) as caught:
        parse_profile(PROFILE.replace(old, new).encode())
    assert caught.value.reason == Reason.PROFILE_INVALID or "name" in str(caught.value)


def test_profile_that_is_empty_or_too_large():
    for raw in (b"", b"\xff", b"#" * (MAX_PROFILE_BYTES + 1)):
        with pytest.raises(Malformed):
            parse_profile(raw)


def test_n90_profiles_unsigned_rolled_back_or_signed_by_another_key(bench, tmp_path):
    other = found_fleet(tmp_path / "other", "other")
    fleet = bench.keys
    with pytest.raises(Refused) as caught, bench.store.writing() as tx:
        add_profile(tx, fleet, PROFILE.encode())
    assert caught.value.reason == Reason.CONFLICT
    ((good,),) = bench.sql("SELECT envelope FROM profiles WHERE name = 'simulated-camera'")
    for envelope, reason in (
        (b"", Reason.MALFORMED), (PROFILE.encode(), Reason.MALFORMED), (good.replace(b'"sig":"M', b'"sig":"N'), Reason.SIGNATURE),
        (_sealed(other, "profile"), Reason.CERTIFICATE), (_sealed(fleet, "grant"), Reason.CERTIFICATE),
    ):  # fmt: skip
        bench.sql("UPDATE profiles SET envelope = ? WHERE name = 'simulated-camera'", envelope)
        with pytest.raises(FramegateError) as caught, bench.store.reading() as tx:
            load_profile(tx, fleet, "simulated-camera")
        assert caught.value.reason == reason


def _sealed(fleet, label: str) -> bytes:
    from framegate.profile.model import PROFILE_TYPE
    from framegate.signed.dsse import seal_envelope

    key = fleet.signing[label]
    return seal_envelope(PROFILE_TYPE, PROFILE.encode(), key.der, key.sign)


def test_shipped_profiles_are_what_the_simulators_boot():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "firmware_profiles"
    for kind in ("camera", "gateway"):
        shipped = (folder / f"simulators-{kind}-1.0.0.toml").read_text()
        assert shipped == profile_toml(Firmware(f"simulated-{kind}"), f"simulated-{kind}")
        profile = parse_profile(shipped.encode())
        assert profile.name == f"simulated-{kind}" and not [r for r in lint(profile) if r.error]
        allowlist = (folder / f"simulators-{kind}-1.0.0.allowlist").read_bytes()
        assert allowlist == allowlist_of(profile.name, Firmware("x").release) and parse_allowlist(allowlist).digest in profile.ima.allowlists


def test_lint_says_what_an_attacker_would_like():
    from dataclasses import replace

    poor = PROFILE.replace("required = true\ndbx", "required = false\ndbx", 1)
    for change, about in (
        (lambda t: t.replace('measured = ["/opt/framegate/"]', ""), "[ima] measured"), (lambda t: poor, "[secure_boot] required"),
        (lambda t: t.replace("max_violations = 0", "max_violations = 9"), "[ima] max_violations"), (lambda t: 'quirks = ["systemd-phases"]\n' + t.replace("9, 10]", "9, 10, 11]"), "systemd-phases"),
        (lambda t: t + '\n[[event]]\nname = "x"\npcr = 5\ndigests = "any"\nrequired = false\n', "x"), (lambda t: t.replace("lockdown=integrity", "*"), "command line"),
    ):  # fmt: skip
        assert about in {r.about for r in lint(parse_profile(change(PROFILE).encode()))}, about
    plain = profile_toml(replace(Firmware("x"), ima=False), "x")
    assert [r.about for r in lint(parse_profile(plain.encode())) if r.error] == ["[ima]"]


def test_diff_tells_what_changed_and_nothing_else():
    from dataclasses import replace

    old = parse_profile(PROFILE.encode())
    assert diff(old, parse_profile(PROFILE.replace('name = "boot loader"', 'name = "loader"').encode())) == [], "another name alone is no change"
    new = replace(Firmware("simulated-camera"), kernel="kernel 7", command_line="/vmlinuz-7 ro", revocations=5, sbat="sbat,1\nshim,5\n")
    lines = diff(old, parse_profile(profile_toml(new, "simulated-camera", 2).encode()))
    assert any(line.startswith("kernel: allows") for line in lines) and any(line.startswith("kernel: no longer allows") for line in lines)
    assert "text in PCR 8: allows '/vmlinuz-7 ro'" in lines and "revocation list: 2 more hashes demanded, 0 no longer" in lines
    assert not any("CRTM" in line or "separator" in line for line in lines)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[ima]", "[imas]"), ('digests = ["', 'digests = "any"\nx = ["'), ("pcr = 8", "pcr = 7"), ('names = ["BootOrder", "Boot####"]', "names = []"), ("max_violations = 0", "max_violations = -1"),
        ('measured = ["/opt/framegate/"]', 'measured = ["opt/"]'), ('measured = ["/opt/framegate/"]', 'signed = ["/lib/"]'), ('measured = ["/opt/framegate/"]', 'signed = ["/lib/"]\nkeys = ["x"]'),
        ("dbx_minimum = [", 'dbx_minimum = ["00", '), ('sbat_minimum = ["', 'sbat_minimum = ["shim", "'), ("[profile]", 'quirks = ["be-nice"]\n[profile]'), ("[profile]", 'quirks = ["pcr-by-value"]\n[profile]'),
        ("[profile]", 'quirks = ["systemd-phases"]\n[profile]'), ("[ima]", '[pcr_values]\n"0" = ["00"]\n[ima]'), ('allowlists = ["sha256:', 'allowlists = ["md5:'),
        ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
    ],
)  # fmt: skip
def test_profiles_of_the_deeper_kind_that_are_refused(old, new):
    assert old in PROFILE
    with pytest.raises(Malformed) as caught:
        parse_profile(PROFILE.replace(old, new, 1).encode())
    assert caught.value.reason == Reason.PROFILE_INVALID


def test_a_learnt_profile_affirms_its_machines_and_only_those(bench):
    """Learn from two machines that differ in boot order and revocations; both pass, a third system does not."""
    from dataclasses import replace

    import tomli_w

    from framegate.eventlog import parse_boot_log
    from framegate.evidence.appraise import event_failures, secure_boot_failures
    from framegate.profile.learn import Observation, learn
    from framegate.tpm.constants import Alg
    from framegate_simulators.machine.boot import boot_log, measurements

    one, two = Firmware("m"), replace(Firmware("m"), boot_order=b"\1\0", revocations=6, sbat="sbat,1\nshim,9\ngrub,4\n")
    logs = [parse_boot_log(boot_log(measurements(f))) for f in (one, two)]
    body, allowlist = learn([Observation(log) for log in logs], name="m", version="1", revision=1, description="", bank=Alg.SHA256)
    profile = parse_profile(tomli_w.dumps(body).encode())
    assert allowlist == b"" and len(profile.secure_boot.dbx_minimum) == 3 and profile.secure_boot.sbat_minimum["shim"] == 4
    for log in logs:
        assert event_failures(log, profile) == [] and secure_boot_failures(log, profile) == []
    for other, reason in (
        (replace(one, kernel="other"), Reason.EVENT_UNCLAIMED), (replace(one, command_line="init=/bin/sh"), Reason.COMMAND_LINE), (replace(one, revocations=2), Reason.DBX),
        (replace(one, sbat="sbat,1\nshim,3\ngrub,4\n"), Reason.SBAT), (replace(one, secure_boot=False), Reason.SECURE_BOOT),
    ):  # fmt: skip
        log = parse_boot_log(boot_log(measurements(other)))
        assert reason in {f.reason for f in event_failures(log, profile) + secure_boot_failures(log, profile)}, reason


def certificate(keys, purpose=Purpose.DEVICE, label="device-ca", life=timedelta(minutes=3)):
    return certify(keys.issuing[label], leaf_template(purpose, "camera.z.n", ec.generate_private_key(ec.SECP256R1()).public_key(), life, NOW))


def test_every_purpose_is_worth_nothing_elsewhere(keys):
    for purpose, label in (
        (Purpose.DEVICE, "device-ca"),
        (Purpose.GATEWAY, "gateway-ca"),
        (Purpose.VERDICT, "gateway-ca"),
        (Purpose.OPERATOR, "operator-ca"),
        (Purpose.SERVER, "server-ca"),
    ):
        leaf = certificate(keys, purpose, label)
        assert verify_certificate(leaf, purpose, keys.intermediates, keys.root.certificate, NOW).common_name == "camera.z.n"
        for other in set(Purpose) - {purpose}:
            with pytest.raises(Refused):
                verify_certificate(leaf, other, keys.intermediates, keys.root.certificate, NOW)


def test_an_issuing_ca_cannot_make_what_another_makes(keys):
    for label in ("device-ca", "gateway-ca", "server-ca"):
        with pytest.raises(Refused):
            verify_certificate(certificate(keys, Purpose.OPERATOR, label), Purpose.OPERATOR, keys.intermediates, keys.root.certificate, NOW)


def test_certificates_out_of_their_time_or_without_their_chain(keys):
    leaf = certificate(keys)
    for when in (NOW - timedelta(hours=1), NOW + timedelta(hours=1)):
        with pytest.raises(Refused) as caught:
            verify_certificate(leaf, Purpose.DEVICE, keys.intermediates, keys.root.certificate, when)
        assert caught.value.reason == Reason.CERTIFICATE_EXPIRED
    with pytest.raises(Refused):
        verify_certificate(leaf, Purpose.DEVICE, (), keys.root.certificate, NOW)
    with pytest.raises(Refused):  # a CA is no device
        verify_certificate(keys.issuing["device-ca"].certificate, Purpose.DEVICE, (), keys.root.certificate, NOW)


def test_gateway_certificates_need_two_keys_and_their_own_signatures(keys):
    publics = GatewayPublics.parse(GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics)
    host = device_id(Kind.GATEWAY, "line-1", "gw1")
    tls, verdict = issue_gateway(keys, host, publics, timedelta(hours=5), NOW)
    assert tls.not_valid_after_utc <= NOW + timedelta(minutes=10)
    assert "gw1.line-1.gateway.framegate" in str(tls.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))
    assert verdict.public_key() != tls.public_key()
    p384 = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()).public_bytes(Encoding.DER)
    for change in ({"tls_csr": publics.verdict_csr}, {"tls_csr": b"junk"}, {"verdict_csr": p384}, {"verdict_csr": publics.verdict_csr[:-1] + bytes([publics.verdict_csr[-1] ^ 1])}):
        with pytest.raises(EvidenceRejected) as caught:
            issue_gateway(keys, host, dataclasses.replace(publics, **change), timedelta(minutes=3), NOW)
        assert caught.value.reason == Reason.PUBLICS


def test_camera_that_offers_gateway_keys_is_contradicted(bench):
    forge = bench.forge()
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert answer.state == "suspect" and [f.reason for f in answer.failures] == [Reason.PUBLICS]


def test_gateway_host_vouches_for_its_processes(bench):
    forge = bench.forge("gateway")
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    answer = bench.join(forge, bench.invite("gw1", kind=Kind.GATEWAY, ek=forge.ek_sha256))
    assert answer.state == "trusted" and len(answer.gateways) == 1


def test_publics_swapped_after_the_quote(bench):
    forge = bench.forge("gateway")
    forge.publics = (GatewayKeys("a:1", "a:2", b"m" * 32).newest.publics,)
    forge.with_proof(gateway_publics=(GatewayKeys("evil:1", "a:2", b"m" * 32).newest.publics,))
    answer = bench.join(forge, bench.invite("gw1", kind=Kind.GATEWAY, ek=forge.ek_sha256))
    assert answer.certificate is None and [f.reason for f in answer.failures] == [Reason.EXTRA_DATA]


def test_request_keys():
    for raw in (b"", b"\x30\x00", b"x" * 500):
        with pytest.raises(Malformed):
            request_key(raw)


def test_names_and_ids():
    assert split_device_id("camera.line-1.cam1") == ("camera", "line-1", "cam1")
    assert spiffe_id(device_id(Kind.CAMERA, "line-1", "cam1"), "plant") == "spiffe://plant.framegate/camera/line-1/cam1"
    for bad in ("", "camera", "camera.a", "toaster.a.b", "camera.a.b.c", "camera.a.B"):
        with pytest.raises(Malformed):
            split_device_id(bad)


def test_fleet_keys_are_private_and_never_overwritten(tmp_path):
    folder = tmp_path / "keys"
    found_fleet(folder, "plant")
    assert all(p.stat().st_mode & 0o077 == 0 for p in folder.glob("*.key")) and folder.stat().st_mode & 0o077 == 0
    with pytest.raises(Refused):
        found_fleet(folder, "plant")
    (folder / "grant.key").chmod(0o644)
    with pytest.raises(Refused) as caught:
        load_fleet(folder)
    assert "chmod 600" in str(caught.value)
