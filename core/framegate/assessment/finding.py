"""Claims as OCSF 1.8.0 Compliance Findings (class 2003), one each."""

from __future__ import annotations

from typing import Any, Final

from framegate.assessment.check import Status
from framegate.assessment.framework import Claimed, frameworks
from framegate.assessment.standing import Standing

OCSF_VERSION: Final = "1.8.0"
_CLASS, _CATEGORY, _CREATE = 2003, 2, 1
_STATUS: Final = {
    Status.PASS: (1, "Pass"),
    Status.FAIL: (3, "Fail"),
    Status.NOT_APPLICABLE: (99, "Not Applicable"),
    Status.NOT_MEASURED: (0, "Unknown"),
}
_SEVERITY: Final = {Status.FAIL: (3, "Medium"), Status.NOT_MEASURED: (2, "Low")}


def compliance_findings(standing: Standing) -> list[dict[str, Any]]:
    """Every claim of `standing`, as JSON values."""
    return [_finding(standing, c) for claims in standing.claims.values() for c in claims]


def _finding(standing: Standing, claimed: Claimed) -> dict[str, Any]:
    claim, framework = claimed.claim, frameworks()[claimed.claim.framework]
    status, caption = _STATUS[claimed.status]
    severity, severity_name = _SEVERITY.get(claimed.status, (1, "Informational"))
    return {
        "activity_id": _CREATE,
        "activity_name": "Create",
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Compliance Finding",
        "type_uid": _CLASS * 100 + _CREATE,
        "type_name": "Compliance Finding: Create",
        "time": standing.at_ms,
        "severity_id": severity,
        "severity": severity_name,
        "message": f"{claim.control}: {claimed.status}",
        "compliance": {
            "control": claim.control,
            "desc": f"Supports it: {claim.supports}",
            "standards": [f"{framework.title}, {framework.version}"],
            "requirements": [f"The customer must still: {claim.customer}"],
            "status_id": status,
            "status": caption,
            "checks": [
                {
                    "uid": c.check.name,
                    "name": c.check.title,
                    "status_id": _STATUS[c.status][0],
                    "status": _STATUS[c.status][1],
                    "desc": f"{c.fact.name} is {c.fact.words}, wanted {c.check.limit}",
                }
                for c in claimed.checked
            ],
        },
        "finding_info": {
            "uid": f"{standing.fleet}:claim:{claim.about}",
            "title": f"{claim.title}: {claimed.status}",
            "created_time": standing.at_ms,
        },
        "evidences": [
            {"uid": str(index), "name": f"entry {index} of the record", "data": {"entry": index}}
            for c in claimed.checked
            for index in c.fact.entries[:1]
        ],
        "metadata": {
            "version": OCSF_VERSION,
            "uid": f"{standing.fleet}:claim:{claim.about}:{standing.at_ms}",
            "product": {"name": "Framegate", "vendor_name": "Framegate"},
        },
    }
