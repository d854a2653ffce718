"""Certificates the controller issues.

A device's certificate exists only for an affirming Attestation Result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from framegate.evidence.appraise import AttestationResult
from framegate.federation.bundle import DOMAIN_SUFFIX, endpoint_id
from framegate.federation.visit import VISIT_LIFE, person_uri
from framegate.identity.certificates import Purpose, request_key
from framegate.identity.enforcer import enforcer_id
from framegate.identity.evidence_form import EvidenceForm
from framegate.identity.gateway_process import process_keys
from framegate.identity.names import DeviceId, Kind, spiffe_id, split_device_id
from framegate.wire import GatewayPublics
from framegate_controller.ca.check import affirmed_key, check_leaf
from framegate_controller.ca.keys import FleetKeys, SigningKey
from framegate_controller.ca.template import (
    LIVES,
    Template,
    issuing_template,
    leaf_of,
    leaf_template,
    root_template,
    signing_template,
)

Key = ec.EllipticCurvePublicKey


def certify(issuer: SigningKey, said: Template) -> x509.Certificate:
    """`said`, signed by `issuer`.

    Nothing is asked here: whoever calls this MUST have established all it says.
    """
    return said.builder(issuer.certificate).sign(issuer.key, hashes.SHA256())


def issue_root(fleet: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> SigningKey:
    """A new fleet's root, signed by itself."""
    said = root_template(fleet, key.public_key(), now)
    return SigningKey(key, said.builder(None).sign(key, hashes.SHA256()))


def issue_ca(root: SigningKey, fleet: str, label: str, key: Key, now: datetime) -> x509.Certificate:
    """A certificate by the root for a generation of the issuing CA `label`."""
    return certify(root, issuing_template(fleet, label, key, now))


def issue_signing(
    root: SigningKey, fleet: str, label: str, key: Key, now: datetime, since: datetime | None = None
) -> x509.Certificate:
    """A certificate by the root for the signing key `label`, which has one `since` then already."""
    said = signing_template(fleet, label, key, now)
    begins = said.begins if since is None else min(since, said.begins)
    return certify(root, replace(said, begins=begins))


def issue_device(
    keys: FleetKeys, device: DeviceId, result: AttestationResult, life: timedelta, now: datetime
) -> x509.Certificate:
    """A device's TLS certificate for the key its TPM certified.

    Raises Refused where `result` does not affirm.
    """
    key = affirmed_key(result)
    said = _leaf(Purpose.DEVICE, device, key, life, now, _names(keys, device))
    return _issued(keys, "device-ca", Purpose.DEVICE, said)


def issue_gateway(
    keys: FleetKeys, host: DeviceId, publics: GatewayPublics, life: timedelta, now: datetime
) -> tuple[x509.Certificate, x509.Certificate]:
    """(TLS, verdict) certificates of a gateway process that its attested host vouches for.

    `life` MUST end with the host's result. Names come from the registry, never from the requests
    (N28). Raises EvidenceRejected (PUBLICS).
    """
    tls_key, verdict_key = process_keys(publics)
    tls = _leaf(Purpose.GATEWAY, host, tls_key, life, now, _names(keys, host))
    verdict = _leaf(Purpose.VERDICT, host, verdict_key, life, now)
    return (
        _issued(keys, "gateway-ca", Purpose.GATEWAY, tls),
        _issued(keys, "gateway-ca", Purpose.VERDICT, verdict),
    )


def issue_backend(
    keys: FleetKeys,
    host: DeviceId,
    publics: GatewayPublics,
    form: EvidenceForm,
    life: timedelta,
    now: datetime,
) -> tuple[x509.Certificate, x509.Certificate]:
    """(TLS, result) certificates of a model server that its attested host vouches for.

    Both name the form in which somebody vouched for the host's TPM, as organizational unit: whoever
    reads a result knows it without asking. `life` MUST end with the host's result. Raises
    EvidenceRejected (PUBLICS).
    """
    tls_key, result_key = process_keys(publics)
    attributes = ((NameOID.ORGANIZATIONAL_UNIT_NAME, form), (NameOID.COMMON_NAME, host))
    subject = x509.Name([x509.NameAttribute(oid, str(value)) for oid, value in attributes])
    made = []
    for purpose, key in ((Purpose.BACKEND, tls_key), (Purpose.INFERENCE, result_key)):
        ends = min(life, LIVES[purpose])
        said = leaf_of(purpose, subject, key, ends, now, _names(keys, host))
        made.append(_issued(keys, "gateway-ca", purpose, said))
    return made[0], made[1]


def issue_broker_client(
    keys: FleetKeys, device: DeviceId, csr: bytes, life: timedelta, now: datetime
) -> x509.Certificate:
    """A device's certificate for the broker alone.

    MQTT libraries cannot use a TPM key, so its frames prove themselves and this only names a topic.
    Raises Malformed (CSR_KEY).
    """
    said = _leaf(Purpose.BROKER, device, request_key(csr), life, now)
    return _issued(keys, "broker-ca", Purpose.BROKER, said)


