"""Whole numbers of messages, before anything looks them up."""

from __future__ import annotations

from typing import Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from framegate.codec import MOST_WHOLE
from framegate.errors import Malformed, Reason

M = TypeVar("M", bound=Message)
_WIDE: Final = frozenset({FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64})


def whole_numbers(message: M) -> M:
    """`message`, of whose whole numbers, and those of its messages, none is past `MOST_WHOLE`: a
    database would end the call with an error of its own. Raises Malformed (USAGE).
    """
    for field, value in message.ListFields():
        several = value if field.is_repeated else (value,)
        if field.type in _WIDE and max(several) > MOST_WHOLE:
            raise Malformed.of(Reason.USAGE, f"{field.name} of at most {MOST_WHOLE}", max(several))
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in several:
                if isinstance(one, Message):
                    whole_numbers(one)
    return message
