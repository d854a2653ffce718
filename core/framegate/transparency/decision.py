"""Entries of the log: which policy, profile, model or release was decided on, by its digest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import strict_json

MAX_DECISION_BYTES: Final = 1_024
"""An entry: a digest and a name that people read."""
MAX_SUBJECT: Final = 120
_FORMAT: Final = "framegate-decision-1"


class Kind(StrEnum):
    """What was decided on; the value is what stands in entries."""

    POLICY = "policy"  # an access policy is in force
    PROFILE = "profile"  # a revision of a firmware profile is kept
    MODEL = "model"  # a model is approved
    MODEL_WITHDRAWN = "model-withdrawn"  # it may be put in force no more
    PIN = "pin"  # a model is in force in a zone
    RELEASE = "release"  # a release of this software may be installed


@dataclass(frozen=True, slots=True)
class Named:
    """A decision by what it is about: `sha256` (hex) is of the signed payload (policy, pin), the
    signed TOML (profile), the bundle's files (model) or the bundle itself (release).
    """

    kind: Kind
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An entry of the log. `subject` is what it is of: a zone, a profile's or a model's name;
    `version` its number there.
    """

    kind: Kind
    subject: str
    version: int
    sha256: str
    at_ms: int

    def __post_init__(self) -> None:
        digest = len(self.sha256) == 64 and all(c in "0123456789abcdef" for c in self.sha256)
        numbers = 0 <= self.version < 2**63 and 0 <= self.at_ms < 2**63
        if not digest or not numbers or not 0 < len(self.subject) <= MAX_SUBJECT:
            wanted = "a digest, a version, a time and a subject of a decision"
            raise Malformed.of(Reason.MALFORMED, wanted, ascii(self.subject)[:60])

    @property
    def named(self) -> Named:
        """What it is about."""
        return Named(self.kind, self.sha256)

    @property
    def data(self) -> bytes:
        """The entry's bytes: the leaf of the tree."""
        body = {"format": _FORMAT, **asdict(self)}
        return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def parse_decision(data: bytes) -> Decision:
    """The decision in an entry; one encoding a value. Raises Malformed."""
    if len(data) > MAX_DECISION_BYTES:
        wanted = f"an entry of at most {MAX_DECISION_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(data))
    body = strict_json(data)
    names = {f.name for f in fields(Decision)}
    if (
        type(body) is not dict
        or set(body) != {*names, "format"}
        or body.pop("format") != _FORMAT
        or body["kind"] not in set(Kind)
        or not all(type(body[n]) is str for n in ("kind", "subject", "sha256"))
        or not all(type(body[n]) is int for n in ("version", "at_ms"))
    ):
        raise Malformed.of(Reason.MALFORMED, "a decision of this log", ascii(data[:80]))
    decision = Decision(**{**body, "kind": Kind(body["kind"])})
    if decision.data != data:
        raise Malformed.of(Reason.MALFORMED, "an entry in its one encoding", "another")
    return decision
