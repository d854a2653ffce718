"""Certificates the controller issues. A device's certificate exists only for an affirming Attestation Result."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason, Refused
from framegate.evidence.appraise import AttestationResult
from framegate.identity.certificates import TLS_USAGE, Purpose, request_key
from framegate.identity.names import DeviceId, Kind, spiffe_id, split_device_id
from framegate.wire import GatewayPublics
from framegate_controller.ca.keys import FleetKeys, SigningKey

MAX_CERTIFICATE_LIFE: Final = timedelta(minutes=10)
BACKDATE: Final = timedelta(minutes=1)
"""Devices' clocks run a little behind; the signed challenge brings them within seconds."""
OPERATOR_LIFE: Final = timedelta(hours=8)
"""At most a shift; a session may be shorter."""
SERVER_LIFE: Final = timedelta(days=30)


def issue_device(keys: FleetKeys, device: DeviceId, result: AttestationResult, life: timedelta, now: datetime) -> x509.Certificate:
    """A device's TLS certificate for the key its TPM certified. Raises Refused where `result` does not affirm."""
    if not result.affirming:
        raise Refused.of(Reason.NOT_TRUSTED, "an affirming result", f"{len(result.failures)} failures")
    key = serialization.load_der_public_key(result.tls_spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused.of(Reason.TLS_TEMPLATE, "a P-256 TLS key", type(key).__name__)
    return _leaf(keys.issuing["device-ca"], Purpose.DEVICE, device, key, min(life, MAX_CERTIFICATE_LIFE), now, _names(keys, device))


def issue_gateway(keys: FleetKeys, host: DeviceId, publics: GatewayPublics, life: timedelta, now: datetime) -> tuple[x509.Certificate, x509.Certificate]:
    """(TLS, verdict) certificates of a gateway process that its attested host vouches for; never longer than the host's result.

    1. both requests are signed by the keys they ask for; 2. the keys are P-256 and differ; names come from the registry, never from
    the requests (N28). Raises EvidenceRejected (PUBLICS).
    """
    try:
        found = [request_key(der) for der in (publics.tls_csr, publics.verdict_csr)]
    except Malformed as error:
        raise EvidenceRejected([Failure(Reason.PUBLICS, f.expected, f.actual, "restart the gateway process") for f in error.failures]) from error
    if found[0] == found[1]:
        raise EvidenceRejected([Failure(Reason.PUBLICS, "two different keys", "one key twice", "restart the gateway process")])
    life = min(life, MAX_CERTIFICATE_LIFE)
    tls = _leaf(keys.issuing["gateway-ca"], Purpose.GATEWAY, host, found[0], life, now, _names(keys, host))
    return tls, _leaf(keys.issuing["gateway-ca"], Purpose.VERDICT, host, found[1], life, now, [])


def issue_broker_client(keys: FleetKeys, device: DeviceId, csr: bytes, life: timedelta, now: datetime) -> x509.Certificate:
    """A device's certificate for the broker alone: MQTT libraries cannot use a TPM key, so its frames prove themselves and this only names a topic."""
    return _leaf(keys.issuing["broker-ca"], Purpose.BROKER, device, request_key(csr), min(life, MAX_CERTIFICATE_LIFE), now, [])


def issue_line(keys: FleetKeys, name: str, key: ec.EllipticCurvePublicKey, now: datetime | None = None) -> x509.Certificate:
    """The certificate of a line adapter or PLC bridge: it signs decisions as `line.<name>` and stands on the broker under that name."""
    return _leaf(keys.issuing["broker-ca"], Purpose.LINE, f"line.{name}", key, SERVER_LIFE, now or datetime.now(UTC), [])


def issue_server(keys: FleetKeys, name: str, key: ec.EllipticCurvePublicKey, now: datetime | None = None) -> x509.Certificate:
    """A server certificate with DNS name `<name>.<fleet>.framegate` (the controller's ports, the broker)."""
    host = f"{name}.{keys.fleet}.framegate"
    names: list[x509.GeneralName] = [x509.DNSName(host), x509.DNSName("localhost")]
    return _leaf(keys.issuing["server-ca"], Purpose.SERVER, host, key, SERVER_LIFE, now or datetime.now(UTC), names)


def issue_operator(keys: FleetKeys, operator: str, key: ec.EllipticCurvePublicKey, life: timedelta = OPERATOR_LIFE, now: datetime | None = None) -> x509.Certificate:
    """An operator's certificate; it opens calls only while the session stands that it was made for."""
    uri = x509.UniformResourceIdentifier(f"spiffe://{keys.fleet}.framegate/operator/{operator}")
    return _leaf(keys.issuing["operator-ca"], Purpose.OPERATOR, f"operator.{operator}", key, min(life, OPERATOR_LIFE), now or datetime.now(UTC), [uri])


def issue_profile_signer(keys: FleetKeys, name: str, key: ec.EllipticCurvePublicKey, life: timedelta, now: datetime | None = None) -> x509.Certificate:
    """The certificate of somebody whose signature on a firmware profile counts, straight under the root; it opens no connection."""
    return _leaf(keys.root, Purpose.PROFILE, f"profile.{name}", key, life, now or datetime.now(UTC), [])


def _names(keys: FleetKeys, device: DeviceId) -> list[x509.GeneralName]:
    kind, zone, name = split_device_id(device)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(spiffe_id(device, keys.fleet))]
    return [x509.DNSName(f"{name}.{zone}.gateway.framegate"), *names] if kind == Kind.GATEWAY else names


def _leaf(
    issuer: SigningKey, purpose: Purpose, common_name: str, key: ec.EllipticCurvePublicKey, life: timedelta, now: datetime, names: list[x509.GeneralName]
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
    builder = builder.issuer_name(issuer.certificate.subject).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATE).not_valid_after(now + life).add_extension(x509.BasicConstraints(False, None), critical=True)
    usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "key_encipherment", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose.value, *TLS_USAGE.get(purpose, ())]), critical=False)
    identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())
