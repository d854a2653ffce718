"""Access policies: a set of Cedar files and a schema, parsed once, evaluated many times. Default
deny; `forbid` wins; an error anywhere denies.

Source: Cedar policy language reference, 4; evaluation by cedarpy. Ours is what surrounds it: stable
ids, limits, names for what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files as resources
from types import MappingProxyType
from typing import Any, Final

import cedarpy
from cryptography import x509

from framegate.access.decision import Decision
from framegate.access.policy_statement import PolicyStatement
from framegate.access.schema import STEERING, missing_verbs, schema_actions
from framegate.access.verbs import Role
from framegate.errors import Failure, Malformed, Reason
from framegate.identity.certificates import from_ms
from framegate.pilot.policy import FILE as PILOTS
from framegate.pilot.policy import Pilots, parse_pilots
from framegate.segment.parse import parse_segments
from framegate.segment.policy import FILE as SEGMENTS
from framegate.segment.policy import Segment
from framegate.signed.dsse import parse_envelope
from framegate.wire import sha256

MAX_FILES: Final = 32
MAX_POLICY_BYTES: Final = 256 * 1024
"""All files together: some thousand policies; a gateway parses them in a few milliseconds."""
SCHEMA: Final = "schema.cedarschema"
PLAYBOOK: Final = "Playbook"
"""The type of principal that is a playbook."""
PLAYBOOK_ENTITY_NAME: Final = f"entity {PLAYBOOK}"
_CEDAR: Final = ".cedar"
_BESIDE: Final = frozenset({SCHEMA, SEGMENTS, PILOTS})
_FILE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,40}\.cedar")
_MISSING: Final = re.compile(r"does not have the attribute `([^`]+)`|have an attribute `([^`]+)`")
_OPTIONAL: Final = re.compile(r"\b(posture|trustworthiness)\s+has\s+(\w+)")
_MENDED_LAST: Final[dict[str, int]] = {Reason.FACTOR_NEEDED: 1, Reason.APPROVAL_NEEDED: 2}
"""Of several reasons the one that nothing mends is told first, and others are asked for their
approval only where that is all that is missing.
"""
_POLICY: Final = re.compile(r"`(policy\d+)`")


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks to do what to what: type and id of each, attributes, the roles a principal holds
    here, and context. JSON values, as Cedar reads them.
    """

    principal: tuple[str, str]
    action: str
    resource: tuple[str, str]
    principal_attributes: Mapping[str, Any] = field(default_factory=dict)
    resource_attributes: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)

    def marshal(self) -> str:
        """As JSON, to be kept and decided again."""
        return json.dumps(
            {
                "principal": list(self.principal),
                "action": self.action,
                "resource": list(self.resource),
                "principal_attributes": dict(self.principal_attributes),
                "resource_attributes": dict(self.resource_attributes),
                "roles": list(self.roles),
                "context": dict(self.context),
            },
            sort_keys=True,
        )

    @classmethod
    def parse(cls, text: str) -> Request:
        """Out of `marshal`'s JSON, or a test's: only principal, action and resource must be there.
        Raises Malformed.
        """
        try:
            body = json.loads(text)
            (pt, pi), (rt, ri) = body["principal"], body["resource"]
            return cls(
                (str(pt), str(pi)),
                str(body["action"]),
                (str(rt), str(ri)),
                dict(body.get("principal_attributes", {})),
                dict(body.get("resource_attributes", {})),
                tuple(map(str, body.get("roles", ()))),
                dict(body.get("context", {})),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed.of(
                Reason.POLICY_INVALID,
                "a request: principal [type, id], action, resource [type, id]",
                f"{type(error).__name__}: {error}",
            ) from error


class PolicySet:
    """A parsed set. Made by `parse_policy` only."""

    def __init__(self, version: int, texts: Mapping[str, str]) -> None:
        self.version, self.files = version, MappingProxyType(dict(texts))
        self.sha256 = policy_digest(texts)
        self.schema = cedarpy.Schema.from_str(texts[SCHEMA])
        joined = _joined(texts)
        self._set = cedarpy.PolicySet.from_str(joined)
        parsed = json.loads(cedarpy.policies_to_json_str(joined))
        static = parsed.get("staticPolicies", {})
        permits = {key: p for key, p in static.items() if p["effect"] == "permit"}
        self._permits = cedarpy.PolicySet.from_json_str(
            json.dumps({**parsed, "staticPolicies": permits})
        )
        self._notes: dict[str, dict[str, str]] = {
            key: dict(p.get("annotations") or {}) for key, p in static.items()
        }
        self.effects: Mapping[str, str] = MappingProxyType(
            {self._notes[k].get("id", k): p["effect"] for k, p in static.items()}
        )
        self._optional = sorted(set(_OPTIONAL.findall(joined)))
        roles = json.dumps(
            [{"uid": {"type": "Role", "id": r}, "attrs": {}, "parents": []} for r in Role]
        )
        self._base = cedarpy.Entities.from_json_str(
            roles, self.schema
        )  # and the schema's actions and their groups
        self.actions = frozenset(
            e["uid"]["id"] for e in json.loads(str(self._base)) if e["uid"]["type"] == "Action"
        )

    @property
    def label(self) -> str:
        """Version and digest."""
        return f"access-policy {self.version} {self.sha256.hex()[:16]}"

    @property
    def missing(self) -> tuple[str, ...]:
        """Verbs of this version that its schema lacks; each is denied, and no other."""
        return missing_verbs(self.actions)

    @cached_property
    def segments(self) -> Mapping[str, Segment]:
        """Segments that were signed with it, by zone of the fleet; none where nobody wrote any.
        Raises Malformed (SEGMENT).
        """
        text = self.files.get(SEGMENTS)
        return parse_segments(text) if text is not None else MappingProxyType({})

    @cached_property
    def pilots(self) -> Pilots:
        """Zones that are not enforced, as was signed with it. Raises Malformed (PILOT)."""
        text = self.files.get(PILOTS)
        return parse_pilots(text) if text is not None else MappingProxyType({})

    def decide(self, request: Request) -> Decision:
        """What this set says to `request`. An error in any policy denies, whatever the others say:
        a `forbid` that cannot be evaluated forbids. An action that the schema lacks is denied.
        """
        if request.action not in self.actions:
            return Decision(False, (), self._unknown(request.action))
        principal, resource = (
            {"type": t, "id": i} for t, i in (request.principal, request.resource)
        )
        roles = [{"type": "Role", "id": r} for r in request.roles]
        entities = [
            {"uid": principal, "attrs": dict(request.principal_attributes), "parents": roles},
            {"uid": resource, "attrs": dict(request.resource_attributes), "parents": []},
        ]
        asked = {
            "principal": principal,
            "action": {"type": "Action", "id": request.action},
            "resource": resource,
            "context": dict(request.context),
        }
        if principal["type"] == PLAYBOOK and PLAYBOOK_ENTITY_NAME not in self.files[SCHEMA]:
            return Decision(False, (), self._unknown(f"{request.action} by a playbook"))
        known = self._base.with_added_json_str(json.dumps(entities))
        answer = cedarpy.is_authorized(asked, self._set, known, self.schema)
        errors = list(answer.diagnostics.errors)
        deciding = tuple(
            sorted(self._notes.get(r, {}).get("id", r) for r in answer.diagnostics.reasons)
        )
        if errors:
            return Decision(False, (), self._broken(errors))
        if answer.decision == cedarpy.Decision.Allow:
            return Decision(True, deciding)
        permitted = (
            cedarpy.is_authorized(asked, self._permits, known, self.schema).decision
            == cedarpy.Decision.Allow
        )
        return Decision(
            False,
            deciding,
            self._denied(request, list(answer.diagnostics.reasons) if permitted else []),
        )

    def _unknown(self, action: str) -> Failure:
        expected = f"a request this policy can decide: a schema with {action[:60]!a}"
        actual = f"{self.label}, applied before there was such a verb"
        return Failure(Reason.POLICY_DENIED, expected, actual, "framegate policy status")

    def _broken(self, errors: list[str]) -> Failure:
        text = " ".join(errors)
        missing = sorted({a or b for a, b in _MISSING.findall(text)})
        named = sorted({self._notes.get(p, {}).get("id", p) for p in _POLICY.findall(text)})
        where = f" (asked for by {', '.join(named)})" if named else ""
        if missing:
            return Failure(
                Reason.POLICY_DENIED,
                f"the attribute {', '.join(missing)}{where}",
                "not known of it",
                "framegate policy explain",
            )
        return Failure(
            Reason.POLICY_DENIED,
            "a request this policy can decide",
            text[:300],
            "framegate policy validate",
        )

    def _denied(self, request: Request, reasons: list[str]) -> Failure:
        roles = ", ".join(request.roles) or "none"
        absent = [
            f"{group}.{name}"
            for group, name in self._optional
            if request.principal[0] == "Device"
            and name not in request.principal_attributes.get(group, {})
        ]
        unknown = f"; not known of it: {', '.join(absent)}" if absent else ""
        if not reasons:
            what = f"a permit for {request.action}" + (
                f" on {request.resource[0]} {request.resource[1]}" if request.resource[1] else ""
            )
            return Failure(
                Reason.POLICY_DENIED,
                what,
                (
                    f"none; roles held here: {roles}"
                    if request.principal[0] == "Operator"
                    else f"none{unknown}"
                ),
                "framegate auth can-i VERB",
            )
        named = [
            n
            for n in (self._notes.get(key, {}) for key in reasons)
            if n.get("reason") in set(Reason)
        ]
        if named:
            first = min(named, key=lambda n: (_MENDED_LAST.get(n["reason"], 0), n["id"]))
            return Failure(
                Reason(first["reason"]),
                f"{request.action} allowed by policy",
                f"forbidden by {first['id']}",
                first.get("hint", ""),
            )
        ids = ", ".join(self._notes.get(k, {}).get("id", k) for k in reasons)
        return Failure(
            Reason.POLICY_DENIED,
            f"{request.action} allowed by policy",
            f"forbidden by {ids}{unknown}",
            "framegate policy explain",
        )


def parse_policy(texts: Mapping[str, str], version: int = 0) -> PolicySet:
    """The set of `texts` (file name to text).

    1. a schema and at least one .cedar file, plain names, within limits;
    2. schema and policies parse;
    3. every policy has an @id, and no two the same;
    4. the policies fit the schema;
    5. the schema knows what it takes to put another policy in force (`STEERING`). Another verb
       that it lacks, because it was written before there was one, is denied, and it alone
       (`PolicySet.missing`);
    6. a segments file and a pilots file, where there is one beside them, are whole
       (`parse_segments`, `parse_pilots`).

    Raises Malformed (POLICY_INVALID, SEGMENT, PILOT), saying where.
    """
    if (
        SCHEMA not in texts
        or len(texts) < 2
        or len(texts) > MAX_FILES
        or not any(n.endswith(_CEDAR) for n in texts)
        or any(not _FILE.fullmatch(n) for n in texts if n not in _BESIDE)
    ):  # 1
        raise Malformed.of(
            Reason.POLICY_INVALID,
            f"{SCHEMA} and up to {MAX_FILES - 1} files NAME.cedar",
            ", ".join(sorted(texts))[:200] or "nothing",
            "framegate policy init --out DIR",
        )
    size = sum(len(t.encode()) for t in texts.values())
    if size > MAX_POLICY_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_POLICY_BYTES} bytes of policy", size)
    try:  # 2
        policy = PolicySet(version, texts)
    except ValueError as error:
        raise Malformed.of(
            Reason.POLICY_INVALID,
            "Cedar policies and a schema",
            str(error)[:500],
            "framegate policy validate DIR",
        ) from error
    notes = [n.get("id", "") for n in policy._notes.values()]
    if not notes or "" in notes or len(set(notes)) != len(notes):  # 3
        twice = sorted({n for n in notes if n and notes.count(n) > 1})
        raise Malformed.of(
            Reason.POLICY_INVALID,
            '@id("…") on every policy, each once',
            f"twice: {', '.join(twice)}" if twice else "one without",
            "the id is what decisions name",
        )
    _ = policy.segments, policy.pilots  # 6
    validation = cedarpy.validate_policies(_joined(texts), texts[SCHEMA])
    if not validation.validation_passed:  # 4
        raise Malformed.of(
            Reason.POLICY_INVALID,
            "policies that fit the schema",
            "; ".join(str(getattr(e, "error", e)) for e in validation.errors)[:800],
            "framegate policy validate DIR",
        )
    missing = [v for v in STEERING if v not in policy.actions]
    if missing:  # 5
        raise Malformed.of(
            Reason.POLICY_INVALID,
            "a schema with every verb that changes the policy",
            f"without {', '.join(missing)}",
            "framegate policy init --out DIR writes the schema of this version",
        )
    return policy