def issue_line(
    keys: FleetKeys, name: str, key: Key, now: datetime | None = None
) -> x509.Certificate:
    """The certificate of a line adapter or PLC bridge.

    It signs decisions as `line.<name>` and stands on the broker under that name.
    """
    said = _leaf(Purpose.LINE, f"line.{name}", key, LIVES[Purpose.LINE], now or datetime.now(UTC))
    return _issued(keys, "broker-ca", Purpose.LINE, said)


def issue_enforcer(
    keys: FleetKeys, zone: str, name: str, key: Key, now: datetime | None = None
) -> x509.Certificate:
    """The certificate of an enforcer of a zone's segments.

    It reads that zone's trust and signs what the enforcer reports, as `enforcer.<zone>.<name>`.
    """
    life, common_name = LIVES[Purpose.ENFORCER], enforcer_id(zone, name)
    said = _leaf(Purpose.ENFORCER, common_name, key, life, now or datetime.now(UTC))
    return _issued(keys, "gateway-ca", Purpose.ENFORCER, said)


def issue_server(
    keys: FleetKeys, name: str, key: Key, now: datetime | None = None
) -> x509.Certificate:
    """A server certificate, of the controller's ports or the broker.

    Its DNS name is `<name>.<fleet>.framegate`.
    """
    host = f"{name}.{keys.fleet}.framegate"
    names = (x509.DNSName(host), x509.DNSName("localhost"))
    said = _leaf(Purpose.SERVER, host, key, LIVES[Purpose.SERVER], now or datetime.now(UTC), names)
    return _issued(keys, "server-ca", Purpose.SERVER, said)


def issue_bundle_endpoint(
    keys: FleetKeys, key: Key, now: datetime | None = None
) -> x509.Certificate:
    """The certificate of the endpoint at which other sites fetch this fleet's bundle.

    Its only URI is that endpoint's SPIFFE ID, which no other server of the fleet has.
    """
    host, names = (
        f"bundle.{keys.fleet}.framegate",
        (x509.UniformResourceIdentifier(endpoint_id(keys.fleet)),),
    )
    said = _leaf(Purpose.SERVER, host, key, LIVES[Purpose.SERVER], now or datetime.now(UTC), names)
    return _issued(keys, "server-ca", Purpose.SERVER, said)


def issue_operator(
    keys: FleetKeys,
    operator: str,
    key: Key,
    life: timedelta = LIVES[Purpose.OPERATOR],
    now: datetime | None = None,
) -> x509.Certificate:
    """An operator's certificate; it opens calls only while its session stands."""
    names = (
        x509.UniformResourceIdentifier(f"spiffe://{keys.fleet}.framegate/operator/{operator}"),
    )
    said = _leaf(
        Purpose.OPERATOR, f"operator.{operator}", key, life, now or datetime.now(UTC), names
    )
    return _issued(keys, "operator-ca", Purpose.OPERATOR, said)


def issue_visitor(
    keys: FleetKeys, operator: str, key: Key, fleet: str, now: datetime
) -> x509.Certificate:
    """What lets an operator of this fleet sign in at the fleet `fleet`, for minutes.

    Nothing of this fleet opens by it: its key has no session here.
    """
    names = (
        x509.DNSName(f"{fleet}{DOMAIN_SUFFIX}"),
        x509.UniformResourceIdentifier(person_uri(keys.fleet, operator)),
    )
    said = _leaf(Purpose.OPERATOR, f"operator.{operator}", key, VISIT_LIFE, now, names)
    return _issued(keys, "operator-ca", Purpose.OPERATOR, said)


def issue_profile_signer(
    keys: FleetKeys, name: str, key: Key, life: timedelta, now: datetime | None = None
) -> x509.Certificate:
    """The certificate of somebody whose signature on a firmware profile counts.

    It opens no connection, stands straight under the root, and lives as long as whoever holds the
    root says.
    """
    begins = now or datetime.now(UTC)
    return certify(keys.root, leaf_template(Purpose.PROFILE, f"profile.{name}", key, life, begins))


def _leaf(
    purpose: Purpose,
    common_name: str,
    key: Key,
    life: timedelta,
    now: datetime,
    names: Sequence[x509.GeneralName] = (),
) -> Template:
    return leaf_template(purpose, common_name, key, min(life, LIVES[purpose]), now, names)


def _issued(keys: FleetKeys, label: str, purpose: Purpose, said: Template) -> x509.Certificate:
    check_leaf(label, purpose, said)
    return certify(keys.issuing[label], said)


def _names(keys: FleetKeys, device: DeviceId) -> tuple[x509.GeneralName, ...]:
    kind, zone, name = split_device_id(device)
    uri = x509.UniformResourceIdentifier(spiffe_id(device, keys.fleet))
    serves = kind in {Kind.GATEWAY, Kind.BACKEND}
    return (x509.DNSName(f"{name}.{zone}.{kind}.framegate"), uri) if serves else (uri,)
