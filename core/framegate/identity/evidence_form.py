"""In which form somebody vouched for a machine's TPM when it joined.

The words of an endorsement begin with its form's own, so that a registry of before says it too.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class EvidenceForm(StrEnum):
    """What vouches for the TPM of a machine; the value stands in certificates and receipts."""

    EK = "tpm-ek-certificate"
    IAK = "tpm-iak-certificate"
    PINNED = "tpm-ek-pinned"
    AZURE_SNP = "azure-snp-vtpm"
    GOOGLE = "google-vtpm"
    UNKNOWN = "unknown"


_BEGINS: Final = MappingProxyType(
    {
        EvidenceForm.EK: "certificate",
        EvidenceForm.IAK: "IAK certificate",
        EvidenceForm.PINNED: "EK hash pinned by an operator",
        EvidenceForm.AZURE_SNP: "Azure HCL report and AMD SEV-SNP report:",
        EvidenceForm.GOOGLE: "Google's certificate of",
    }
)
"""None begins as another does."""


def endorsement_words(form: EvidenceForm, words: str = "") -> str:
    """An endorsement as the registry keeps it."""
    return f"{_BEGINS[form]} {words}".rstrip()


def form_of(endorsement: str) -> EvidenceForm:
    """The form that the words of an endorsement begin with; UNKNOWN for any others."""
    for form, begins in _BEGINS.items():
        if endorsement == begins or endorsement.startswith(f"{begins} "):
            return form
    return EvidenceForm.UNKNOWN
