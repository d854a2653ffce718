"""The real TPM (swtpm) through the agent's own code: what its keys do, and what they refuse
where the attacker has the TPM.
"""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
from framegate.tpm.public import AK_ATTRS, TLS_ATTRS
from framegate_agent.doctor import examine
from framegate_agent.signing import MAX_HANDSHAKES, TLS_CLIENT_PREFIX, TlsSigner
from framegate_agent.state import StateFile
from framegate_agent.tpm import Tpm
from framegate_controller.ca.issue import issue_operator
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.machine import Machine

pytestmark = pytest.mark.swtpm
SELECTION = PcrSelection(Alg.SHA256, tuple(range(8)))


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fg-") as folder:
        yield Path(folder)


@pytest.fixture
def machine(short: Path, maker) -> Iterator[Machine]:
    made = Machine(short / "m", maker, Firmware("simulated-camera"))
    made.power_on()
    yield made
    made.power_cut()


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa2048"])
def test_every_kind_of_ek_is_endorsed_and_activates(short, maker, kind):
    machine = Machine(short / kind, maker, Firmware("simulated-camera"), ek=kind)
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
        made = make_credential(
            ek.public, ak.name, secret, seed=os.urandom(size), ephemeral=ephemeral
        )
        assert tpm.activate(ek, *made) == secret
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
    from framegate_agent import tpm as module

    with tss.ESAPI(machine.tcti) as esys:
        template = module.marshal_public(
            attributes=TLS_ATTRS,
            curve=3,
            x=b"",
            y=b"",
            auth_policy=policy,
            scheme=(Alg.ECDSA, Alg.SHA256),
        )
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        handle, made, *_ = esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), public, tss.ESYS_TR.NULL
        )
        assert bytes(made.publicArea.marshal()) == first.raw, "the attacker does get the same key"
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
    tpm._on_owner(lambda: tpm._esys.pcr_extend(tss.ESYS_TR.PCR4, values))
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
    from framegate_agent.tpm import TpmFailed

    tpm = Tpm(machine.tcti)
    tpm.tls_key()
    machine.power_cut()
    with pytest.raises(TpmFailed):
        tpm.quote(SELECTION, b"n" * 32)
    with pytest.raises(Refused):
        tpm.sign_with_tls_key(b"x")
    tpm.close()
    with pytest.raises(Unavailable):
        tpm.facts()


class CountingKey:
    def __init__(self) -> None:
        self.count = 0

    def sign_with_tls_key(self, message: bytes) -> bytes:
        self.count += 1
        return b"signature"


def signer(keys, now_s=None) -> tuple[CountingKey, TlsSigner]:
    key, certificate = (
        CountingKey(),
        issue_operator(keys, "x", ec.generate_private_key(ec.SECP256R1()).public_key()),
    )
    return key, TlsSigner(key, certificate, now_s or (lambda: datetime.now(UTC).timestamp()))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"x" * 130,
        b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + bytes(32),
        TLS_CLIENT_PREFIX,
        TLS_CLIENT_PREFIX + bytes(31),
        TLS_CLIENT_PREFIX + bytes(64),
        os.urandom(65) + b"\x03\x00\x17" + os.urandom(60),
        b"framegate/v1/sign-opening\0" + bytes(64),
        b"\xffTCG" + bytes(126),
    ],
)
def test_n118_signer_is_no_oracle(keys, message):
    """TLS 1.2 key exchanges, server handshakes, quotes, our own messages: none is signed as a
    handshake.
    """
    key, tls = signer(keys)
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.SIGNING_ORACLE and key.count == 0


def test_n118_signer_stops_with_its_certificate_and_in_a_flood(keys):
    message = TLS_CLIENT_PREFIX + bytes(32)
    key, tls = signer(keys, lambda: (datetime.now(UTC) + timedelta(days=2)).timestamp())
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.CERTIFICATE_EXPIRED
    key, tls = signer(keys)
    for _ in range(MAX_HANDSHAKES):
        tls.sign(message)
    with pytest.raises(Refused) as caught:
        tls.sign(message)
    assert caught.value.reason == Reason.TOO_MANY_TRIES and key.count == MAX_HANDSHAKES


