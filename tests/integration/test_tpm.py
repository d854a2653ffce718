"""The real TPM (swtpm) through the agent's own code: what its keys do, and what they refuse
where the attacker has the TPM.
"""

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import tpm2_pytss as tss
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import EvidenceRejected, FramegateError, Reason, Refused, Unavailable
from framegate.eventlog import parse_boot_log, replay
from framegate.identity.endorsement import verify_endorsement
from framegate.tpm.attest import PcrSelection, parse_attest, verify_signature
from framegate.tpm.constants import TPM_RH_NULL, Alg
from framegate.tpm.credential import make_credential
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS, marshal_public
from framegate_agent.tpm.chip import Tpm
from framegate_agent.tpm.esapi import TpmLost
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.machine import Machine

pytestmark = pytest.mark.swtpm


SELECTION = PcrSelection(Alg.SHA256, tuple(range(8)))


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_every_kind_of_ek_is_endorsed_and_activates(socket_folder, maker, kind):
    machine = Machine(socket_folder / kind, maker, Firmware("simulated-camera"), ek=kind)
    machine.power_on()
    tpm = Tpm(machine.tcti)
    try:
        ek, ak = tpm.endorsement(), tpm.attestation_key()
        assert verify_endorsement(
            ek.public, ek.certificates, [maker.certificate], datetime.now(UTC)
        )
        key = ek.public.key()
        size = 48 if ek.public.name_alg == Alg.SHA384 else 32
        ephemeral = (
            ec.generate_private_key(key.curve)
            if isinstance(key, ec.EllipticCurvePublicKey)
            else None
        )
        secret = os.urandom(32)
        credential = make_credential(
            ek.public, ak.name, secret, seed=os.urandom(size), ephemeral=ephemeral
        )
        assert tpm.activate(ek, *credential) == secret
        other = make_credential(
            ek.public, b"\0\x0b" + bytes(32), secret, seed=os.urandom(size), ephemeral=ephemeral
        )
        with pytest.raises(Refused) as caught:
            tpm.activate(ek, *other)
        assert caught.value.reason == Reason.MAC
        assert tpm.transient_handles() == (), "every handle is flushed"
    finally:
        tpm.close()
        machine.power_off()


def test_keys_quote_and_certification(machine):
    tpm = Tpm(machine.tcti)
    ak, tls = tpm.attestation_key(), tpm.tls_key()
    assert ak.attributes == AK_ATTRS and tls.attributes == TLS_ATTRS
    attest_bytes, signature = tpm.quote(SELECTION, b"n" * 32)
    verify_signature(ak, attest_bytes, signature)
    quote = parse_attest(attest_bytes)
    assert (
        quote.extra_data == b"n" * 32
        and quote.selections == (SELECTION,)
        and quote.qualified_signer == ak.qualified_name()
    )
    replayed = replay(parse_boot_log(machine.boot_log_path.read_bytes()), Alg.SHA256)
    assert {p: replayed[p] for p in SELECTION.pcrs} == tpm.pcrs(SELECTION)
    certify = parse_attest(tpm.certify_tls_key(b"c" * 32)[0])
    assert certify.name == tls.name and certify.certified_qualified_name == tls.qualified_name(
        TPM_RH_NULL
    )
    tls.key().verify(tpm.sign_with_tls_key(b"message"), b"message", ec.ECDSA(hashes.SHA256()))
    again = Tpm.__new__(Tpm)
    assert again is not tpm
    tpm.close()
    second = Tpm(machine.tcti)
    assert (second.attestation_key().name, second.tls_key().name) == (
        ak.name,
        tls.name,
    ), "an agent's restart keeps both keys"
    second.close()


