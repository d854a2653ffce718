"""Quotes in files: what is said of each part that does not belong to the others."""

import hashlib
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.eventlog import parse_boot_log, replay
from framegate.evidence.offline import verify_files
from framegate.evidence.offline_result import OfflineResult
from framegate.evidence.quote_files import (
    MAX_FILE_BYTES,
    check_ak,
    key_words,
    load_ak,
    verify_quote_signature,
)
from framegate.ima import parse_ima
from framegate.ima.allowlist import parse_allowlist
from framegate.ima.replay import running_values
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.tpm.attest import (
    Attest,
    PcrSelection,
    marshal_attest,
    marshal_ecdsa_signature,
    parse_signature,
)
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import TPM_GENERATED, Alg, Attr, St
from framegate.tpm.policy import pcr_digest
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
from framegate_simulators.machine.ima import ImaMachine, allowlist_of
from support.ima import digest_of
from support.refusals import refused

NONCE = bytes(range(32))
BOOT_PCRS = tuple(range(10))
WITH_IMA = tuple(range(11))
CAMERA = Firmware("simulated-camera")


@pytest.fixture
def forge(maker) -> Forge:
    return Forge(maker, CAMERA)


def values_of(forge: Forge, pcrs, ima: bytes | None = None) -> dict[int, bytes]:
    """PCR values of a machine; of PCR 10 `ima`, or what its list came to."""
    return {p: (ima or forge.ima.values[Alg.SHA256]) if p == 10 else forge.pcrs[p] for p in pcrs}


def quote_of(forge: Forge, pcrs=BOOT_PCRS, ima: bytes | None = None, **changes) -> dict[str, bytes]:
    """A quote by the forge's AK over those PCRs, changed before it was signed."""
    selection = PcrSelection(Alg.SHA256, pcrs)
    statement = Attest(
        b"",
        TPM_GENERATED,
        St.ATTEST_QUOTE,
        forge.ak.public.qualified_name(),
        NONCE,
        forge.clock,
        forge.firmware_version,
        (selection,),
        pcr_digest(selection, values_of(forge, pcrs, ima)),
    )
    raw = marshal_attest(replace(statement, **changes))
    signature = forge.ak.sign(raw)
    return {"ak": forge.ak.public.raw, "attest": raw, "signature": signature, "nonce": NONCE}


def the_one(result: OfflineResult, reason: Reason) -> str:
    (failure,) = [f for f in result.failures if f.reason == reason]
    return str(failure)


def profile_of(*changes: tuple[str, str], ima: bool = True) -> FirmwareProfile:
    text = profile_toml(replace(CAMERA, ima=ima), "simulated-camera")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_profile(text.encode())


def test_the_quote_they_are_changed_from_is_affirmed(forge):
    result = verify_files(**quote_of(forge), boot_log=forge.log)
    assert result.affirming and "boot log" in result.checked
    lists = [parse_allowlist(allowlist_of("simulated-camera", CAMERA.release))]
    result = verify_files(
        **quote_of(forge, WITH_IMA),
        boot_log=forge.log,
        ima=forge.ima.list_from(),
        profile=profile_of(),
        allowlists=lists,
    )
    assert result.affirming, result.failures


def test_nothing_is_told_of_a_statement_that_nobody_signed(forge):
    quote = quote_of(forge)
    assert verify_files(**quote | {"ak": b"no key"}).facts == {}
    for wrong in ({"signature": forge.ak.sign(b"other")}, {"nonce": bytes(32)}):
        assert list(verify_files(**quote | wrong).facts) == ["ak"]
    told = verify_files(**quote).facts
    assert told["clock_ms"] == forge.clock.clock and told["selection"] == {
        "sha256": list(BOOT_PCRS)
    }
    assert told["ak_parent"] == "a primary of the endorsement hierarchy"


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({"magic": 0}, Reason.MAGIC, "this was not made by a TPM"),
        ({"type": St.ATTEST_TIME}, Reason.ATTEST_TYPE, "expected ATTEST_QUOTE"),
        ({"extra_data": NONCE[:-1]}, Reason.EXTRA_DATA, ""),
        ({"selections": ()}, Reason.PCR_SELECTION, "a quote over at least one PCR"),
        ({"pcr_digest": bytes(32)}, Reason.PCR_DIGEST, "not the whole story of this boot"),
    ],
)
def test_statements_that_are_no_quote_of_this_boot(forge, changes, reason, message):
    result = verify_files(**quote_of(forge, **changes), boot_log=forge.log)
    assert not result.affirming and message in the_one(result, reason)


