"""Answers that no honest controller or gateway gives: every member of a message set to what is
worst of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

STEERS: Final = "\x1b[2J\x1b]0;owned\x07\u202e\n[bold]all is well[/]"
STEERING: Final = ("\x1b", "\x07", "\u202e")
"""None of these is printed, whoever sent it."""
DEEP: Final = 3
_LARGEST: Final[Mapping[int, Any]] = {
    FieldDescriptor.TYPE_UINT64: 2**64 - 1,
    FieldDescriptor.TYPE_INT64: 2**63 - 1,
    FieldDescriptor.TYPE_UINT32: 2**32 - 1,
    FieldDescriptor.TYPE_INT32: 2**31 - 1,
    FieldDescriptor.TYPE_DOUBLE: float("inf"),
    FieldDescriptor.TYPE_FLOAT: float("nan"),
    FieldDescriptor.TYPE_BOOL: True,
}
_SMALLEST: Final[Mapping[int, Any]] = {
    FieldDescriptor.TYPE_INT64: -(2**63),
    FieldDescriptor.TYPE_INT32: -(2**31),
    FieldDescriptor.TYPE_DOUBLE: float("-inf"),
    FieldDescriptor.TYPE_FLOAT: -0.0,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of answer: what texts, bytes and numbers say, and how many of a list there are."""

    text: str
    raw: bytes
    numbers: Mapping[int, Any]
    items: int = 2


KINDS: Final = {
    "nothing": Kind("", b"", {}, 0),
    "steers": Kind(STEERS, b"\xff\xfe\x00", _LARGEST),
    "names": Kind("camera.line-1.cam1", b"{}", _LARGEST),
    "json": Kind('{"a": [1e999, null]}', b'[{"a": 1}]', _SMALLEST, 1),
    "digits": Kind("9" * 5_000, b"9" * 5_000, _LARGEST, 1),
    "negative": Kind("-1", b'{"looks": [], "points": 7}', _SMALLEST),
}


def worst_answer(described: Descriptor, kind: Kind, depth: int = 0) -> Message:
    """A message of this type, of this kind."""
    message = GetMessageClass(described)()
    for field in described.fields:
        if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
            continue
        count = kind.items if field.is_repeated else 1
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth < DEEP and kind.items:
                _set_message(message, field, kind, count, depth)
            continue
        value = _value(field, kind)
        if value is None:
            continue
        if field.is_repeated:
            getattr(message, field.name).extend([value] * count)
        else:
            setattr(message, field.name, value)
    return message


def _set_message(message: Message, field: Any, kind: Kind, count: int, depth: int) -> None:
    target = getattr(message, field.name)
    if field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields_by_name["key"], field.message_type.fields[1]
        if value.type == FieldDescriptor.TYPE_MESSAGE:
            target[_value(key, kind)].CopyFrom(worst_answer(value.message_type, kind, depth + 1))
        else:
            target[_value(key, kind) or 0 if key.type != key.TYPE_STRING else kind.text] = (
                _value(value, kind) or 0
            )
        return
    made = worst_answer(field.message_type, kind, depth + 1)
    if field.is_repeated:
        target.extend([made] * count)
    else:
        target.CopyFrom(made)


def _value(field: Any, kind: Kind) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return kind.text
    if field.type == FieldDescriptor.TYPE_BYTES:
        return kind.raw
    if field.type == FieldDescriptor.TYPE_ENUM:
        return field.enum_type.values[-1].number if kind.items else None
    return kind.numbers.get(field.type)