def verify_policy(data: bytes, root: x509.Certificate) -> PolicySet:
    """The set in a signed policy.

    1. to 4. as `Statement.verify`, at the time when it says it was applied: it stays in force after
       its key's certificate ended; 5. `parse_policy` of its files. That it is the newest, the
       caller MUST check: versions only rise. Raises Malformed or Refused.
    """
    applied = PolicyStatement.parse_payload(
        parse_envelope(data, PolicyStatement.TYPE).payload
    ).applied_at_ms
    statement, _ = PolicyStatement.verify(data, (), root, from_ms(applied))
    return parse_policy(statement.texts, statement.version)


def policy_digest(texts: Mapping[str, str]) -> bytes:
    """SHA-256 over names and texts, in order of names."""
    return sha256(b"".join(sha256(n.encode()) + sha256(texts[n].encode()) for n in sorted(texts)))


@lru_cache(maxsize=1)
def default_files() -> Mapping[str, str]:
    """The set that a fleet begins with."""
    folder = resources("framegate.access") / "default"
    texts = {
        n: (folder / n).read_text("utf-8")
        for n in ("operators.cedar", "devices.cedar", "playbooks.cedar")
    }
    return MappingProxyType(
        {
            SCHEMA: (folder / "types.cedarschema").read_text("utf-8") + "\n" + schema_actions(),
            **texts,
        }
    )


def _joined(texts: Mapping[str, str]) -> str:
    return "\n".join(texts[n] for n in sorted(texts) if n.endswith(_CEDAR))
