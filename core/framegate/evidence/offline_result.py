"""What came of checking evidence that lies in files: failures, findings, what was checked and what
was not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from framegate.errors import Failure, Reason
from framegate.evidence.appraise import AFFIRMING, CONTRAINDICATED, NO_CLAIM, WARNING
from framegate.evidence.quote_files import AttestationKey, key_words
from framegate.tpm.attest import Attest
from framegate.tpm.constants import HASH_NAME, TPM_RH_OWNER
from framegate.tpm.public import Public


@dataclass
class OfflineResult:
    """What came of it. `affirming` needs no failure; `checked` and `unchecked` say what stood
    behind that.

    `key` is the AK once it was read, `statement` what it signed once signature and nonce hold, and
    `of_logs` what the logs told by name; `facts` puts all into words, for whoever asks.
    """

    failures: list[Failure] = field(default_factory=list)
    findings: list[Failure] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    of_logs: dict[str, Any] = field(default_factory=dict)
    key: AttestationKey | None = None
    statement: Attest | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the evidence says, by name, for a person or a program to read."""
        if self.key is None:
            return dict(self.of_logs)
        said = {"ak": key_words(self.key)}
        if self.statement is None:
            return said | self.of_logs
        return said | _stated(self.statement, self.key.public) | self.of_logs

    @property
    def affirming(self) -> bool:
        """Whether nothing that was checked failed."""
        return not self.failures

    def vector(self) -> dict[str, int]:
        """AR4SI claims as far as what was given carries them."""
        kinds = {f.reason for f in self.failures}
        bad = CONTRAINDICATED if self.failures else NO_CLAIM
        files = {r for r in kinds if r.value.startswith("ima-")}
        return {
            "instance-identity": (
                CONTRAINDICATED
                if kinds
                & {
                    Reason.SIGNATURE,
                    Reason.AK_TEMPLATE,
                    Reason.MAGIC,
                    Reason.EXTRA_DATA,
                    Reason.ATTEST_TYPE,
                }
                else AFFIRMING
            ),
            "executables": (
                bad
                if kinds - files
                else WARNING
                if any(f.reason == Reason.QUIRK for f in self.findings)
                else AFFIRMING
                if "firmware profile" in self.checked
                else NO_CLAIM
            ),
            "file-system": (
                CONTRAINDICATED
                if files
                else AFFIRMING
                if "IMA allowlists" in self.checked
                else NO_CLAIM
            ),
        }


def _stated(statement: Attest, public: Public | None) -> dict[str, Any]:
    clock = statement.clock_info
    said: dict[str, Any] = {
        "tpm_firmware": f"{statement.firmware_version:016x}",
        "clock_ms": clock.clock,
        "reset_count": clock.reset_count,
        "restart_count": clock.restart_count,
        "safe": clock.safe,
        "selection": {
            HASH_NAME.get(s.bank, s.bank.name.lower()): list(s.pcrs) for s in statement.selections
        },
    }
    if public is not None:
        hierarchies = {
            public.qualified_name(): "a primary of the endorsement hierarchy",
            public.qualified_name(TPM_RH_OWNER): "a primary of the owner hierarchy",
        }
        below = "below another key, which was not given"
        said["ak_parent"] = hierarchies.get(statement.qualified_signer, below)
    return said
