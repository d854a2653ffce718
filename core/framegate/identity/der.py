"""DER as a certificate should have been written: what makers wrote in BER, put right for reading.

X.690 section 11 gives each value one encoding, and strict readers take no other. TPM makers write
DEFAULT values out, leave SETs unsorted and lengths long. What is put right here is read and shown;
a signature is of the bytes as they came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

MAX_NESTING: Final = 24
"""Elements within elements; a certificate's names inside its extensions reach 12."""
MAX_SERIAL_BYTES: Final = 20
"""RFC 5280, 4.1.2.2."""
BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING = 0x01, 0x02, 0x03, 0x04
OBJECT_ID, UTF8_STRING, PRINTABLE_STRING, SEQUENCE, SET = 0x06, 0x0C, 0x13, 0x30, 0x31
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_CONSTRUCTED: Final = 0x20
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_LONG_TAG: Final = 0x1F
_PRINTABLE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?"
)
"""X.680, 41.4."""
_RSASSA_PSS: Final = bytes.fromhex("2a864886f70d01010a")
_ECDSA: Final = bytes.fromhex("2a8648ce3d04")
RSAES_OAEP: Final = bytes.fromhex("2a864886f70d010107")
RSA_ENCRYPTION: Final = bytes.fromhex("2a864886f70d010101")
_BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
_ISSUING_POINT, _NAME_CONSTRAINTS = bytes.fromhex("551d1c"), bytes.fromhex("551d1e")

FALSE_WRITTEN: Final = "FALSE written out"
DEFAULT_WRITTEN: Final = "a DEFAULT value written out"
SET_ORDER: Final = "order of a SET"
LONG_FORM: Final = "a length or number in a long form"
OAEP_KEY: Final = "RSAES-OAEP key"
TIME_FORM: Final = "a time in another form"
_TIME: Final = (
    rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:[.,]\d+)?(?:Z|([+-])(\d\d)(\d\d)?)"  # from the month on
)
_TIMES: Final = {
    UTC_TIME: re.compile(rb"(\d\d)" + _TIME),
    GENERALIZED_TIME: re.compile(rb"(\d{4})" + _TIME),
}
_FIRST_UTC_YEAR, _LAST_UTC_YEAR = 1950, 2049
"""RFC 5280, 4.1.2.5: what lies in them is a UTCTime, whose two digits stand for them."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of BER with definite lengths. `raw` is how it came; a constructed one has
    `children`, another its `content`.
    """

    tag: int
    raw: bytes
    content: bytes
    children: tuple[Element, ...] = ()

    @property
    def der(self) -> bytes:
        """The element in DER, its children as they are now."""
        body = b"".join(c.der for c in self.children) if self.constructed else self.content
        return bytes([self.tag]) + _length(len(body)) + body

    @property
    def constructed(self) -> bool:
        """Whether it holds other elements."""
        return bool(self.tag & _CONSTRUCTED)


@dataclass(frozen=True, slots=True)
class WrittenAnew:
    """A certificate in DER, `notes` of what was put right, and the parts of it that a signature is
    checked over, as they came.
    """

    der: bytes
    tbs: bytes
    signature: bytes
    notes: tuple[str, ...]


def elements(data: bytes, nesting: int = 0) -> Iterator[Element]:
    """The elements in `data`, one behind another. Raises ValueError where they do not account for
    every byte, nest too deep, or have no definite length.
    """
    if nesting > MAX_NESTING:
        raise ValueError(f"more than {MAX_NESTING} elements within one another")
    at = 0
    while at < len(data):
        start, tag = at, data[at]
        if tag & _LONG_TAG == _LONG_TAG or len(data) - at < 2:
            raise ValueError(f"a tag and a length at {at}")
        size, at = data[at + 1], at + 2
        if size == 0x80 or size > 0x84:
            raise ValueError(f"a definite length of at most 4 bytes at {at}")
        if size > 0x80:
            wide = size - 0x80
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        if size > len(data) - at:
            raise ValueError(f"{size} bytes at {at}, {len(data) - at} left")
        content = data[at : at + size]
        at += size
        children = tuple(elements(content, nesting + 1)) if tag & _CONSTRUCTED else ()
        yield Element(tag, data[start:at], content, children)


