"""What a TPM says of itself: its maker, its firmware, its lockout."""

from __future__ import annotations

from dataclasses import dataclass

from tpm2_pytss.constants import TPM2_PT

from framegate_agent.tpm.esapi import Esapi

_PT_FIRMWARE_VERSION_1, _PT_FIRMWARE_VERSION_2 = 0x10B, 0x10C  # absent from TPM2_PT


@dataclass(frozen=True, slots=True)
class TpmFacts:
    """Fixed and variable properties of the TPM (TPM 2.0 Part 2, 6.13)."""

    manufacturer: int
    firmware_version: int
    lockout_counter: int
    max_auth_fail: int
    in_lockout: bool

    @property
    def maker(self) -> str:
        """The four letters of the maker's id."""
        return self.manufacturer.to_bytes(4, "big").decode("ascii", "replace").strip("\0 ")


def read_facts(esapi: Esapi) -> TpmFacts:
    """The TPM's properties. On the owner thread."""
    high = esapi.tpm_property(_PT_FIRMWARE_VERSION_1)
    low = esapi.tpm_property(_PT_FIRMWARE_VERSION_2)
    permanent = esapi.tpm_property(TPM2_PT.PERMANENT)
    return TpmFacts(
        esapi.tpm_property(TPM2_PT.MANUFACTURER),
        high << 32 | low,
        esapi.tpm_property(TPM2_PT.LOCKOUT_COUNTER),
        esapi.tpm_property(TPM2_PT.MAX_AUTH_FAIL),
        bool(permanent & 1 << 9),
    )
