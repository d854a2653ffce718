"""Google's certificate of a virtual machine's attestation key, and the instance that it names.

Source: Google Cloud, "Shielded VM: vTPM"; the ASN.1 of extension 1.3.6.1.4.1.11129.2.1.21 as
go-tpm-tools publishes it (GCEInstanceInfo). Such a certificate is of a restricted key that signs,
and still has the usage of an endorsement key's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason
from framegate.identity.ber import SEQUENCE, Element, elements
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import (
    EK_USAGE,
    load_chain,
    load_maker_certificate,
    verify_maker_chain,
)
from framegate.tpm.public import Public

INSTANCE_INFO: Final = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.1.21")
MAX_TEXT: Final = 128
"""Letters of a zone, project or instance; Google allows 63."""
_UTF8, _INTEGER, _BOOLEAN = 0x0C, 0x02, 0x01
_SECURITY, _PRODUCTION = 0xA0, 0xA1
_TRUE: Final = b"\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleInstance:
    """The virtual machine that a certificate is of; made by `verify_google_key`."""

    zone: str
    project: str
    instance: int
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.zone}/{self.name} ({self.instance})"


def is_google_certificate(raw: bytes) -> bool:
    """Whether it is a certificate that names one of Google's instances; nothing is verified."""
    try:
        certificate = load_maker_certificate(raw).certificate
        certificate.extensions.get_extension_for_oid(INSTANCE_INFO)
    except (FramegateError, x509.ExtensionNotFound, *UNREADABLE):
        return False
    return True


def verify_google_key(
    key: Public, chain: Sequence[bytes], roots: Sequence[x509.Certificate], now: datetime
) -> GoogleInstance:
    """Establish that Google vouches for `key` as an attestation key of one of its virtual machines;
    `chain[0]` is its certificate, the rest are intermediates (DER).

    1. a chain of valid signatures, alive at `now`, from a certificate that is no CA, for signing,
       with EKU 2.23.133.8.1, to one of `roots`;
    2. the certificate's key *is* `key`;
    3. it names one instance, in the one encoding of the extension: zone, project, its number and
       its name;
    4. Google calls the machine production: of others its engineers read the memory.

    That `key` is a restricted signing key of the TPM that answers, the caller MUST establish.
    Raises Malformed or EvidenceRejected (CLOUD_EVIDENCE, EK_CHAIN, EK_CERTIFICATE_KEY).
    """
    leaf = verify_maker_chain(load_chain(chain), roots, now, EK_USAGE, signing=True)  # 1
    try:
        same = leaf.public_key() == key.key()  # 2
    except UNREADABLE:
        same = False
    if not same:
        raise EvidenceRejected(
            [Failure(Reason.EK_CERTIFICATE_KEY, "the certificate's own key", "another key")]
        )
    try:
        extension = leaf.extensions.get_extension_for_oid(INSTANCE_INFO).value
    except x509.ExtensionNotFound as error:
        raise _malformed("a certificate that names an instance", "none") from error
    if not isinstance(extension, x509.UnrecognizedExtension):
        raise _malformed("an extension with an instance", type(extension).__name__)
    return _instance(extension.value)  # 3, 4


def _instance(raw: bytes) -> GoogleInstance:
    try:
        (body,) = elements(raw)
        if body.tag != SEQUENCE or body.der != raw:
            raise ValueError("no sequence in DER")
        zone, number, project, instance, name, *rest = body.children
        _integer(number)
        info = GoogleInstance(
            zone=_text(zone), project=_text(project), instance=_integer(instance), name=_text(name)
        )
        (security,) = rest
        production = _production(security)
    except ValueError as error:
        raise _malformed(
            "zone, project, number and name of an instance", str(error)[:80]
        ) from error
    if not production:
        raise EvidenceRejected(
            [Failure(Reason.CLOUD_EVIDENCE, "a machine that Google calls production", "another")]
        )
    return info


def _production(security: Element) -> bool:
    if security.tag != _SECURITY or len(security.children) != 1:
        raise ValueError("no security properties")
    tagged = [c for c in security.children[0].children if c.tag == _PRODUCTION]
    if len(tagged) != 1 or len(tagged[0].children) != 1:
        raise ValueError("not one word on production")
    said = tagged[0].children[0]
    return said.tag == _BOOLEAN and said.content == _TRUE


def _text(element: Element) -> str:
    if element.tag != _UTF8 or not 0 < len(element.content) <= MAX_TEXT:
        raise ValueError(f"text of 1 to {MAX_TEXT} bytes")
    text = element.content.decode()
    if not text.isprintable():
        raise ValueError("text that cannot be printed")
    return text


def _integer(element: Element) -> int:
    if element.tag != _INTEGER or not element.content:
        raise ValueError("a number")
    return int.from_bytes(element.content, "big", signed=True)


def _malformed(expected: str, actual: str) -> Malformed:
    return Malformed.of(Reason.CLOUD_EVIDENCE, expected, actual)