def test_a_quote_over_two_banks_is_read_and_remarked(forge):
    both = (PcrSelection(Alg.SHA1, (0,)), PcrSelection(Alg.SHA256, BOOT_PCRS))
    sha1 = replay(parse_boot_log(forge.log), Alg.SHA1)[0]
    values = values_of(forge, BOOT_PCRS)
    digest = hashlib.sha256(sha1 + b"".join(values[p] for p in BOOT_PCRS)).digest()
    result = verify_files(
        **quote_of(forge, selections=both, pcr_digest=digest),
        pcrs={"sha1": {0: sha1}, "sha256": values},
        boot_log=forge.log,
    )
    assert result.affirming, result.failures
    (finding,) = [f for f in result.findings if f.reason == Reason.PCR_SELECTION]
    assert "expected one bank, got sha1 + sha256" in str(finding)


def test_a_profile_of_other_pcrs_or_of_another_tpm(forge):
    files = {**quote_of(forge), "boot_log": forge.log}
    assert verify_files(**files, profile=profile_of(ima=False)).affirming
    other = profile_of(("8, 9]", "8, 9, 14]"), ima=False)
    message = the_one(verify_files(**files, profile=other), Reason.PCR_SELECTION)
    assert "asked for other PCRs than the profile's" in message
    other = profile_of(('firmware = "any"', 'firmware = ["00000000000000aa"]'), ima=False)
    message = the_one(verify_files(**files, profile=other), Reason.TPM_FIRMWARE)
    assert "expected 00000000000000aa" in message


def test_a_log_that_does_not_parse_is_not_called_missing(forge):
    result = verify_files(**quote_of(forge), boot_log=b"junk", profile=profile_of(ima=False))
    assert {f.reason for f in result.failures} == {Reason.BOOT_LOG_MALFORMED}
    result = verify_files(**quote_of(forge), profile=profile_of(ima=False))
    assert "--boot-log FILE" in the_one(result, Reason.BOOT_LOG_MISSING)


# what a measurement list is worth


def judged(forge: Forge, listed: ImaMachine, **more) -> OfflineResult:
    """A quote over PCR 10 as `listed` extended it, and the list."""
    return verify_files(
        **quote_of(forge, WITH_IMA, listed.values[Alg.SHA256]),
        ima=listed.list_from(),
        **{"boot_log": forge.log, **more},
    )


def test_a_list_whose_pcr_nobody_quoted(forge):
    result = verify_files(**quote_of(forge), boot_log=forge.log, ima=forge.ima.list_from())
    assert "nothing vouches for the list" in the_one(result, Reason.IMA_REPLAY)


def test_a_list_without_its_front(forge):
    listed = ImaMachine()
    listed.measure(b"/a", digest_of(b"a"))
    message = the_one(judged(forge, listed), Reason.IMA_BOOT_AGGREGATE)
    assert "the list was cut at its front" in message


def test_a_list_of_another_boot(forge):
    listed = ImaMachine.booted({}, {})
    message = the_one(judged(forge, listed), Reason.IMA_BOOT_AGGREGATE)
    assert "the list is of another boot" in message and "sha256:" in message


@pytest.mark.parametrize(("algorithm", "checked"), [("sha1", True), ("sha512", False)])
def test_an_aggregate_in_a_bank_that_was_not_quoted(forge, algorithm, checked):
    """The log gives what the quote does not; of a bank that neither has, nothing is said."""
    replayed = replay(parse_boot_log(forge.log), Alg.SHA1)
    summed = hashlib.new(algorithm, b"".join(replayed[p] for p in range(8))).digest()
    listed = ImaMachine()
    listed.measure(b"boot_aggregate", summed, algorithm=algorithm)
    result = judged(forge, listed)
    assert result.affirming, result.failures
    assert ("boot_aggregate" in result.checked) == checked
    assert any("no sha512 values of PCR 0 to 7" in u for u in result.unchecked) == (not checked)


