"""N20 to N31, N111: endorsement, tickets and names at enrolment."""

import os
import threading
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import EvidenceRejected, FramegateError, Malformed, Reason, Refused
from framegate.identity.endorsement import load_ek_certificate
from framegate.wire import MAX_CERTIFICATE_BYTES
from framegate_simulators.forge.forge import Key
from framegate_simulators.machine.tpm import TpmMaker
from support.enrolment import NOW, endorse, refused_hello


def test_n20_self_signed_ek(bench, maker):
    forge = bench.forge()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EK")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(forge.ek.private.public_key())
        .serial_number(1)
    )
    der = (
        builder.not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=9))
        .sign(forge.ek.private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    with pytest.raises(EvidenceRejected) as caught:
        endorse(forge, maker, [der])
    assert caught.value.reason == Reason.EK_CHAIN


@pytest.mark.parametrize("broken", [{"ca": True}, {"eku": False}, {"days": -3}])
def test_n20_leaf_is_a_ca_or_lacks_the_eku_or_expired(bench, maker, broken):
    forge = bench.forge()
    with pytest.raises(EvidenceRejected) as caught:
        endorse(forge, maker, [maker.issue(forge.ek.private.public_key(), **broken)])
    assert caught.value.reason == Reason.EK_CHAIN


def test_n20_certificate_of_another_ek(bench, maker):
    forge = bench.forge()
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(EvidenceRejected) as caught:
        endorse(forge, maker, [maker.issue(other.public_key())])
    assert caught.value.reason == Reason.EK_CERTIFICATE_KEY


def test_n20_unknown_maker_missing_intermediate_no_roots_no_certificate(bench, maker):
    forge = bench.forge()
    for chain, roots in (
        ([TpmMaker.found().issue(forge.ek.private.public_key())], None),
        (forge.ek_certificates, []),
        ((), None),
    ):
        with pytest.raises(EvidenceRejected) as caught:
            endorse(forge, maker, chain, roots)
        assert caught.value.reason == Reason.EK_CHAIN


def test_n20_unknown_critical_extension(bench, maker):
    forge = bench.forge()
    good = x509.load_der_x509_certificate(forge.ek_certificates[0])
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(forge.ek.private.public_key())
        .serial_number(7)
    )
    builder = builder.not_valid_before(good.not_valid_before_utc).not_valid_after(
        good.not_valid_after_utc
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.add_extension(
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0"), critical=True
    )
    with pytest.raises(EvidenceRejected):
        endorse(forge, maker, [builder.sign(maker.key, hashes.SHA256()).public_bytes(Encoding.DER)])


def test_n21_wrapper_and_padding_are_taken_off_and_said(bench, maker):
    der = bench.forge().ek_certificates[0]
    wrapped = (
        bytes.fromhex("100100") + (len(der) + 2).to_bytes(2, "big") + bytes.fromhex("1002") + der
    )
    assert load_ek_certificate(wrapped)[1] == ("wrapper",)
    assert load_ek_certificate(der + b"\xff" * 100)[1] == ("padding",)
    assert load_ek_certificate(der)[1] == ()


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x30", b"\x10\x01", b"\x10\x01\x00\x00\x01\x10\x02", b"\x30\x82\xff\xff", b"\x5a" * 64],
)
def test_n21_what_is_no_certificate(raw):
    with pytest.raises(Malformed):
        load_ek_certificate(raw)


def test_n21_other_bytes_behind_a_certificate(bench):
    with pytest.raises(Malformed) as caught:
        load_ek_certificate(bench.forge().ek_certificates[0] + b"\0\1\2")
    assert caught.value.reason == Reason.TRAILING_BYTES


def test_n21_signature_is_never_skipped(bench, maker):
    forge = bench.forge()
    der = bytearray(forge.ek_certificates[0])
    der[-1] ^= 1
    with pytest.raises(EvidenceRejected):
        endorse(forge, maker, [bytes(der) + b"\xff" * 8])


def test_n22_oversized_rsa_in_a_chain(bench, maker):
    forge = bench.forge()
    big = rsa.generate_private_key(65537, 4160)
    with pytest.raises(EvidenceRejected) as caught:
        endorse(forge, maker, [forge.ek_certificates[0], maker.issue(big.public_key())])
    assert "4160" in str(caught.value)


def test_n22_long_chains_and_large_certificates_do_not_parse(bench):
    forge = bench.forge()
    for certificates in ((b"x",) * 7, (b"x" * (MAX_CERTIFICATE_BYTES + 1),)):
        forge.ek_certificates = certificates
        with pytest.raises(Malformed):
            forge.hello()


