"""Vendors' reference values as firmware profiles: CoRIM (draft-ietf-rats-corim, CBOR), or a CoMID
by itself, as some vendors hand them out.

A CoMID names measured elements by a key; which PCR one belongs to is told by an `integer` or `pcr…`
key, or by integrity registers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import cbor2

from framegate.errors import Malformed, Reason

MAX_CORIM_BYTES: Final = 8 * 1024 * 1024
_TAG_WRAPPED, _TAG_UNSIGNED, _TAG_SIGNED, _TAG_COMID = 500, 501, 502, 506
_TAG_COSE_SIGN1: Final = 18
_ALG: Final = {1: 32, 7: 48, 8: 64, "sha-256": 32, "sha-384": 48, "sha-512": 64}
"""IANA Named Information hash ids, and their names."""


def from_corim(raw: bytes, name: str) -> dict[str, Any]:
    """A profile (TOML data) with the SHA-256 reference values of a CoRIM, or of a CoMID alone. A
    COSE signature around it is taken off and not checked.

    Raises Malformed: no CBOR, no CoRIM or CoMID, no SHA-256 digest that names a PCR.
    """
    if len(raw) > MAX_CORIM_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a CoRIM of at most {MAX_CORIM_BYTES} bytes", len(raw)
        )
    tags = _tags(_load(raw))
    rules: dict[tuple[int, str], set[bytes]] = {}
    values: dict[int, set[bytes]] = {}
    try:
        _collect(tags, rules, values)
        names = ", ".join(filter(None, map(_tag_id, tags)))
    except (
        TypeError,
        AttributeError,
    ) as error:  # CBOR of another shape than CoRIM's, at whatever depth
        raise _bad("reference-triples as CoRIM has them", type(error).__name__) from error
    if not rules and not values:
        where = f"none in CoMID {names[:120]!a}" if names else "none"
        hint = "its elements name no PCR, or have other digests: ask the vendor"
        raise _bad("reference values with SHA-256 digests of PCRs", where, hint)
    pcrs = sorted(set(range(8)) | {p for p, _ in rules} | set(values))
    body_out: dict[str, Any] = {
        "profile": {
            "name": name,
            "version": "1",
            "revision": 1,
            "description": f"from the vendor's CoMID {names[:100]}".strip(),
            "bank": "sha256",
            "pcrs": pcrs,
        },
        "tpm": {"firmware": "any"},
        "secure_boot": {"required": True},
        "posture": {"os_ids": ["debian", "ubuntu"]},
        "event": [
            {
                "name": f"{label} (PCR {p})",
                "pcr": p,
                "digests": sorted(d.hex() for d in digests),
                "required": True,
            }
            for (p, label), digests in sorted(rules.items())
        ],
    }
    if values:
        body_out |= {
            "quirks": ["pcr-by-value"],
            "pcr_values": {
                str(p): sorted(v.hex() for v in digests) for p, digests in sorted(values.items())
            },
        }
    return body_out


def is_corim(raw: bytes) -> bool:
    """Whether `raw` is CBOR of a CoRIM's shape, signed or not: a guess."""
    try:
        corim = _corim(_load(raw))
    except (Malformed, TypeError):
        return False
    return isinstance(corim, Mapping) and isinstance(corim.get(1), list | tuple)


def is_comid(raw: bytes) -> bool:
    """Whether `raw` is CBOR of a CoMID's shape, without a CoRIM around it: a guess."""
    try:
        return _comid(_load(raw)) is not None
    except (Malformed, TypeError):
        return False


def _corim(body: Any) -> Any:
    """The corim-map in a CoRIM; a COSE signature around it is taken off."""
    body = _untag(_untag(_untag(body, _TAG_WRAPPED), _TAG_SIGNED), _TAG_COSE_SIGN1)
    if (
        isinstance(body, list | tuple) and len(body) == 4 and isinstance(body[2], bytes)
    ):  # COSE_Sign1: the payload
        body = _load(body[2])
    return _untag(body, _TAG_UNSIGNED)


