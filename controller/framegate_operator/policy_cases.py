"""Tests of an access policy: who asks what, and what the policy has to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from framegate.access.policy import PolicySet, Request
from framegate.access.questions import inspect_request, verb_request
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Malformed, Reason

EXAMPLE = [
    {
        "name": "a viewer looks",
        "given": {"verb": "device.list", "roles": ["viewer"]},
        "expect": "allow",
        "by": ["viewers"],
    },
    {
        "name": "and does not touch",
        "given": {"verb": "device.invite", "roles": ["viewer"], "zone": "line-1"},
        "expect": "deny",
    },
    {
        "name": "one person does not lift a quarantine",
        "given": {"verb": "device.lift", "roles": ["security"], "zone": "line-1"},
        "expect": "deny",
        "by": ["two-persons"],
    },
    {
        "name": "two do",
        "given": {"verb": "device.lift", "roles": ["security"], "zone": "line-1", "approvals": 1},
        "expect": "allow",
    },
    {
        "name": "an old factor does not",
        "given": {
            "verb": "device.lift",
            "roles": ["security"],
            "zone": "line-1",
            "approvals": 1,
            "factor_age": 3600,
        },
        "expect": "deny",
        "by": ["fresh-factor"],
    },
    {
        "name": "a trusted camera is inspected in its zone",
        "given": {"device": {}},
        "expect": "allow",
        "by": ["cameras-of-the-zone"],
    },
    {"name": "not in another", "given": {"device": {}, "zone": "line-2"}, "expect": "deny"},
    {
        "name": "not while it is serviced",
        "given": {"device": {"maintenance": True}},
        "expect": "deny",
        "by": ["not-in-maintenance"],
    },
]
"""What `framegate policy init` writes, to be changed."""


def run_case(policy: PolicySet, case: Mapping[str, Any], where: str) -> dict[str, Any]:
    """One test: what was expected, what the policy said, and whether they agree. Raises
    Malformed.
    """
    try:
        given, expect = case["given"], case["expect"]
        if expect not in {"allow", "deny"} or not isinstance(given, dict):
            raise ValueError("expect allow or deny")
        request = _asked(given)
    except (KeyError, TypeError, ValueError) as error:
        form = (
            '{"name": …, "given": {"verb": …, "roles": […]} or {"device": {…}}, '
            '"expect": "allow" or "deny", "by": […]}'
        )
        problem = f"{where}: {type(error).__name__} {error}"[:200]
        raise Malformed.of(Reason.POLICY_INVALID, f"a test case: {form}", problem) from error
    decision = policy.decide(request)
    actual, by = "allow" if decision.allow else "deny", list(decision.policies)
    good = actual == expect and (set(case["by"]) <= set(by) if case.get("by") else True)
    return {
        "case": where,
        "name": str(case.get("name", "")),
        "expected": expect + (f" by {', '.join(case['by'])}" if case.get("by") else ""),
        "actual": actual,
        "policies": by,
        "good": good,
    }


def _asked(given: Mapping[str, Any]) -> Request:
    """The question of a test case. Raises KeyError, TypeError or ValueError where it is none."""
    if "request" in given:
        return Request.parse(json.dumps(given["request"]))
    if "device" in given:
        facts = _camera(given["device"])
        model, zone = str(given.get("model", "any")), str(given.get("zone", "line-1"))
        return inspect_request(facts, str(facts["id"]), model, zone)
    return verb_request(
        find_verb(given["verb"]),
        operator=str(given.get("operator", "anna")),
        roles=tuple(given.get("roles", ())),
        zone=str(given.get("zone", FLEET_WIDE)),
        frozen=bool(given.get("frozen", False)),
        fleet="plant",
        approvals=int(given.get("approvals", 0)),
        quorum=int(given.get("quorum", 2)),
        factor_age_s=int(given.get("factor_age", 0)),
        source=str(given.get("source", "192.0.2.1")),
        target=str(given.get("target", "")),
        break_glass=bool(given.get("break_glass", False)),
    )


def _camera(given: Mapping[str, Any]) -> dict[str, Any]:
    """A camera in good standing, but for what a test case says of it."""
    return {
        "id": "camera.line-1.cam1",
        "name": "cam1",
        "kind": "camera",
        "zone": "line-1",
        "state": "trusted",
        "maintenance": False,
        "firmwareProfile": "pcb-camera",
        "trustworthiness": {},
        "posture": {},
        **given,
    }


def read_cases(file: Path) -> list[Any]:
    """The test cases in a file, not looked at yet. Raises Malformed."""
    try:
        body = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Malformed.of(
            Reason.POLICY_INVALID, "a JSON list of test cases", f"{file}: {error}"[:200]
        ) from error
    if not isinstance(body, list):
        raise Malformed.of(
            Reason.POLICY_INVALID, "a JSON list of test cases", f"{file}: {type(body).__name__}"
        )
    return body
