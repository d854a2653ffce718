"""What came of checking evidence that lies in files: failures, findings, what was checked and what
was not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from framegate.errors import Failure, Reason
from framegate.evidence.appraise import AFFIRMING, CONTRAINDICATED, NO_CLAIM, WARNING


@dataclass
class OfflineResult:
    """What came of it. `affirming` needs no failure; `checked` and `unchecked` say what stood
    behind that.
    """

    failures: list[Failure] = field(default_factory=list)
    findings: list[Failure] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

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
