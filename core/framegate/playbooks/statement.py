"""A playbook in force, as the controller signs it beside the access policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, from_ms
from framegate.playbooks.parse import parse_playbook
from framegate.playbooks.planner import InForce
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Statement


@dataclass(frozen=True, slots=True)
class PlaybookStatement(Statement):
    """Revision `revision` of the playbook `name` is in force with exactly this text, or, where the
    text is empty, none is. `enabled_by` asked for it, `approvers` approved exactly it.
    """

    name: str
    revision: int
    text: str
    enabled_by: str
    approvers: tuple[str, ...]
    enabled_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.playbook+json"
    PURPOSE: ClassVar[Purpose] = Purpose.POLICY


def verify_playbook(
    data: bytes, name: str, revision: int, root: x509.Certificate
) -> PlaybookStatement:
    """The statement in a signed playbook.

    1. to 4. as `Statement.verify`, at the time when it says it was put in force: it stays so after
       its key's certificate ended; 5. it is of this name and revision. That this revision is the
       newest, the caller MUST check. Raises Malformed or Refused (PLAYBOOK).
    """
    envelope = parse_envelope(data, PlaybookStatement.TYPE)
    enabled = PlaybookStatement.parse_payload(envelope.payload).enabled_at_ms
    statement, _ = PlaybookStatement.verify(data, (), root, from_ms(enabled))
    if (statement.name, statement.revision) != (name, revision):  # 5
        came = f"{statement.name} {statement.revision}"
        hint = "the store was changed: restore it"
        raise Refused.of(Reason.PLAYBOOK, f"playbook {name} {revision}", came, hint)
    return statement


def in_force_of(statement: PlaybookStatement) -> InForce | None:
    """What a verified statement puts in force; None where it ends a playbook. Raises Malformed."""
    if not statement.text:
        return None
    people = frozenset([statement.enabled_by, *statement.approvers])
    return InForce(
        playbook=parse_playbook(statement.text), revision=statement.revision, people=people
    )