def test_n23_nothing_is_fetched(bench, monkeypatch):
    """Enrolment of a certificate that names AIA and CRL addresses opens no connection."""
    import socket

    def never(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", never)
    monkeypatch.setattr(socket, "create_connection", never)
    forge = bench.forge()
    assert bench.join(forge, bench.invite()).state == "pending"


def test_n24_same_name_from_another_tpm(bench):
    bench.enrol()
    other = bench.forge()
    with pytest.raises(Refused) as caught:
        bench.invite(ek=other.ek_sha256, code=b"\x07" * 16)
    assert caught.value.reason == Reason.NAME_TAKEN


def test_n24_rejoin_of_another_tpm_finds_no_device(bench):
    bench.enrol()
    assert refused_hello(bench, bench.forge(), b"") == Reason.EK_UNKNOWN


def test_n24_one_tpm_cannot_be_two_devices(bench):
    forge = bench.enrol()
    code = bench.invite("cam2", ek=forge.ek_sha256, code=b"\x02" * 16)
    assert refused_hello(bench, forge, code) == Reason.KEY_OWNED


def test_n24_ak_of_another_device(bench):
    first = bench.enrol()
    second = bench.forge()
    second.ak = first.ak
    assert (
        refused_hello(bench, second, bench.invite("cam2", ek=second.ek_sha256, code=b"\x02" * 16))
        == Reason.KEY_OWNED
    )


def test_n25_a_ticket_used_twice_at_the_same_time_has_one_winner(bench):
    code = bench.invite()
    forges = [bench.forge() for _ in range(6)]
    results = []
    start = threading.Barrier(len(forges))

    def go(forge, number):
        start.wait()
        try:
            results.append(bench.join(forge, code, peer=f"peer{number}").state)
        except FramegateError as error:
            results.append(error.reason)

    threads = [threading.Thread(target=go, args=(f, n)) for n, f in enumerate(forges)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert results.count("pending") == 1, results
    assert set(results) - {"pending"} <= {Reason.TICKET_RESERVED, Reason.TICKET_USED}


def test_n25_a_used_ticket_is_refused_even_to_its_machine(bench):
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    bench.join(forge, code)
    assert refused_hello(bench, forge, code) == Reason.TICKET_USED


def test_n26_only_verified_bytes_are_parsed(bench):
    """The MAC covers the evidence's bytes: other evidence under it is refused before anything in it
    is read.
    """
    forge = bench.forge()
    hello = forge.hello(bench.invite(ek=forge.ek_sha256))
    begun = bench.verifier.begin_join(hello, "p")
    mac, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge)
    with pytest.raises(EvidenceRejected) as caught:
        bench.verifier.complete_join(begun.state, mac, evidence + b"\0")
    assert caught.value.reason == Reason.MAC


def test_n27_evidence_before_challenge_wrong_port_and_foreign_session(bench):
    forge = bench.enrol()
    with pytest.raises(Refused):
        bench.verifier.complete_join(os.urandom(16), b"\0" * 32, b"")
    hello = forge.attest_hello()
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    session = begun.state
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    with pytest.raises(Refused):  # a fleet session on the join port
        bench.verifier.complete_join(session, b"\0" * 32, evidence)
    bench.enrol("cam2")
    with pytest.raises(Refused):  # another device's session
        bench.verifier.complete_attest(session, evidence, "camera.line-1.cam2")
    assert (
        bench.verifier.complete_attest(session, evidence, "camera.line-1.cam1").state == "trusted"
    ), "a stranger's try must not spend it"


def test_n28_names_come_from_the_registry(bench):
    forge = bench.forge()
    evil = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "operator.anna")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(evil)
        .sign(forge.tls.private, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    answer = bench.join(forge.with_evidence(csr=csr), bench.invite(ek=forge.ek_sha256))
    assert answer.certificate.subject.rfc4514_string() == "CN=camera.line-1.cam1"


def test_n31_wrong_ticket_codes_are_counted_by_address(bench):
    bench.invite(code=b"\x05" * 16)
    forge = bench.forge()
    for _ in range(5):
        with pytest.raises(Refused) as caught:
            bench.verifier.begin_join(forge.hello(os.urandom(16)), "guesser")
        assert caught.value.reason == Reason.TICKET_UNKNOWN
    with pytest.raises(Refused) as caught:
        bench.verifier.begin_join(forge.hello(b"\x05" * 16), "guesser")
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    bench.verifier.begin_join(forge.hello(b"\x05" * 16), "someone-else")
    bench.clock.pass_s(61)


@pytest.mark.parametrize("code", [b"\0", b"\0" * 15])
def test_n31_short_codes(bench, code):
    bench.invite(code=code.ljust(16, b"\1"))
    assert refused_hello(bench, bench.forge(), code) == Reason.TICKET_UNKNOWN


def test_n31_tickets_are_stored_hashed(bench):
    code = bench.invite(code=b"secret-code-0123")
    ((kept,),) = bench.sql("SELECT code_sha256 FROM tickets")
    assert kept != code
    raw = bench.store.path.read_bytes()
    assert code not in raw


def test_n111_a_strangers_hello_changes_nothing(bench):
    """Somebody with the victim's public EK and certificate, and keys of their own."""
    victim = bench.enrol()
    stranger = bench.forge()
    stranger.ek = Key(ec.generate_private_key(ec.SECP256R1()), victim.ek.public)
    stranger.ek_certificates = victim.ek_certificates
    hello = stranger.hello()
    before = snapshot(bench)
    begun = bench.verifier.begin_join(hello, "p")
    assert snapshot(bench) == before
    with pytest.raises(EvidenceRejected):
        bench.verifier.complete_join(begun.state, os.urandom(32), os.urandom(500))
    assert snapshot(bench) == before
    assert bench.attest(victim).state == "trusted"


def snapshot(bench):
    return bench.device()


def test_n131_a_public_ek_shown_without_end_takes_nothing_from_the_ticket_for_it(bench):
    """From the very address of the machine that holds the ticket."""
    forge = bench.forge()
    code = bench.invite(ek=forge.ek_sha256)
    refusals = set()
    for _ in range(200):
        with pytest.raises(FramegateError) as caught:
            bench.verifier.begin_join(forge.hello(), "ipv4:10.0.0.1")
        refusals.add(caught.value.reason)
    assert refusals == {Reason.EK_UNKNOWN, Reason.TOO_MANY_TRIES}
    assert bench.join(forge, code).state == "trusted"
