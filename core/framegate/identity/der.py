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

from framegate.identity.ber import SEQUENCE, Element, elements

MAX_SERIAL_BYTES: Final = 20
"""RFC 5280, 4.1.2.2."""
BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING = 0x01, 0x02, 0x03, 0x04
OBJECT_ID, UTF8_STRING, PRINTABLE_STRING, SET = 0x06, 0x0C, 0x13, 0x31
T61_STRING, IA5_STRING, VISIBLE_STRING = 0x14, 0x16, 0x1A
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_PRINTABLE: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?"
)
"""X.680, 41.4."""
_RSASSA_PSS: Final = bytes.fromhex("2a864886f70d01010a")
_ECDSA: Final = bytes.fromhex("2a8648ce3d04")
RSAES_OAEP: Final = bytes.fromhex("2a864886f70d010107")
RSA_ENCRYPTION: Final = bytes.fromhex("2a864886f70d010101")
_BASIC_CONSTRAINTS: Final = bytes.fromhex("551d13")
_ALTERNATIVE_NAME: Final = bytes.fromhex("551d11")
_ISSUING_POINT, _NAME_CONSTRAINTS = bytes.fromhex("551d1c"), bytes.fromhex("551d1e")

FALSE_WRITTEN: Final = "FALSE written out"
DEFAULT_WRITTEN: Final = "a DEFAULT value written out"
SET_ORDER: Final = "order of a SET"
LONG_FORM: Final = "a length or number in a long form"
OAEP_KEY: Final = "RSAES-OAEP key"
TIME_FORM: Final = "a time in another form"
PADDING_BITS: Final = "padding bits that are set"
OTHER_LETTERS: Final = "letters that its kind of text has not"
NO_CA_LENGTH: Final = "a path length of no CA"
VERSION_2: Final = "extensions in version 2"
SET_ASIDE: Final = "an extension that decides nothing and cannot be read"
OTHER_NAME: Final = "an alternative name that says nothing"
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
class WrittenAnew:
    """A certificate in DER, `notes` of what was put right, and the parts of it that a signature is
    checked over, as they came. `extensions` are those it has, by OID as DER has it.
    """

    der: bytes
    tbs: bytes
    signature: bytes
    notes: tuple[str, ...]
    extensions: tuple[bytes, ...] = ()