def test_n116_tls_key_does_not_sign_after_a_tpm_restart_into_another_system(machine):
    """The NULL hierarchy survives Shutdown(STATE) + Startup(CLEAR); the PCR policy is what
    stops the other system.
    """
    tpm = Tpm(machine.tcti)
    first = tpm.tls_key()
    policy = first.auth_policy
    tpm.close()
    machine.tpm_restart(machine.firmware.tampered())
    with tss.ESAPI(machine.tcti) as esys:
        template = marshal_public(
            attributes=TLS_ATTRS,
            curve=3,
            x=b"",
            y=b"",
            auth_policy=policy,
            scheme=(Alg.ECDSA, Alg.SHA256),
        )
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        handle, public_key, *_ = esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), public, tss.ESYS_TR.NULL
        )
        assert bytes(public_key.publicArea.marshal()) == first.raw, (
            "the attacker does get the same key"
        )
        session = esys.start_auth_session(
            tss.ESYS_TR.NONE,
            tss.ESYS_TR.NONE,
            tss.TPM2_SE.POLICY,
            tss.TPMT_SYM_DEF(algorithm=tss.TPM2_ALG.NULL),
            tss.TPM2_ALG.SHA256,
        )
        esys.policy_pcr(session, b"", tss.TPML_PCR_SELECTION.parse("sha256:0,1,2,3,4,5,6,7"))
        null = tss.TPMT_TK_HASHCHECK(tag=tss.TPM2_ST.HASHCHECK, hierarchy=tss.TPM2_RH.NULL)
        scheme = tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL)
        with pytest.raises(tss.TSS2_Exception, match="policy"):
            esys.sign(handle, hashlib.sha256(b"x").digest(), scheme, null, session1=session)
        with pytest.raises(tss.TSS2_Exception):
            esys.sign(
                handle, hashlib.sha256(b"x").digest(), scheme, null, session1=tss.ESYS_TR.PASSWORD
            )
        esys.flush_context(session)
        esys.flush_context(handle)


def test_n116_pcr_change_while_running_stops_the_key(machine):
    tpm = Tpm(machine.tcti)
    tpm.tls_key()
    tpm.sign_with_tls_key(b"x")
    values = tss.TPML_DIGEST_VALUES(
        digests=[tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=b"e" * 32))]
    )
    tpm._esapi.on_owner(lambda: tpm._esapi.esys.pcr_extend(tss.ESYS_TR.PCR4, values))
    with pytest.raises(Refused) as caught:
        tpm.sign_with_tls_key(b"x")
    assert caught.value.reason == Reason.TLS_KEY_POLICY
    tpm.close()


def test_n11_restricted_ak_signs_no_outside_digest(machine):
    tpm = Tpm(machine.tcti)
    tpm.attestation_key()
    tpm.close()
    with tss.ESAPI(machine.tcti) as esys:
        handle = esys.tr_from_tpmpublic(0x81010FA6)
        null = tss.TPMT_TK_HASHCHECK(tag=tss.TPM2_ST.HASHCHECK, hierarchy=tss.TPM2_RH.NULL)
        with pytest.raises(tss.TSS2_Exception, match="ticket"):
            esys.sign(handle, b"d" * 32, tss.TPMT_SIG_SCHEME(scheme=tss.TPM2_ALG.NULL), null)


def test_n70_counters_move_as_machines_do(machine):
    def clock():
        tpm = Tpm(machine.tcti)
        try:
            return parse_attest(tpm.quote(SELECTION, b"n" * 32)[0]).clock_info
        finally:
            tpm.close()

    first = clock()
    machine.reboot()
    second = clock()
    assert second.reset_count == first.reset_count + 1 and second.safe
    machine.power_cut()
    machine.power_on()
    third = clock()
    assert third.reset_count == second.reset_count + 1 and not third.safe
    machine.tpm_restart(machine.firmware)
    fourth = clock()
    assert (fourth.reset_count, fourth.restart_count) == (
        third.reset_count,
        third.restart_count + 1,
    )


def test_n117_tpm2_clear_drops_the_counters_and_keeps_the_ak(machine):
    machine.reboot()
    tpm = Tpm(machine.tcti)
    before, ak = (
        parse_attest(tpm.quote(SELECTION, b"n" * 32)[0]).clock_info,
        tpm.attestation_key().name,
    )
    tpm.close()
    with tss.ESAPI(machine.tcti) as esys:
        esys.clear(tss.ESYS_TR.PLATFORM)
    tpm = Tpm(machine.tcti)
    after = parse_attest(tpm.quote(SELECTION, b"n" * 32)[0]).clock_info
    assert after.reset_count < before.reset_count and tpm.attestation_key().name == ak
    tpm.close()


def test_tpm_that_goes_away_is_an_error_of_ours_and_ends_the_daemon_with_a_word(machine):
    tpm = Tpm(machine.tcti)
    tpm.tls_key()
    machine.power_cut()
    with pytest.raises(TpmLost):
        tpm.quote(SELECTION, b"n" * 32)
    with pytest.raises(TpmLost):
        tpm.sign_with_tls_key(b"x")
    tpm.close()
    with pytest.raises(Unavailable):
        tpm.facts()


def test_a_tls_key_that_somebody_flushed_is_loaded_again_and_is_the_same(machine):
    """A second user of a TPM without a resource manager flushes what it finds."""
    tpm = Tpm(machine.tcti)
    first = tpm.tls_key()
    for use in (
        lambda: tpm.sign_with_tls_key(b"x"),
        lambda: tpm.certify_tls_key(b"n" * 32),
        tpm.tls_key,
    ):
        tpm.flush_leftovers()
        assert tpm.transient_handles() == ()
        use()
        assert len(tpm.transient_handles()) == 1, "one key, not one more each time"
        assert tpm.tls_key().raw == first.raw
    first.key().verify(tpm.sign_with_tls_key(b"x"), b"x", ec.ECDSA(hashes.SHA256()))
    tpm.flush_leftovers()
    tpm.close()