def test_a_list_of_an_old_kernel_is_found_unless_the_profile_says_otherwise(forge):
    listed = parse_ima(forge.ima.list_from())
    value = running_values(listed, Alg.SHA256, bytes(32), padded_sha1=True)[-1]
    files = {
        **quote_of(forge, WITH_IMA, value),
        "boot_log": forge.log,
        "ima": forge.ima.list_from(),
        "pcrs": {"sha256": values_of(forge, WITH_IMA, value)},
    }
    result = verify_files(**files)
    assert result.affirming and result.facts["ima_padded_sha1"] is True
    lists = [parse_allowlist(allowlist_of("simulated-camera", CAMERA.release))]
    strict = verify_files(**files, profile=profile_of(), allowlists=lists)
    assert Reason.IMA_REPLAY in {f.reason for f in strict.failures}
    quirk = profile_of(("[profile]", 'quirks = ["ima-padded-sha1"]\n[profile]'))
    assert verify_files(**files, profile=quirk, allowlists=lists).affirming


# keys and signatures


def pem_of(key) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_keys_that_attest_nothing():
    for key in (
        ed25519.Ed25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 - what is refused
    ):
        with pytest.raises(Malformed, match="an RSA key of 2048 to 4096 bits, or an ECC") as caught:
            load_ak(pem_of(key))
        assert caught.value.reason == Reason.AK_TEMPLATE
    assert refused(lambda: load_ak(bytes(MAX_FILE_BYTES + 1)), Malformed) == Reason.TOO_LARGE


def test_signatures_by_another_scheme_or_over_sha1():
    key, other = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    ak = load_ak(pem_of(key.public_key()))
    value = other.sign(b"m", padding.PKCS1v15(), hashes.SHA256())
    foreign = struct.pack(">HH", Alg.RSASSA, Alg.SHA256) + tpm2b(value)
    weak = marshal_ecdsa_signature(1, 1, Alg.SHA1)
    for raw, message in (
        (foreign, "a scheme for .*, got RSASSA"),
        (weak, "SHA-256 or stronger, got SHA1"),
    ):
        with pytest.raises(EvidenceRejected, match=message) as caught:
            verify_quote_signature(ak, b"m", raw)
        assert caught.value.reason == Reason.SIGNATURE_SCHEME
    rsa_ak = load_ak(pem_of(other.public_key()))
    assert verify_quote_signature(rsa_ak, b"m", foreign) == Alg.SHA256
    with pytest.raises(EvidenceRejected) as caught:
        verify_quote_signature(rsa_ak, b"another", foreign)
    assert caught.value.reason == Reason.SIGNATURE


def test_a_log_of_another_system_under_an_old_quote(forge):
    quoted = quote_of(forge)
    other = boot_log(measurements(CAMERA.tampered()))
    result = verify_files(**quoted, boot_log=other, profile=profile_of(ima=False))
    assert {Reason.PCR_DIGEST, Reason.EVENT_UNCLAIMED} <= {f.reason for f in result.failures}


def test_a_log_without_the_bank_of_the_profile(forge):
    """SHA-1 alone was measured: nothing of it replays to a quote over SHA-256."""
    head = struct.pack("<II", 0, 3) + bytes(20)
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, 1)
    spec += struct.pack("<HH", Alg.SHA1, 20) + b"\0"
    log = head + struct.pack("<I", len(spec)) + spec
    for measured in measurements(CAMERA):
        digest = struct.pack("<IIIH", measured.pcr, measured.type, 1, Alg.SHA1)
        log += digest + measured.digest(Alg.SHA1) + struct.pack("<I", len(measured.data))
        log += measured.data
    result = verify_files(**quote_of(forge), boot_log=log, profile=profile_of(ima=False))
    assert "a log with the sha256" in the_one(result, Reason.BOOT_LOG_MALFORMED)


