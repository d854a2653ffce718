"""Claims as OSCAL 1.2.1: what supports which control (component definition), and what the checks
came to (assessment results).

Sources: NIST OSCAL 1.2.1, component-definition and assessment-results models. The same standing
gives the same bytes: ids are UUIDs of version 5 over what they name. A finding's target is an
objective of this project, "these checks hold", never the control itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_DNS, UUID, uuid5

from framegate.assessment.check import Checked, Status
from framegate.assessment.framework import Claimed, Framework, frameworks
from framegate.assessment.standing import Standing

VERSION: Final = "1.2.1"
NAMESPACE: Final[UUID] = uuid5(NAMESPACE_DNS, "framegate")
_PROPERTY: Final = "urn:framegate:oscal"
RECORD: Final = "record.jsonl"
NO_PLAN: Final = (
    "There is no assessment plan: what is shown is measured all the time, out of the fleet's own "
    "record, by checks that results.json names."
)


def component_definition(standing: Standing) -> dict[str, Any]:
    """What the fleet's checks support, framework by framework."""
    return {
        "component-definition": {
            "uuid": _id(standing, "component-definition"),
            "metadata": _metadata(standing, "What supports which control"),
            "components": [
                {
                    "uuid": _id(standing, "component"),
                    "type": "software",
                    "title": f"Framegate fleet {standing.fleet}",
                    "description": "Cameras, gateways, controller and line adapters of one fleet.",
                    "control-implementations": [
                        _implementation(standing, frameworks()[name]) for name in standing.claims
                    ],
                }
            ],
            "back-matter": {
                "resources": [_source(standing, frameworks()[name]) for name in standing.claims]
            },
        }
    }


def assessment_results(standing: Standing, record_sha256: str) -> dict[str, Any]:
    """What the checks came to; `record_sha256` is of the record's export beside it."""
    return {
        "assessment-results": {
            "uuid": _id(standing, "assessment-results", _time(standing.at_ms)),
            "metadata": _metadata(standing, "What the checks came to"),
            "import-ap": {"href": f"#{_id(standing, 'no-plan')}"},
            "results": [
                _result(standing, frameworks()[name], claims)
                for name, claims in standing.claims.items()
            ],
            "back-matter": {
                "resources": [
                    {
                        "uuid": _id(standing, "no-plan"),
                        "title": "No plan",
                        "description": NO_PLAN,
                    },
                    {
                        "uuid": _id(standing, "record"),
                        "title": "The fleet's record, with signed heads",
                        "rlinks": [
                            {
                                "href": RECORD,
                                "media-type": "application/jsonl",
                                "hashes": [{"algorithm": "SHA-256", "value": record_sha256}],
                            }
                        ],
                    },
                ]
            },
        }
    }


def _id(standing: Standing, *parts: str) -> str:
    return str(uuid5(NAMESPACE, "/".join((standing.fleet, *parts))))


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _metadata(standing: Standing, title: str) -> dict[str, Any]:
    versions = ", ".join(f"{n} {frameworks()[n].mapping}" for n in standing.claims)
    return {
        "title": f"{title}: fleet {standing.fleet}",
        "last-modified": _time(standing.at_ms),
        "version": f"mappings {versions}",
        "oscal-version": VERSION,
        "remarks": "A claim supports a control. Whether the control is met is for others to judge.",
    }


def _implementation(standing: Standing, framework: Framework) -> dict[str, Any]:
    return {
        "uuid": _id(standing, "implementation", framework.name),
        "source": f"#{_id(standing, 'source', framework.name)}",
        "description": f"{framework.title}: {framework.scope}.",
        "props": [
            _prop("mapping-version", framework.mapping),
            _prop("reviewed", framework.reviewed),
            _prop("reviewer", framework.reviewer),
        ],
        "implemented-requirements": [
            {
                "uuid": _id(standing, "requirement", claim.about),
                "control-id": claim.name,
                "description": f"Supports {claim.control}, {claim.title}: {claim.supports}",
                "props": [_prop("check", name) for name in claim.checks],
                "remarks": f"The customer must still: {claim.customer}",
            }
            for claim in framework.claims
        ],
    }


def _source(standing: Standing, framework: Framework) -> dict[str, Any]:
    return {
        "uuid": _id(standing, "source", framework.name),
        "title": framework.title,
        "citation": {"text": f"{framework.source} ({framework.version})"},
    }


def _result(standing: Standing, framework: Framework, claims: Sequence[Claimed]) -> dict[str, Any]:
    used = {name: c for name, c in standing.checked.items() if _used(name, claims)}
    return {
        "uuid": _id(standing, "result", framework.name, _time(standing.at_ms)),
        "title": framework.title,
        "description": f"{len(claims)} claims, each of which supports a control of it.",
        "start": _time(standing.at_ms),
        "end": _time(standing.at_ms),
        "reviewed-controls": {
            "control-selections": [
                {"include-controls": [{"control-id": c.claim.name} for c in claims]}
            ]
        },
        "observations": [_observation(standing, framework, c) for c in used.values()],
        "findings": [_finding(standing, c) for c in claims],
    }


def _used(name: str, claims: Sequence[Claimed]) -> bool:
    return any(name in c.claim.checks for c in claims)


def _observed(standing: Standing, framework: str, name: str) -> str:
    return _id(standing, "observation", framework, name, _time(standing.at_ms))


def _observation(standing: Standing, framework: Framework, checked: Checked) -> dict[str, Any]:
    check, fact = checked.check, checked.fact
    observation: dict[str, Any] = {
        "uuid": _observed(standing, framework.name, check.name),
        "title": check.title,
        "description": f"{fact.name} is {fact.words}, wanted {check.limit}.",
        "props": [_prop("check", check.name), _prop("status", checked.status.value)],
        "methods": ["TEST"],
        "collected": _time(standing.at_ms),
        "expires": _time(standing.expires_ms),
        "remarks": f"Next: {check.following}",
    }
    if fact.entries:
        observation["relevant-evidence"] = [
            {
                "href": f"#{_id(standing, 'record')}",
                "description": f"Entry {index} of the record; proofs.json proves it.",
                "props": [_prop("entry", str(index))],
            }
            for index in fact.entries
        ]
    return observation


_REASONS: Final[Mapping[Status, str]] = {Status.PASS: "pass", Status.FAIL: "fail"}


def _finding(standing: Standing, claimed: Claimed) -> dict[str, Any]:
    claim = claimed.claim
    state = "satisfied" if claimed.status == Status.PASS else "not-satisfied"
    by = f" Said by {claimed.said.by}: {claimed.said.because}" if claimed.said else ""
    return {
        "uuid": _id(standing, "finding", claim.about, _time(standing.at_ms)),
        "title": f"{claim.control}: {claim.title}",
        "description": f"Supports it: {claim.supports}{by}",
        "props": [_prop("status", claimed.status.value)],
        "target": {
            "type": "objective-id",
            "target-id": f"{claim.framework}.{claim.name}.checks-hold",
            "title": "The checks behind this claim hold",
            "status": {"state": state, "reason": _REASONS.get(claimed.status, "other")},
            "remarks": f"The customer must still: {claim.customer}",
        },
        "related-observations": [
            {"observation-uuid": _observed(standing, claim.framework, name)}
            for name in claim.checks
        ],
    }


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": _PROPERTY, "value": value}
