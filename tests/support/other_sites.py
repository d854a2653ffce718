"""A second fleet, and what a first one knows of it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.federation.bundle import TrustBundle, bundle_of, parse_bundle
from framegate.federation.receipts import KnownSite, SiteStanding
from framegate.registry.site import Site
from framegate_controller.ca import open as ca_open
from framegate_controller.ca.issue import issue_bundle_endpoint
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.open import found_fleet


@pytest.fixture(scope="session")
def north(tmp_path_factory: pytest.TempPathFactory, hour_ago: type) -> FleetKeys:
    """The keys of another site's fleet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ca_open, "datetime", hour_ago)
        return found_fleet(tmp_path_factory.mktemp("north") / "keys", "north")


def bundle(keys: FleetKeys) -> bytes:
    """What the fleet shows."""
    return bundle_of([keys.root.certificate])


def pinned(keys: FleetKeys) -> TrustBundle:
    """The same, read."""
    return parse_bundle(bundle(keys))


def edited(fleet_keys: FleetKeys, /, **members: object) -> bytes:
    """A fleet's bundle with other members."""
    return json.dumps(json.loads(bundle(fleet_keys)) | members).encode()


def known(keys: FleetKeys, name: str = "north", standing: SiteStanding = SiteStanding.TRUSTED):
    """As whoever verifies what it signed has to know it."""
    return KnownSite(name=name, bundle=pinned(keys), standing=standing)


def site(keys: FleetKeys, **members: object) -> Site:
    """A row of it."""
    shown = pinned(keys)
    base = {
        "name": "north",
        "endpoint": "127.0.0.1:1",
        "bundle": bundle(keys),
        "sequence": shown.sequence,
        "refresh_s": shown.refresh_s,
        "standing": SiteStanding.TRUSTED,
        "added_ms": 1,
        "by": "operator.anna",
    }
    return Site(**{**base, **members})


def endpoint_chain(keys: FleetKeys) -> list[bytes]:
    """What the endpoint of a fleet's bundle shows: DER, leaf first."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issue_bundle_endpoint(keys, key.public_key())
    return [leaf.public_bytes(Encoding.DER), keys.issuing["server-ca"].der]


def forged_root(
    fleet: str = "north", *, ca=True, key=None, signer=None, organizations=None
) -> x509.Certificate:
    """A root that anybody can make in a fleet's name, or with something wrong about it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [fleet] if organizations is None else organizations
    subject = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, n) for n in names])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now, now + timedelta(days=1)
    ).add_extension(x509.BasicConstraints(ca, 1 if ca else None), critical=True)
    return builder.sign(signer or key, hashes.SHA256())