def signed_bare(key, message=b"m"):
    """r ‖ s, as tools write a bare signature beside DER."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def test_bare_signatures_of_keys_that_pin_no_scheme():
    key = ec.generate_private_key(ec.SECP256R1())
    ak = load_ak(pem_of(key.public_key()))
    der = key.sign(b"m", ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(der)
    for raw in (der, signed_bare(key), marshal_ecdsa_signature(r, s)):
        assert verify_quote_signature(ak, b"m", raw) == Alg.SHA256
        assert (
            refused(lambda raw=raw: verify_quote_signature(ak, b"n", raw), EvidenceRejected)
            == Reason.SIGNATURE
        )
    assert check_ak(ak) == [] and key_words(ak).endswith("(public key, PEM), attributes unknown")


@pytest.mark.parametrize("raw", [b"", b"x", bytes(64), bytes(71), b"\x30" * 64])
def test_bare_signatures_that_are_none(raw):
    ak = load_ak(pem_of(ec.generate_private_key(ec.SECP256R1()).public_key()))
    call = lambda: verify_quote_signature(ak, b"m", raw)  # noqa: E731
    assert refused(call, EvidenceRejected) == Reason.SIGNATURE


def test_a_key_that_pins_its_scheme_is_held_to_it(forge):
    public = forge.ak.public
    ak = load_ak(public.raw)
    signature = parse_signature(forge.ak.sign(b"m"))
    der = utils.encode_dss_signature(signature.r, signature.s)
    assert verify_quote_signature(ak, b"m", der) == Alg.SHA256
    assert check_ak(ak) == [] and "TPMT_PUBLIC" in key_words(ak)
    other = ec.generate_private_key(ec.SECP256R1()).sign(b"m", ec.ECDSA(hashes.SHA256()))
    assert refused(lambda: verify_quote_signature(ak, b"m", other)) == Reason.SIGNATURE
    weak = replace(ak, public=replace(public, scheme=(Alg.ECDSA, Alg.SHA1)))
    assert refused(lambda: verify_quote_signature(weak, b"m", der)) == Reason.SIGNATURE_SCHEME
    wide = replace(public, attributes=public.attributes & ~Attr.RESTRICTED)
    decrypts = replace(public, attributes=public.attributes | Attr.DECRYPT)
    for attributes in (wide, decrypts):
        (failure,) = check_ak(replace(ak, public=attributes))
        assert failure.reason == Reason.AK_TEMPLATE and "forged quotes too" in str(failure)


def test_a_pss_signature_by_a_bare_rsa_key():
    key = rsa.generate_private_key(65537, 2048)
    ak = load_ak(pem_of(key.public_key()))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    raw = struct.pack(">HH", Alg.RSAPSS, Alg.SHA256) + tpm2b(key.sign(b"m", pss, hashes.SHA256()))
    assert verify_quote_signature(ak, b"m", raw) == Alg.SHA256
    assert key_words(ak).startswith("RSA-2048")
    assert refused(lambda: verify_quote_signature(ak, b"n", raw)) == Reason.SIGNATURE


# values and logs that do not belong to the quote


def test_values_of_other_pcrs_are_not_used_and_those_of_all_quoted_are_needed(forge):
    values = values_of(forge, BOOT_PCRS)
    more = verify_files(**quote_of(forge), pcrs={"sha256": {**values, 23: bytes(32)}})
    assert more.affirming and "nothing vouches for them" in str(more.findings)
    assert any("boot log: not given" in u for u in more.unchecked)
    less = verify_files(**quote_of(forge), pcrs={"sha256": {0: values[0]}})
    assert "sha256:1" in the_one(less, Reason.PCR_SELECTION)
    wrong = verify_files(**quote_of(forge), pcrs={"sha256": {**values, 3: bytes(32)}})
    assert "not those that were quoted" in the_one(wrong, Reason.PCR_DIGEST)


def test_nothing_but_a_quote_checks_no_digest(forge):
    result = verify_files(**quote_of(forge))
    assert any("neither values nor a log were given" in u for u in result.unchecked)


def extended_values(forge, pcrs, word=b"os-separator"):
    values = values_of(forge, BOOT_PCRS)
    digest = hashlib.sha256(word).digest()
    return values | {p: hashlib.sha256(values[p] + digest).digest() for p in pcrs}


def extended_quote(forge, values):
    digest = pcr_digest(PcrSelection(Alg.SHA256, BOOT_PCRS), values)
    return quote_of(forge, pcr_digest=digest)


@pytest.mark.parametrize(
    ("pcrs", "word", "hint"),
    [
        ((3,), b"os-separator", "somebody else did"),
        ((3,), b"anything", "the log is not the whole story of this boot"),
        ((9,), b"anything", "programs extend PCR 9 after boot"),
        ((*range(8), 9), b"os-separator", "grant it in the profile"),
    ],
)
def test_pcrs_that_went_on_after_boot_are_told_by_what_it_looks_like(forge, pcrs, word, hint):
    values = extended_values(forge, pcrs, word)
    quoted = extended_quote(forge, values)
    result = verify_files(**quoted, boot_log=forge.log, pcrs={"sha256": values})
    failures = [f for f in result.failures if f.reason == Reason.BOOT_LOG_REPLAY]
    assert len(failures) == len(pcrs) and all(hint in str(f) for f in failures)


def test_a_machine_with_both_separator_and_words_is_told_of_both(forge):
    values = extended_values(forge, range(8))
    values[9] = hashlib.sha256(values[9] + bytes(32)).digest()
    quoted = extended_quote(forge, values)
    result = verify_files(**quoted, boot_log=forge.log, pcrs={"sha256": values})
    assert "os-separator is in PCR 0 to 7" in str(result.failures)


def test_a_log_without_the_values_of_quoted_pcrs_asks_for_them(forge):
    pcrs = (*BOOT_PCRS, 16)
    selection = PcrSelection(Alg.SHA256, pcrs)
    values = {**values_of(forge, BOOT_PCRS), 16: bytes(32)}
    quoted = quote_of(forge, selections=(selection,), pcr_digest=pcr_digest(selection, values))
    result = verify_files(**quoted, boot_log=forge.log)
    assert "give --pcrs" in the_one(result, Reason.PCR_DIGEST)


def with_entry_of(forge, pcr: int, quoted: bytes | None):
    """A quote over PCR 0 to 10 and, with the value `quoted`, PCR 12; its list has an entry more
    that an IMA rule extended into PCR 12.
    """
    listed = ImaMachine.booted(forge.pcrs, {})
    values = values_of(forge, WITH_IMA, listed.values[Alg.SHA256])
    listed.measure(b"/opt/line", digest_of(b"line"), pcr=pcr)
    pcrs = WITH_IMA if quoted is None else (*WITH_IMA, pcr)
    values |= {pcr: quoted} if quoted is not None else {}
    selection = PcrSelection(Alg.SHA256, pcrs)
    digest = pcr_digest(selection, values)
    return verify_files(
        **quote_of(forge, selections=(selection,), pcr_digest=digest),
        boot_log=forge.log,
        ima=listed.list_from(),
        pcrs={"sha256": values},
    )


def test_entries_of_another_pcr_count_by_what_was_quoted_of_it(forge):
    listed = ImaMachine()
    listed.measure(b"/opt/line", digest_of(b"line"), pcr=12)
    parsed = parse_ima(listed.list_from())
    value = running_values(parsed, Alg.SHA256, bytes(32), pcr=12)[-1]
    whole = with_entry_of(forge, 12, value)
    assert whole.affirming, whole.failures
    assert "1 IMA entries of PCR 12" in whole.checked
    unquoted = with_entry_of(forge, 12, None)
    assert unquoted.affirming and "nothing vouches for them" in str(unquoted.unchecked)
    wrong = with_entry_of(forge, 12, b"\7" * 32)
    assert "shortened or altered" in the_one(wrong, Reason.IMA_REPLAY)


def test_a_list_decides_which_boot_was_quoted_where_no_values_are_given(forge):
    quoted = quote_of(forge, WITH_IMA)
    result = verify_files(**quoted, boot_log=forge.log, ima=forge.ima.list_from())
    assert result.affirming and "boot log" in result.checked and "IMA list" in result.checked
    other = boot_log(measurements(CAMERA.tampered()))
    result = verify_files(**quoted, boot_log=other, ima=forge.ima.list_from())
    assert Reason.IMA_REPLAY in {f.reason for f in result.failures}


def test_a_profile_asks_for_the_allowlists_that_it_names(forge):
    files = {**quote_of(forge, WITH_IMA), "boot_log": forge.log, "ima": forge.ima.list_from()}
    message = the_one(verify_files(**files, profile=profile_of()), Reason.ALLOWLIST)
    assert "--allowlist FILE" in message and "not given" in message
    del files["ima"]
    files["pcrs"] = {"sha256": values_of(forge, WITH_IMA)}
    missing = verify_files(**files, profile=profile_of())
    assert "--ima FILE" in the_one(missing, Reason.IMA_MISSING)
