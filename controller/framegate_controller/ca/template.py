"""What a certificate of this fleet says, kind by kind, before anybody signs it.

RFC 5280 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from framegate.identity.certificates import TLS_USAGE, Purpose
from framegate.identity.key_usage import key_usage
from framegate_controller.ca.keys import ISSUING, SIGNING

BACKDATE: Final = timedelta(minutes=1)
"""How long before its making a certificate counts, of whatever kind.

TLS libraries look at the machine's own clock, which runs a little behind now and then. A longer
time would let a gateway that has just been vouched for sign what claims to be from before; and for
what stands above a leaf it would be of no use, as a leaf is always made after its CA.
"""
ROOT_LIFE: Final = timedelta(days=3650)
ISSUING_LIFE: Final = timedelta(days=730)
"""An issuing CA outlives everything it signs by far and is rotated long before the root."""
_MINUTES: Final = timedelta(minutes=10)
_DEPLOYED: Final = timedelta(days=90)
"""A quarter: a person is told in its last thirty days, and has sixty without a word."""
LIVES: Final = MappingProxyType(
    {
        Purpose.DEVICE: _MINUTES,
        Purpose.GATEWAY: _MINUTES,
        Purpose.VERDICT: _MINUTES,
        Purpose.BACKEND: _MINUTES,
        Purpose.INFERENCE: _MINUTES,
        Purpose.BROKER: _MINUTES,
        Purpose.OPERATOR: timedelta(hours=8),
        Purpose.SERVER: _DEPLOYED,
        Purpose.LINE: _DEPLOYED,
        Purpose.ENFORCER: _DEPLOYED,
    }
)
"""The longest life of what the issuing CAs sign.

Machines renew with every attestation; an operator's is at most a shift, and a session may be
shorter; servers', lines' and enforcers' are carried by people.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What a certificate says.

    `path_length` is how many CAs may stand below it, None for what is no CA.
    """

    subject: x509.Name
    key: ec.EllipticCurvePublicKey
    begins: datetime
    ends: datetime
    usages: tuple[x509.ObjectIdentifier, ...] = ()
    names: tuple[x509.GeneralName, ...] = ()
    path_length: int | None = None

    def builder(self, issuer: x509.Certificate | None) -> x509.CertificateBuilder:
        """The certificate as `issuer` is to sign it; a root is its own issuer, None.

        1. basic constraints and key usage are critical (RFC 5280, 4.2.1.9, 4.2.1.3); 2. every
        certificate names its own key, and but for the root its issuer's (4.2.1.2, 4.2.1.1), neither
        critical; 3. alternative names stand beside a subject, so they are not critical (4.2.1.6).
        """
        builder = x509.CertificateBuilder(
            subject_name=self.subject,
            issuer_name=issuer.subject if issuer is not None else self.subject,
            public_key=self.key,
            serial_number=x509.random_serial_number(),
            not_valid_before=self.begins,
            not_valid_after=self.ends,
        )
        is_ca = self.path_length is not None
        constraints = x509.BasicConstraints(is_ca, self.path_length)
        builder = builder.add_extension(constraints, critical=True)  # 1
        builder = builder.add_extension(_key_usage(is_ca=is_ca), critical=True)
        subject_id = x509.SubjectKeyIdentifier.from_public_key(self.key)
        builder = builder.add_extension(subject_id, critical=False)  # 2
        if issuer is not None:
            issuer_subject_id = issuer.extensions.get_extension_for_class(
                x509.SubjectKeyIdentifier
            ).value
            issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                issuer_subject_id
            )
            builder = builder.add_extension(issuer_id, critical=False)
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.usages), critical=False)
        if self.names:  # 3
            builder = builder.add_extension(x509.SubjectAlternativeName(self.names), critical=False)
        return builder


def root_template(fleet: str, key: ec.EllipticCurvePublicKey, now: datetime) -> Template:
    """The fleet's root: above the issuing CAs, and nothing between them."""
    return _made(_fleet_name(f"{fleet} fleet root", fleet), key, now, ROOT_LIFE, path_length=1)


def issuing_template(
    fleet: str, label: str, key: ec.EllipticCurvePublicKey, now: datetime
) -> Template:
    """The issuing CA `label`, for its own purposes alone; every generation has the same name."""
    usages = {usage for p in ISSUING[label] for usage in (p.value, *TLS_USAGE.get(p, ()))}
    ordered = tuple(sorted(usages, key=lambda o: o.dotted_string))
    name = _fleet_name(f"{fleet} {label}", fleet)
    return _made(name, key, now, ISSUING_LIFE, usages=ordered, path_length=0)


def signing_template(
    fleet: str, label: str, key: ec.EllipticCurvePublicKey, now: datetime
) -> Template:
    """The signing key `label`."""
    name = _fleet_name(f"{fleet} {label} key", fleet)
    return _made(name, key, now, ISSUING_LIFE, usages=(SIGNING[label].value,))


def leaf_template(
    purpose: Purpose,
    common_name: str,
    key: ec.EllipticCurvePublicKey,
    life: timedelta,
    now: datetime,
    names: Sequence[x509.GeneralName] = (),
) -> Template:
    """A certificate for one purpose, and the TLS usages that stand beside it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    return leaf_of(purpose, subject, key, life, now, names)


def leaf_of(
    purpose: Purpose,
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    life: timedelta,
    now: datetime,
    names: Sequence[x509.GeneralName] = (),
) -> Template:
    """As `leaf_template`, of a subject that says more than a common name."""
    usages = (purpose.value, *TLS_USAGE.get(purpose, ()))
    return _made(subject, key, now, life, usages=usages, names=tuple(names))


def _made(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
    *,
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    names: tuple[x509.GeneralName, ...] = (),
    path_length: int | None = None,
) -> Template:
    return Template(
        subject=subject,
        key=key,
        begins=now - BACKDATE,
        ends=now + life,
        usages=usages,
        names=names,
        path_length=path_length,
    )


def _fleet_name(common_name: str, fleet: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, fleet)
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    of_a_ca = ("key_cert_sign", "crl_sign") if is_ca else ()
    return key_usage("digital_signature", *of_a_ca)
