"""An access policy as the controller signs it, and the segments and pilots in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import Purpose
from framegate.pilot.policy import FILE as PILOTS
from framegate.pilot.policy import Pilots, parse_pilots
from framegate.segment.parse import parse_segments
from framegate.segment.policy import FILE, Segment
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Statement


@dataclass(frozen=True, slots=True)
class PolicyStatement(Statement):
    """An access policy as the controller signs it: `files` [{name, text}]; `version` only ever
    rises.
    """

    version: int
    files: tuple[dict[str, Any], ...]
    applied_by: str
    applied_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.access-policy+json"
    PURPOSE: ClassVar[Purpose] = Purpose.POLICY

    @property
    def texts(self) -> dict[str, str]:
        """File name to text. Raises Malformed."""
        try:
            return {str(f["name"]): str(f["text"]) for f in self.files}
        except (KeyError, TypeError) as error:
            raise Malformed.of(
                Reason.POLICY_INVALID, "files with name and text", type(error).__name__
            ) from error


def segments_of(envelope: bytes) -> Mapping[str, Segment]:
    """The segments in a signed policy, to be shown beside another's. No signature is verified: what
    is shown decides nothing. Raises Malformed.
    """
    text = _texts(envelope).get(FILE)
    return parse_segments(text) if text is not None else {}


def pilots_of(envelope: bytes) -> Pilots:
    """The pilots in a signed policy; as `segments_of`. Raises Malformed."""
    text = _texts(envelope).get(PILOTS)
    return parse_pilots(text) if text is not None else {}


def _texts(envelope: bytes) -> dict[str, str]:
    payload = parse_envelope(envelope, PolicyStatement.TYPE).payload
    return PolicyStatement.parse_payload(payload).texts