def test_n118_tls_1_2_only_server_gets_nothing_signed(keys, machine):
    """A real TLS 1.2 server in front of the agent's own channel."""
    import ssl
    import threading

    from cryptography.hazmat.primitives.serialization import Encoding

    from framegate.identity.pem import private_pem
    from framegate_agent.channel import with_tpm_key
    from framegate_controller.ca.issue import issue_server

    server_key = ec.generate_private_key(ec.SECP256R1())
    folder = machine.folder
    (folder / "s.pem").write_bytes(
        private_pem(server_key)
        + issue_server(keys, "controller", server_key.public_key()).public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "s.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=keys.root.pem.decode())
    context.set_alpn_protocols(["h2"])
    import socket

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()
        except OSError:
            return

    thread = threading.Thread(target=serve)
    thread.start()
    tpm = Tpm(machine.tcti)
    counting = CountingKey()
    counting.sign_with_tls_key = lambda m: (
        setattr(counting, "count", counting.count + 1),
        tpm.sign_with_tls_key(m),
    )[1]
    tpm.tls_key()

    async def call() -> None:
        from framegate_proto.edge import answered
        from framegate_proto.v1 import framegate_pb2 as pb
        from framegate_proto.v1 import framegate_pb2_grpc as rpc

        certificate = issue_operator(keys, "x", tpm.tls_key().key())
        port = listener.getsockname()[1]
        now = lambda: datetime.now(UTC).timestamp()  # noqa: E731
        async with with_tpm_key(
            f"127.0.0.1:{port}",
            "controller.plant.framegate",
            [keys.issuing["server-ca"].certificate],
            counting,
            [certificate],
            now,
        ) as channel:
            with pytest.raises(Unavailable):
                await answered(rpc.FleetStub(channel).Begin(pb.BeginRequest(), timeout=3), "x")
            # no handshake is under way when the channel closes: gRPC may wait for it forever
            listener.shutdown(socket.SHUT_RDWR)
            await asyncio.to_thread(thread.join)

    asyncio.run(call())
    listener.close()
    tpm.close()
    assert counting.count == 0


def test_doctor_on_a_sound_and_on_a_sick_machine(machine, short):
    findings = {
        f.check: f for f in examine(StateFile(short / "a"), machine.tcti, machine.boot_log_path)
    }
    assert all(
        findings[c].good
        for c in (
            "TPM device",
            "stale handles",
            "lockout",
            "endorsement key",
            "attestation key",
            "boot log",
            "clock",
        )
    )
    assert not findings["joined"].good and "framegate-agent join" in findings["joined"].fix
    (short / "log").write_bytes(machine.boot_log_path.read_bytes()[:-70])
    with tss.ESAPI(machine.tcti) as esys:
        template = tss.TPM2B_PUBLIC(
            publicArea=tss.TPMT_PUBLIC.unmarshal(
                __import__("framegate_agent.tpm", fromlist=["x"]).EK_TEMPLATES[0x01C0000A][1]
            )[0]
        )
        esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), template, tss.ESYS_TR.ENDORSEMENT
        )  # left in the TPM
    findings = {f.check: f for f in examine(StateFile(short / "a"), machine.tcti, short / "log")}
    assert not findings["stale handles"].good and "flushcontext" in findings["stale handles"].fix
    assert not findings["boot log"].good and findings["boot log"].fix
    findings = {
        f.check: f
        for f in examine(StateFile(short / "a"), "device:/dev/no-such-tpm", short / "none")
    }
    assert not findings["TPM device"].good and not findings["TPM answers"].good


def test_doctor_sees_an_ek_that_is_not_the_certificates(short, maker):
    machine = Machine(short / "m", maker, Firmware("simulated-camera"))
    machine.power_on()
    with tss.ESAPI(machine.tcti) as esys:
        esys.change_eps(tss.ESYS_TR.PLATFORM)
    findings = {
        f.check: f for f in examine(StateFile(short / "a"), machine.tcti, machine.boot_log_path)
    }
    assert (
        not findings["endorsement key"].good and "pin the new EK" in findings["endorsement key"].fix
    )
    machine.power_cut()


def test_what_a_killed_agent_left_is_flushed_and_the_key_is_the_same(machine):
    """kill -9 on a TPM without a resource manager: three lost handles would fill it."""
    code = (
        "import os, sys\nfrom framegate_agent.tpm import Tpm\nt ="
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


def test_the_vaults_secret_opens_only_on_this_tpm_in_this_boot_state(machine, short):
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


def test_an_iak_out_of_nv_certifies_the_ak(short, maker):
    """A TPM with an IAK and its certificate, and no EK certificate: the maker vouches through
    it.
    """
    from framegate.identity.device_identity import (
        iak_certify_data,
        verify_iak,
        verify_iak_certification,
    )
    from framegate_simulators.machine.tpm import Swtpm, manufacture_iak

    chip = Swtpm(short / "iak")
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
