"""What somebody asks approval of, read and rendered here, out of the very bytes.

The controller hands over bytes. What they say, their digest and what differs from what is in force
are worked out on the approver's own machine; where the controller says otherwise of them, nothing
is approved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message

from framegate.errors import Reason, Refused
from framegate_host.console import typed
from framegate_host.printing import printable
from framegate_host.private_files import private_folder, write_private
from framegate_proto.asked import content_of, message_of
from framegate_proto.rendering import has_digests, in_lines, plain, quoted, render
from framegate_proto.v1 import framegate_pb2 as pb

ROLE_VERB: Final = "access.request"
"""The verb by which a role is asked for."""
AROUND: Final = 3
"""Lines around each difference."""


@dataclass(frozen=True, slots=True)
class AskedContent:
    """A request, the message it is of and what is in force in its place (None: nothing is).

    `digest` is of the bytes from which `message` was read. Made by `read_asked` only.
    """

    row: pb.AccessRow
    message: Message
    digest: bytes
    in_force: Message | None


def read_asked(reply: pb.AskedContent) -> AskedContent:
    """What is asked.

    1. there is a message; 2. it is read whole (`message_of`); 3. its digest, as it is worked out
    here, is the one that the controller keeps, which approvals are of; 4. the controller's line
    about it is the one that follows from it. Raises Malformed, Refused (NOT_FOUND, CONFLICT).
    """
    row = reply.row
    if not reply.content and not row.content_sha256:  # 1
        raise Refused.of(Reason.NOT_FOUND, "a request with a message", f"{row.id} has none")
    if not reply.content and content_of(_empty(row.content_type)).digest(_verb(row)) != (
        row.content_sha256
    ):
        hint = "it is over, and what came of it is in the audit log"
        raise Refused.of(Reason.NOT_FOUND, f"the message of {row.id}", "it is kept no more", hint)
    message = message_of(row.content_type, reply.content)  # 2
    content = content_of(message)
    digest = content.digest(_verb(row))
    if digest != row.content_sha256:  # 3
        expected, actual = f"content {row.content_sha256.hex()}", digest.hex()
        hint = "do not approve: what the controller shows is not what it would let pass"
        raise Refused.of(Reason.CONFLICT, expected, actual, hint)
    if row.summary != f"{_verb(row)}: {content.summary}":  # 4
        hint = "do not approve, unless the controller is of another version than this command"
        expected, actual = quoted(content.summary), quoted(row.summary)
        raise Refused.of(Reason.CONFLICT, expected, actual, hint)
    current = message_of(row.content_type, reply.in_force) if reply.compared else None
    return AskedContent(row, message, digest, current)


def told(asked: AskedContent) -> Iterator[str]:
    """The request in lines: who asks for what, every member, what would change, and what the
    requester says in their own words.
    """
    row, kind = asked.row, asked.message.DESCRIPTOR.name
    who = plain(row.requester)
    yield f"request {plain(row.id)}: {who} asks for {_verb(row)} in zone {plain(row.zone)}"
    if row.target:
        yield f"on {quoted(row.target)}"
    yield f"what is asked, a {kind}, every member of it, read here from its bytes:"
    members = render(asked.message)
    for shown in members:
        if not shown.remark:
            yield f"  {shown.member}: {shown.lines[0]}"
            yield from (f"      {line}" for line in shown.lines[1:])
    yield from differences(asked)
    yield f"{who}'s own words, which nobody has checked:"
    yield f"  | beside the request: {_own_words(row.reason)}"
    for shown in members:
        if shown.remark:
            yield from (f"  | {shown.member}: {line}" for line in shown.lines)
    yield f"content {asked.digest.hex()}, which an approval is of"
    if any(has_digests(shown) for shown in members):
        save = f"framegate access show {typed(row.id)} --save FOLDER"
        yield f"what stands as size and digest is whole in the files of {save}"


def as_json(asked: AskedContent) -> dict[str, Any]:
    """The same for programs."""
    return {
        "content_type": asked.message.DESCRIPTOR.name,
        "content_sha256": asked.digest.hex(),
        "members": [
            {"member": s.member, "lines": list(s.lines), "remark": s.remark}
            for s in render(asked.message)
        ],
        "difference": list(differences(asked)),
    }


def save_bytes(asked: AskedContent, folder: Path) -> list[Path]:
    """Write each member that is bytes, such as a golden image or a certificate, into a file of
    `folder` of its own, to be looked at with other programs.
    """
    private_folder(folder)
    written = []
    for field in asked.message.DESCRIPTOR.fields:
        value = getattr(asked.message, field.name)
        values = list(value) if field.is_repeated else [value]
        for number, item in enumerate(v for v in values if isinstance(v, bytes) and v):
            path = folder / f"{asked.digest.hex()[:16]}-{field.name}-{number}"
            write_private(path, item)
            written.append(path)
    return written


def differences(asked: AskedContent) -> Iterator[str]:
    """What differs from what is in force, as lines of a unified diff."""
    if asked.in_force is None:
        yield "nothing is in force in its place"
        return
    before, after = in_lines(asked.in_force), in_lines(asked.message)
    lines = list(unified_diff(before, after, "in force", "asked", n=AROUND, lineterm=""))
    yield "against what is in force:" if lines else "the same is in force"
    yield from (f"  {line}" for line in lines)


def _own_words(text: str) -> str:
    return f'"{printable(text)}"' if text else "nothing"


def _verb(row: pb.AccessRow) -> str:
    return row.verb or ROLE_VERB


def _empty(kind: str) -> Message:
    return message_of(kind, b"")