def _comid(body: Any) -> Mapping[Any, Any] | None:
    """The concise-mid-tag in `body`: tagged or bare, as it is or as a byte string."""
    content = _untag(body, _TAG_COMID)
    content = _load(content) if isinstance(content, bytes) and content is not body else content
    triples = content.get(4) if isinstance(content, Mapping) else None
    return content if isinstance(triples, Mapping) and isinstance(content.get(1), Mapping) else None


def _tags(body: Any) -> Sequence[Any]:
    """What a CoRIM bundles, or the one CoMID that came alone. Raises Malformed."""
    corim = _corim(body)
    if isinstance(corim, Mapping) and isinstance(corim.get(1), list | tuple):
        return list(corim[1])
    alone = _comid(corim)
    if alone is None:
        raise _bad("a corim-map with tags, or a CoMID", type(corim).__name__)
    return [cbor2.CBORTag(_TAG_COMID, alone)]


def _tag_id(tagged: Any) -> str:
    """What a CoMID calls itself (tag-identity-map)."""
    comid = _untag(tagged, _TAG_COMID)
    content = _load(comid) if isinstance(comid, bytes) else comid
    identity = content.get(1) if isinstance(content, Mapping) else None
    called = identity.get(0) if isinstance(identity, Mapping) else None
    return called.hex() if isinstance(called, bytes) else str(called or "")


def _collect(
    tags: Any, rules: dict[tuple[int, str], set[bytes]], values: dict[int, set[bytes]]
) -> None:
    for tagged in tags:
        comid = (
            tagged.value if isinstance(tagged, cbor2.CBORTag) and tagged.tag == _TAG_COMID else None
        )
        content = _load(comid) if isinstance(comid, bytes) else comid
        triples = content.get(4, {}) if isinstance(content, Mapping) else {}
        for triple in triples.get(0, []) if isinstance(triples, Mapping) else []:
            for measurement in (
                triple[1] if isinstance(triple, list | tuple) and len(triple) > 1 else []
            ):
                _measurement(measurement, rules, values)


def _measurement(
    measurement: Any, rules: dict[tuple[int, str], set[bytes]], values: dict[int, set[bytes]]
) -> None:
    if not isinstance(measurement, Mapping) or not isinstance(measurement.get(1), Mapping):
        return
    key, content = measurement.get(0), measurement[1]
    digests = {d for d in map(_sha256, content.get(2, [])) if d}
    pcr, label = _pcr_of(key)
    if digests and pcr is not None:
        rules.setdefault((pcr, label), set()).update(digests)
    for index, register in (
        (content.get(14) or {}).items() if isinstance(content.get(14), Mapping) else ()
    ):  # integrity-registers
        pcr, _ = _pcr_of(index)
        if pcr is not None:
            values.setdefault(pcr, set()).update(d for d in map(_sha256, register) if d)


def _pcr_of(key: Any) -> tuple[int | None, str]:
    key = key.value if isinstance(key, cbor2.CBORTag) else key
    if isinstance(key, int) and 0 <= key < 24:
        return key, "reference value"
    if isinstance(key, str):
        head, _, rest = key.lower().removeprefix("pcr").lstrip("-_ ").partition("/")
        number = head.partition(":")[0]
        if number.isdigit() and int(number) < 24:
            return int(number), (rest or key)[:60]
    return None, ""


def _sha256(digest: Any) -> bytes:
    if (
        isinstance(digest, list | tuple)
        and len(digest) == 2
        and _ALG.get(digest[0]) == 32
        and isinstance(digest[1], bytes)
        and len(digest[1]) == 32
    ):
        return digest[1]
    return b""


def _load(raw: bytes) -> Any:
    file = io.BytesIO(raw)
    try:
        value = cbor2.load(file)
    except (cbor2.CBORError, ValueError, RecursionError, OverflowError) as error:
        raise _bad("CBOR", type(error).__name__) from error
    if file.read(1):
        raise _bad("one CBOR item", "more behind it")
    return value


def _untag(value: Any, tag: int) -> Any:
    return value.value if isinstance(value, cbor2.CBORTag) and value.tag == tag else value


def _bad(
    expected: str, actual: object, hint: str = "is this a CoRIM or a CoMID? draft-ietf-rats-corim"
) -> Malformed:
    return Malformed.of(Reason.PROFILE_INVALID, expected, actual, hint)