def write_anew(der: bytes, without: frozenset[bytes] = frozenset()) -> WrittenAnew:
    """The certificate in `der` as DER asks for, without the extensions `without`. Raises ValueError
    for what is none.

    Put right: FALSE and other DEFAULT values that are written out (version, critical, cA, the
    booleans of an issuing point, a subtree's minimum, PSS parameters), SETs in another order, long
    lengths and numbers, TRUE that is not FF, padding bits, letters that a kind of text has not, an
    RSA key called RSAES-OAEP, parameters of ECDSA, times of another form; all of it inside
    extensions too. A negative serial number is read without its sign; that and others that RFC 5280
    forbids, a path length of no CA and extensions in version 2, are noted, and so are alternative
    names that no reader knows and nothing is decided by.
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
    listed = _listed(rewritten)
    rewritten = replace(rewritten, children=tuple(_tbs(rewritten.children, without, notes)))
    outer = _generic(algorithm, notes)
    again = replace(whole[0], children=(rewritten, outer, bits)).der
    if without:
        notes[SET_ASIDE] = None
    if again != der and not notes:
        notes[LONG_FORM] = None
    return WrittenAnew(again, tbs.raw, bits.content[1:], tuple(notes), listed)


def _listed(tbs: Element) -> tuple[bytes, ...]:
    """The OIDs of its extensions."""
    whole = [c.children[0].children for c in tbs.children if c.tag == _EXTENSIONS and c.children]
    return tuple(e.children[0].content for e in (whole[0] if whole else ()) if e.children)


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


def _tbs(
    children: Iterable[Element], without: frozenset[bytes], notes: dict[str, None]
) -> Iterator[Element]:
    extended = any(c.tag == _EXTENSIONS for c in children)
    for child in children:
        if child.tag == _VERSION and child.children:
            number = child.children[0].content
            if number == b"\0":
                notes[DEFAULT_WRITTEN] = None
                continue
            if number == b"\1" and extended:
                notes[VERSION_2] = None
                child = replace(child, children=(replace(child.children[0], content=b"\2"),))
            yield child
        elif child.tag == INTEGER:
            yield _serial(child, notes)
        elif child.tag == _EXTENSIONS and child.children:
            listed = child.children[0]
            kept = [
                e for e in listed.children if not (e.children and e.children[0].content in without)
            ]
            whole = tuple(_extension(e, notes) for e in kept)
            if whole:
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


def _constraints(value: Element, notes: dict[str, None]) -> Element:
    """BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER }: the
    length of a path below what is no CA says nothing (RFC 5280, 4.2.1.9).
    """
    value = _without_false(value, notes)
    if [c.tag for c in value.children] == [INTEGER]:
        notes[NO_CA_LENGTH] = None
        return replace(value, children=())
    return value


def _named(value: Element, notes: dict[str, None]) -> Element:
    """GeneralNames without those that no reader knows (x400Address, ediPartyName), addresses that
    are none, and texts beyond ASCII; a TPM is named in a directory name.
    """
    kept = tuple(c for c in value.children if _told(c))
    if len(kept) == len(value.children) or not kept:
        return value
    notes[OTHER_NAME] = None
    return replace(value, children=kept)


def _told(name: Element) -> bool:
    if name.tag in {0x81, 0x82, 0x86}:
        return name.content.isascii()
    if name.tag == 0x87:
        return len(name.content) in {4, 16}
    return name.tag not in {0xA3, 0xA5}


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
    _BASIC_CONSTRAINTS: _constraints,
    _ALTERNATIVE_NAME: _named,
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
    mend = _BY_TAG.get(element.tag)
    return mend(element, notes) if mend else element


def _boolean(element: Element, notes: dict[str, None]) -> Element:
    if element.content in {b"\0", b"\xff"}:
        return element
    notes["TRUE that is not FF"] = None
    return replace(element, content=b"\xff")


def _integer(element: Element, notes: dict[str, None]) -> Element:
    content = element.content
    while len(content) > 1 and content[0] in {0, 0xFF} and (content[0] ^ content[1]) < 0x80:
        content = content[1:]
        notes[LONG_FORM] = None
    return replace(element, content=content)


def _bits(element: Element, notes: dict[str, None]) -> Element:
    """X.690, 11.2.1: the bits behind the last one are 0."""
    content = element.content
    if len(content) < 2 or content[0] > 7 or not content[-1] & ((1 << content[0]) - 1):
        return element
    notes[PADDING_BITS] = None
    last = content[-1] >> content[0] << content[0]
    return replace(element, content=content[:-1] + bytes([last]))


def _text(element: Element, notes: dict[str, None]) -> Element:
    """A text that its kind has no letters for is read as Latin-1, which makers wrote into it."""
    content = element.content
    if element.tag == PRINTABLE_STRING:
        good = _PRINTABLE.issuperset(content)
    else:
        good = content.isascii() or (element.tag == UTF8_STRING and _is_utf8(content))
    if good:
        return element
    notes[OTHER_LETTERS] = None
    return replace(element, tag=UTF8_STRING, content=content.decode("latin-1").encode())


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


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


_BY_TAG: Final[Mapping[int, Callable[[Element, dict[str, None]], Element]]] = {
    BOOLEAN: _boolean,
    INTEGER: _integer,
    BIT_STRING: _bits,
    UTC_TIME: _time,
    GENERALIZED_TIME: _time,
} | dict.fromkeys((UTF8_STRING, PRINTABLE_STRING, T61_STRING, IA5_STRING, VISIBLE_STRING), _text)


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