def first_size(data: bytes) -> int:
    """How many bytes the SEQUENCE takes that `data` begins with, whatever stands behind it; 0 where
    it begins with none, or is cut off before its length. No certificate has less than 128 bytes.
    """
    if len(data) < 4 or data[0] != SEQUENCE or not 0x81 <= data[1] <= 0x84:
        return 0
    head = 2 + data[1] - 0x80
    return head + int.from_bytes(data[2:head], "big") if len(data) >= head else 0


def write_anew(der: bytes) -> WrittenAnew:
    """The certificate in `der` as DER asks for. Raises ValueError for what is none.

    Put right: FALSE and other DEFAULT values that are written out (version, critical, cA, the
    booleans of an issuing point, a subtree's minimum, PSS parameters), SETs in another order, long
    lengths and numbers, TRUE that is not FF, characters that no PrintableString has, an RSA key
    called RSAES-OAEP, parameters of ECDSA, times of another form; all of it inside extensions too.
    A negative serial number is read without its sign; that and others that RFC 5280 forbids are
    noted.
    """
    whole = list(elements(der))
    if len(whole) != 1 or whole[0].tag != SEQUENCE or len(whole[0].children) != 3:
        raise ValueError("one SEQUENCE of three: to be signed, algorithm, signature")
    tbs, algorithm, bits = whole[0].children
    if tbs.tag != SEQUENCE or bits.tag != BIT_STRING or bits.content[:1] != b"\0":
        raise ValueError("a signature of whole bytes")
    if not any(c.raw == algorithm.raw for c in tbs.children):
        raise ValueError("one signature algorithm inside and out (RFC 5280, 4.1.1.2)")
    notes: dict[str, None] = {}
    rewritten = _generic(tbs, notes)
    rewritten = replace(rewritten, children=tuple(_tbs(rewritten.children, notes)))
    outer = _generic(algorithm, notes)
    again = replace(whole[0], children=(rewritten, outer, bits)).der
    if again != der and not notes:
        notes[LONG_FORM] = None
    return WrittenAnew(again, tbs.raw, bits.content[1:], tuple(notes))


def _serial(number: Element, notes: dict[str, None]) -> Element:
    content = number.content
    if not any(content):
        notes["serial number 0"] = None
    elif content[0] & 0x80:
        notes["negative serial number"] = None
        return replace(number, content=b"\0" + content)
    elif len(content) > MAX_SERIAL_BYTES:
        notes[f"serial number of {len(content)} bytes"] = None
    return number


def _tbs(children: Iterable[Element], notes: dict[str, None]) -> Iterator[Element]:
    for child in children:
        if child.tag == _VERSION and child.children and child.children[0].content == b"\0":
            notes[DEFAULT_WRITTEN] = None
        elif child.tag == INTEGER:
            yield _serial(child, notes)
        elif child.tag == _EXTENSIONS and child.children:
            listed = child.children[0]
            whole = tuple(_extension(e, notes) for e in listed.children)
            yield replace(child, children=(replace(listed, children=whole),))
        else:
            yield child


def _extension(extension: Element, notes: dict[str, None]) -> Element:
    """Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }"""
    parts = list(extension.children)
    if len(parts) == 3 and _is_false(parts[1]):
        notes[FALSE_WRITTEN] = None
        del parts[1]
    if len(parts) >= 2 and parts[-1].tag == OCTET_STRING:
        parts[-1] = replace(parts[-1], content=_value(parts[0].content, parts[-1].content, notes))
    return replace(extension, children=tuple(parts))


def _value(oid: bytes, content: bytes, notes: dict[str, None]) -> bytes:
    """What an extension holds, put right; as it came where it is no BER at all."""
    try:
        (value,) = elements(content)
    except ValueError:
        return content
    value = _generic(value, notes)
    mend = _BY_EXTENSION.get(oid)
    return (mend(value, notes) if mend else value).der


def _without_false(value: Element, notes: dict[str, None]) -> Element:
    kept = tuple(c for c in value.children if not _is_false(c))
    if len(kept) < len(value.children):
        notes[FALSE_WRITTEN] = None
    return replace(value, children=kept)


def _without_minimum(value: Element, notes: dict[str, None]) -> Element:
    """GeneralSubtree ::= SEQUENCE { base, minimum [0] INTEGER DEFAULT 0, maximum [1] }"""

    def subtree(each: Element) -> Element:
        base, *rest = each.children or (each,)
        kept = [c for c in rest if not (c.tag == 0x80 and not any(c.content))]
        if len(kept) < len(rest):
            notes[DEFAULT_WRITTEN] = None
        return replace(each, children=(base, *kept)) if each.children else each

    return replace(
        value,
        children=tuple(
            replace(part, children=tuple(map(subtree, part.children))) for part in value.children
        ),
    )


