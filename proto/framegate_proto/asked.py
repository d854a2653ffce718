"""What an approval is of: a message, whole, as bytes that both sides read alike."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from framegate.access.approvals import Content
from framegate.access.verbs import find_verb
from framegate.errors import Malformed, Reason
from framegate_proto.rendering import summarise
from framegate_proto.v1 import framegate_pb2 as pb

APPROVAL: Final = "approval"
"""The member that carries an approval: it is of the message without it."""


def content_of(message: Message) -> Content:
    """The message's type, its bytes without an approval, and their summary.

    Raises Malformed (USAGE) where it has members that this version does not know: nobody could be
    shown them.
    """
    bare = type(message)()
    bare.CopyFrom(message)
    if APPROVAL in bare.DESCRIPTOR.fields_by_name:
        bare.ClearField(APPROVAL)
    body = bare.SerializeToString(deterministic=True)
    bare.DiscardUnknownFields()
    if bare.SerializeToString(deterministic=True) != body:
        name = message.DESCRIPTOR.name
        expected, hint = f"a {name} whose every member is known here", "use clients of one version"
        raise Malformed.of(Reason.USAGE, expected, "others as well", hint)
    return Content(message.DESCRIPTOR.name, body, summarise(bare))


def message_of(kind: str, body: bytes) -> Message:
    """The message of type `kind` in `body`.

    1. there is such a type; 2. the bytes are one of it; 3. they are the bytes that this version
    writes for what it read, with no member unknown to it and no approval, so that nothing of them
    stays unseen. Raises Malformed (USAGE).
    """
    described = pb.DESCRIPTOR.message_types_by_name.get(kind)
    if described is None:  # 1
        expected, hint = "a message that is known here", "use clients of one version"
        raise Malformed.of(Reason.USAGE, expected, ascii(kind[:60]), hint)
    message: Message = GetMessageClass(described)()
    try:
        message.ParseFromString(body)  # 2
    except DecodeError as error:
        raise Malformed.of(Reason.USAGE, f"a {kind}", "other bytes") from error
    if content_of(message).body != body:  # 3
        expected = f"a {kind} as it is written here, without an approval"
        raise Malformed.of(Reason.USAGE, expected, "another encoding")
    return message


def messages_of(verb: str, service: str) -> frozenset[str]:
    """The types of message by which `service` is asked for `verb`. Raises Malformed (USAGE)."""
    calls = pb.DESCRIPTOR.services_by_name[service].methods_by_name
    named = (name.split(".") for name in find_verb(verb).rpc)
    types: list[Descriptor] = [calls[call].input_type for of, call in named if of == service]
    return frozenset(t.name for t in types)