def test_a_flushed_tls_key_does_not_come_back_in_another_boot_state(machine):
    """Loading it again binds it to what the PCRs were, not to what they are."""
    tpm = Tpm(machine.tcti)
    tpm.tls_key()
    values = tss.TPML_DIGEST_VALUES(
        digests=[tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=b"e" * 32))]
    )
    tpm._esapi.on_owner(lambda: tpm._esapi.esys.pcr_extend(tss.ESYS_TR.PCR4, values))
    tpm.flush_leftovers()
    with pytest.raises(Refused) as caught:
        tpm.sign_with_tls_key(b"x")
    assert caught.value.reason == Reason.TLS_KEY_POLICY
    tpm.close()


def test_what_a_killed_agent_left_is_flushed_and_the_key_is_the_same(machine):
    """kill -9 on a TPM without a resource manager: three lost handles would fill it."""
    code = (
        "import os, sys\nfrom framegate_agent.tpm.chip import Tpm\nt ="
        " Tpm(sys.argv[1])\nt.flush_leftovers()\nprint(t.tls_key().name.hex(),"
        " flush=True)\nos.kill(os.getpid(), 9)"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code, machine.tcti], capture_output=True, text=True, check=False
        ).stdout
        for _ in range(5)
    }
    assert len(names) == 1 and names.pop().strip()


def test_the_vaults_secret_opens_only_on_this_tpm_in_this_boot_state(machine, socket_folder):
    tpm = Tpm(machine.tcti)
    blob = tpm.seal(b"k" * 32)
    assert tpm.unseal(blob) == b"k" * 32 and b"k" * 8 not in blob
    for bad in (blob[:-3], b"", blob[:40] + bytes([blob[40] ^ 1]) + blob[41:]):
        with pytest.raises(FramegateError):
            tpm.unseal(bad)
    tpm.close()
    machine.reboot(machine.firmware.tampered())
    tpm = Tpm(machine.tcti)
    with pytest.raises(Refused) as caught:
        tpm.unseal(blob)
    assert caught.value.reason == Reason.VAULT and "recover" in str(caught.value)
    tpm.close()


def test_an_iak_out_of_nv_certifies_the_ak(socket_folder, maker):
    """A TPM with an IAK and its certificate, and no EK certificate: the maker vouches through
    it.
    """
    from framegate.identity.device_identity import (
        iak_certify_data,
        verify_iak,
        verify_iak_certification,
    )
    from framegate_simulators.machine.tpm import Swtpm, manufacture_iak

    chip = Swtpm(socket_folder / "iak")
    chip.start()
    try:
        certificate = manufacture_iak(chip, maker)
        tpm = Tpm(chip.tcti)
        try:
            assert tpm.endorsement().certificates == ()
            iak = tpm.initial_attestation_key()
            assert iak is not None and iak.certificates == (certificate,)
            verify_iak(iak.public, iak.certificates, [maker.certificate], datetime.now(UTC))
            ak, t = tpm.attestation_key(), b"t" * 32
            attest, signature = tpm.certify_ak(iak, iak_certify_data(t, ak.name))
            verify_iak_certification(iak.public, ak, attest, signature, t)
            with pytest.raises(EvidenceRejected):
                verify_iak_certification(iak.public, ak, attest, signature, b"u" * 32)
        finally:
            tpm.close()
    finally:
        chip.stop()


def test_a_connection_that_broke_is_called_that_and_nothing_else(socket_folder, maker):
    machine = Machine(socket_folder / "gone", maker, Firmware("simulated-camera"))
    machine.power_on()
    tpm = Tpm(machine.tcti)
    try:
        tpm.tls_key()
        blob = tpm.seal(b"secret")
        machine.power_off()
        asked = (
            lambda: tpm.quote(SELECTION, b"nonce"),
            lambda: tpm.sign_with_tls_key(b"message"),  # no word of another boot state
            lambda: tpm.unseal(blob),  # nor of another TPM
            tpm.tls_key,
        )
        for ask in asked:
            with pytest.raises(TpmLost) as lost:
                ask()
            first = lost.value.failures[0]
            assert "the connection to it broke" in first.actual and "IO failure" in first.actual
            assert "framegate-agent doctor" in first.hint
    finally:
        tpm.close()