_BY_EXTENSION: Final[Mapping[bytes, Callable[[Element, dict[str, None]], Element]]] = {
    _BASIC_CONSTRAINTS: _without_false,
    _ISSUING_POINT: _without_false,
    _NAME_CONSTRAINTS: _without_minimum,
}


def _generic(element: Element, notes: dict[str, None]) -> Element:
    """What holds wherever an element stands."""
    if element.constructed:
        children = [_generic(c, notes) for c in element.children]
        if element.tag == SET:
            ordered = sorted(children, key=lambda c: c.der)
            if ordered != children:
                notes[SET_ORDER] = None
            children = ordered
        return _algorithm(replace(element, children=tuple(children)), notes)
    content = element.content
    if element.tag == BOOLEAN and content not in {b"\0", b"\xff"}:
        notes["TRUE that is not FF"] = None
        return replace(element, content=b"\xff")
    if element.tag == INTEGER:
        while len(content) > 1 and content[0] in {0, 0xFF} and (content[0] ^ content[1]) < 0x80:
            content = content[1:]
            notes[LONG_FORM] = None
        return replace(element, content=content)
    if element.tag in {UTC_TIME, GENERALIZED_TIME}:
        return _time(element, notes)
    if element.tag == PRINTABLE_STRING and not _PRINTABLE.issuperset(content):
        notes["characters that no PrintableString has"] = None
        text = content.decode("latin-1").encode()
        return replace(element, tag=UTF8_STRING, content=text)
    return element


def _time(element: Element, notes: dict[str, None]) -> Element:
    """A time as RFC 5280, 4.1.2.5, has it: in UTC, with seconds and without fractions, a UTCTime
    up to 2049. As it came where it says no time that there is.
    """
    match = _TIMES[element.tag].fullmatch(element.content)
    if match is None:
        return element
    year = int(match[1])
    if element.tag == UTC_TIME:
        year += 2000 if year < _FIRST_UTC_YEAR % 100 else 1900
    try:
        east = timedelta(hours=int(match[8] or 0), minutes=int(match[9] or 0))
        month, day, hour, minute, second = (int(match[n] or 0) for n in range(2, 7))
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        at += east if match[7] == b"-" else -east
    except (ValueError, OverflowError):
        return element
    short = _FIRST_UTC_YEAR <= at.year <= _LAST_UTC_YEAR
    shown = f"{at.year % 100:02}" if short else f"{at.year:04}"
    content = f"{shown}{at:%m%d%H%M%S}Z".encode()
    tag = UTC_TIME if short else GENERALIZED_TIME
    if (tag, content) == (element.tag, element.content):
        return element
    notes[TIME_FORM] = None
    return replace(element, tag=tag, content=content)


def _algorithm(element: Element, notes: dict[str, None]) -> Element:
    """AlgorithmIdentifier: RSAES-OAEP for a key is plain RSA, ECDSA has no parameters (RFC 5758,
    3.2), PSS no defaults written out.
    """
    if element.tag != SEQUENCE or not element.children or element.children[0].tag != OBJECT_ID:
        return element
    name, *rest = element.children
    if name.content == RSAES_OAEP:
        notes[OAEP_KEY] = None
        null = Element(0x05, b"\x05\0", b"")
        return replace(element, children=(replace(name, content=RSA_ENCRYPTION), null))
    if name.content.startswith(_ECDSA) and [r.tag for r in rest] == [0x05]:
        notes["NULL behind an ECDSA algorithm"] = None
        return replace(element, children=(name,))
    if name.content == _RSASSA_PSS and rest and rest[0].children:
        kept = tuple(c for c in rest[0].children if c.der not in _PSS_DEFAULTS)
        if len(kept) < len(rest[0].children):
            notes[DEFAULT_WRITTEN] = None
        return replace(element, children=(name, replace(rest[0], children=kept)))
    return element


_PSS_DEFAULTS: Final = frozenset({bytes.fromhex("a203020114"), bytes.fromhex("a303020101")})
"""saltLength [2] 20 and trailerField [3] 1 (RFC 4055, 3.1); SHA-1, the other default, counts for
nothing here.
"""


def _is_false(element: Element) -> bool:
    """A BOOLEAN that says no, or an implicitly tagged one."""
    return element.tag in {BOOLEAN, 0x81, 0x82, 0x84, 0x85} and element.content == b"\0"


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    body = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body
