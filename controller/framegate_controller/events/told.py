"""Notices as texts that controllers tell each other."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate_controller.events.notices import (
    AccessChanged,
    AttestNow,
    DeviceChanged,
    EverybodyAttests,
    GrantsChanged,
    HeadSigned,
    Notice,
    PartChanged,
)
from framegate_controller.store.shared.duties import MAX_TOLD

_KINDS: Final = {
    cls.__name__: cls
    for cls in (
        DeviceChanged,
        AttestNow,
        EverybodyAttests,
        GrantsChanged,
        AccessChanged,
        PartChanged,
    )
}
_TYPES: Final = {"str": str, "bool": bool, "bytes": bytes}
EVERYTHING: Final = "*"
"""In the place of a notice that is too long to be told: whoever hears it begins again."""
_FRAME: Final = 128
"""Bytes of a text beside its notices."""


def texts_of(notices: Sequence[Notice], by: str) -> Iterator[str]:
    """Texts that tell of `notices`, in order, in the name of `by`. Of a head none: every controller
    signs and tells its own.
    """
    told: list[Any] = []
    size = 0
    for notice in notices:
        if isinstance(notice, HeadSigned):
            continue
        one: Any = [type(notice).__name__, _plain(asdict(notice))]
        length = len(json.dumps(one))
        if length > MAX_TOLD - _FRAME:
            one, length = [EVERYTHING, {}], 16
        if told and size + length > MAX_TOLD - _FRAME:
            yield _text(told, by)
            told, size = [], 0
        told.append(one)
        size += length + 2
    if told:
        yield _text(told, by)


def read_text(text: str, mine: str) -> tuple[Notice, ...] | None:
    """The notices of a text; none where it is this controller's own, None where one was too long to
    be told. Raises Malformed.
    """
    try:
        body = json.loads(text)
        if body["by"] == mine:
            return ()
        if any(kind == EVERYTHING for kind, _ in body["notices"]):
            return None
        return tuple(_notice(kind, members) for kind, members in body["notices"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        wanted = "what another controller tells"
        raise Malformed.of(Reason.MALFORMED, wanted, type(error).__name__) from error


def _text(told: list[Any], by: str) -> str:
    return json.dumps({"by": by, "notices": told}, separators=(",", ":"))


def _plain(members: dict[str, Any]) -> dict[str, Any]:
    return {
        n: base64.b64encode(v).decode() if isinstance(v, bytes) else v for n, v in members.items()
    }


def _notice(kind: str, members: dict[str, Any]) -> Notice:
    cls = _KINDS[kind]
    values: dict[str, Any] = {}
    for member in fields(cls):
        wanted, value = _TYPES[str(member.type)], members[member.name]
        if wanted is bytes:
            value = base64.b64decode(value, validate=True)
        if type(value) is not wanted:
            raise TypeError(member.name)
        values[member.name] = value
    return cls(**values)
