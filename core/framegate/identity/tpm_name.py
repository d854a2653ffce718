"""Which TPM a certificate is for, in the words of its maker.

Source: TCG EK Credential Profile 2.5, 3.1.2 (SubjectAlternativeName): maker, model and version
stand in a directory name, in one RelativeDistinguishedName or in three; where the subject is empty,
as it is in most, it is the only name there is. Nothing is decided by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from framegate.identity.certificates import UNREADABLE

MAKER: Final = x509.ObjectIdentifier("2.23.133.2.1")
MODEL: Final = x509.ObjectIdentifier("2.23.133.2.2")
VERSION: Final = x509.ObjectIdentifier("2.23.133.2.3")


@dataclass(frozen=True, slots=True)
class TpmName:
    """A TPM's maker, model and firmware version as its certificate has them; what it leaves out is
    empty.
    """

    maker: str
    model: str
    version: str

    def __str__(self) -> str:
        maker = f"{self.maker} ({letters})" if (letters := vendor_letters(self.maker)) else ""
        named = (
            ("maker", maker or self.maker),
            ("model", self.model),
            ("version", self.version),
        )
        return ", ".join(f"{what} {value}" for what, value in named if value)


def tpm_name(certificate: x509.Certificate) -> TpmName | None:
    """The name of the TPM in `certificate`, from its alternative names or, in older ones, its
    subject; None where it names none.
    """
    try:
        names = [n for n in _alternatives(certificate) if _has(n)]
        named = next(iter([*names, *([s] if _has(s := certificate.subject) else [])]), None)
    except UNREADABLE:
        return None
    if named is None:
        return None
    return TpmName(_value(named, MAKER), _value(named, MODEL), _value(named, VERSION))


def vendor_letters(maker: str) -> str:
    """`id:494E5443` as the letters it stands for, INTC (TCG Vendor ID Registry); empty where it is
    nothing of the kind.
    """
    try:
        letters = bytes.fromhex(maker.removeprefix("id:")).rstrip(b"\0 ").decode("ascii")
    except ValueError:
        return ""
    return letters if maker.startswith("id:") and letters.isalnum() else ""


def _alternatives(certificate: x509.Certificate) -> list[x509.Name]:
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(alternatives.value.get_values_for_type(x509.DirectoryName))


def _has(name: x509.Name) -> bool:
    return any(name.get_attributes_for_oid(oid) for oid in (MAKER, MODEL, VERSION))


def _value(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return ", ".join(str(a.value) for a in name.get_attributes_for_oid(oid))
