"""Framegate's own records: a label, then fields in a fixed order, one encoding per value. The bytes
are set out in docs/reference/protocol.md.

A record class lists its fields with `u8`, `u32`, `u64`, `blob`, `text`, `blobs`, `numbers`;
`marshal` and `parse` follow from that list, so that no record can encode one way and decode
another. Parsing is strict: every byte is accounted for.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self, dataclass_transform

from framegate.errors import Malformed, Reason

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
"""C0, DEL and C1: what makes a terminal or a log do something."""
MOST_WHOLE: Final = 2**63 - 1
"""The largest whole number that a database's row holds. Records have numbers of 64 bits and JSON
has no bound: what is to be kept or looked up is held against this where it comes in.
"""
_WIDTH: Final = {"u8": struct.Struct("B"), "u32": struct.Struct(">I"), "u64": struct.Struct(">Q")}
_SIZE: Final = _WIDTH["u32"]

_Codec = tuple[str, int, int]
"""Kind, most bytes, and what else bounds it: the exact size of a blob, how many of several."""


def u8() -> Any:
    """An unsigned 8-bit number."""
    return dataclasses.field(metadata={"codec": ("u8", 0, 0)})


def u32() -> Any:
    """An unsigned 32-bit number, big-endian."""
    return dataclasses.field(metadata={"codec": ("u32", 0, 0)})


def u64() -> Any:
    """An unsigned 64-bit number, big-endian."""
    return dataclasses.field(metadata={"codec": ("u64", 0, 0)})


def blob(most: int, *, exactly: bool = False) -> Any:
    """Bytes behind a 32-bit length; at most (or `exactly`) `most` of them."""
    return dataclasses.field(metadata={"codec": ("blob", most, most if exactly else 0)})


def text(most: int) -> Any:
    """UTF-8 without control characters behind a 32-bit length; at most `most` bytes."""
    return dataclasses.field(metadata={"codec": ("text", most, 0)})


def blobs(count: int, most: int) -> Any:
    """Up to `count` byte strings of at most `most` bytes, behind an 8-bit count."""
    return dataclasses.field(metadata={"codec": ("blobs", most, count)})


def numbers(count: int) -> Any:
    """Up to `count` 8-bit numbers, strictly ascending, behind an 8-bit count."""
    return dataclasses.field(metadata={"codec": ("numbers", 0, count)})


@dataclass_transform(
    frozen_default=True,
    kw_only_default=True,
    field_specifiers=(u8, u32, u64, blob, text, blobs, numbers),
)
class Record:
    """Base of all records. Subclasses are frozen dataclasses with a `LABEL`."""

    LABEL: ClassVar[str]
    _head: ClassVar[bytes]
    _coded: ClassVar[tuple[tuple[str, _Codec], ...]]
    """Names and forms of the fields: read out of the class once, not with every record."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        cls._head = bytes([len(cls.LABEL)]) + cls.LABEL.encode()
        cls._coded = tuple(
            (f.name, f.metadata["codec"])
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        )

    def marshal(self) -> bytes:
        """The record's bytes. Raises Malformed where a value breaks its field's limit."""
        out = [self._head]
        for name, codec in self._coded:
            _put(out, self.LABEL, name, codec, getattr(self, name))
        return b"".join(out)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The record in `data`, all of it. Raises Malformed on a wrong label, a broken limit, short
        or trailing bytes.
        """
        reader = _Reader(bytes(data), cls.LABEL)
        if reader.take(len(cls._head), "label") != cls._head:
            raise Malformed.of(Reason.MALFORMED, f"a record {cls.LABEL}", "another label")
        values = {name: _get(reader, name, codec) for name, codec in cls._coded}
        if reader.left:
            raise Malformed.of(
                Reason.TRAILING_BYTES, f"{cls.LABEL} to end", f"{reader.left} bytes more"
            )
        return cls(**values)


class _Reader:
    def __init__(self, data: bytes, label: str) -> None:
        self._data, self._at, self._end, self._label = data, 0, len(data), label

    @property
    def left(self) -> int:
        return self._end - self._at

    def take(self, size: int, name: str) -> bytes:
        at = self._at
        self._at = end = at + size
        if end > self._end:
            raise Malformed.of(
                Reason.MALFORMED,
                f"{size} bytes for {self._label} {name}",
                f"{self._end - at} left",
            )
        return self._data[at:end]

    def number(self, form: struct.Struct, name: str) -> int:
        return int.from_bytes(self.take(form.size, name), "big")

    def sized(self, most: int, exactly: int, name: str) -> bytes:
        size = int.from_bytes(self.take(_SIZE.size, name), "big")
        if size > most or (exactly and size != exactly):
            raise Malformed.of(
                Reason.TOO_LARGE,
                f"{'exactly' if exactly else 'at most'} {most} bytes of {self._label} {name}",
                size,
            )
        return self.take(size, name)


def _put(out: list[bytes], label: str, name: str, codec: _Codec, value: Any) -> None:
    kind, most, extra = codec
    width = _WIDTH.get(kind)
    if width is not None:
        try:
            out.append(width.pack(value))
        except struct.error as error:
            raise Malformed.of(Reason.MALFORMED, f"{kind} for {label} {name}", value) from error
        return
    if kind in {"blob", "text"}:
        data = value.encode() if kind == "text" else bytes(value)
        if kind == "text":
            _clean(value, label, name)
        if len(data) > most or (kind == "blob" and extra and len(data) != extra):
            raise Malformed.of(
                Reason.TOO_LARGE,
                f"{'exactly' if extra else 'at most'} {most} bytes of {label} {name}",
                len(data),
            )
        out += (_SIZE.pack(len(data)), data)
        return
    if len(value) > extra:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {extra} of {label} {name}", len(value))
    out.append(bytes([len(value)]))
    if kind == "numbers":
        _ascending(value, label, name)
        out.append(bytes(value))
        return
    for item in value:
        if len(item) > most:
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {most} bytes of {label} {name}", len(item)
            )
        out += (_SIZE.pack(len(item)), item)


def _get(reader: _Reader, name: str, codec: _Codec) -> Any:
    kind, most, extra = codec
    if kind == "blob":
        return reader.sized(most, extra, name)
    width = _WIDTH.get(kind)
    if width is not None:
        return reader.number(width, name)
    if kind == "text":
        raw = reader.sized(most, 0, name)
        try:
            value = raw.decode()
        except UnicodeDecodeError as error:
            raise Malformed.of(Reason.MALFORMED, f"UTF-8 in {name}", "other bytes") from error
        _clean(value, "record", name)
        return value
    count = reader.number(_WIDTH["u8"], name)
    if count > extra:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {extra} of {name}", count)
    if kind == "numbers":
        values = tuple(reader.take(count, name))
        _ascending(values, "record", name)
        return values
    return tuple(reader.sized(most, 0, name) for _ in range(count))


def _clean(value: str, label: str, name: str) -> None:
    if _CONTROL.search(value) is not None:
        raise Malformed.of(
            Reason.MALFORMED, f"no control characters in {label} {name}", ascii(value)
        )


def _ascending(values: tuple[int, ...], label: str, name: str) -> None:
    if values != tuple(sorted(set(values))):
        raise Malformed.of(Reason.MALFORMED, f"ascending {label} {name}", values)
