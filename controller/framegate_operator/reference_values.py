"""Vendors' reference values as firmware profiles: CoRIM (draft-ietf-rats-corim, CBOR).

A CoMID names measured elements by a key; which PCR one belongs to is told by an `integer` or `pcr…`
key, or by integrity registers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import cbor2

from framegate.errors import Malformed, Reason

MAX_CORIM_BYTES: Final = 8 * 1024 * 1024
_TAG_UNSIGNED, _TAG_COMID, _TAG_SIGNED = 501, 506, 18
_ALG: Final = {1: 32, 7: 48, 8: 64, "sha-256": 32, "sha-384": 48, "sha-512": 64}
"""IANA Named Information hash ids, and their names."""


def from_corim(raw: bytes, name: str) -> dict[str, Any]:
    """A profile (TOML data) with the SHA-256 reference values of a CoRIM. A COSE signature around
    it is taken off and not checked.

    Raises Malformed: no CBOR, no CoRIM, no SHA-256 digest that names a PCR.
    """
    if len(raw) > MAX_CORIM_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a CoRIM of at most {MAX_CORIM_BYTES} bytes", len(raw)
        )
    body = _untag(_load(raw), _TAG_SIGNED)
    if (
        isinstance(body, list | tuple) and len(body) == 4 and isinstance(body[2], bytes)
    ):  # COSE_Sign1: the payload
        body = _load(body[2])
    corim = _untag(body, _TAG_UNSIGNED)
    if not isinstance(corim, Mapping) or not isinstance(corim.get(1), list | tuple):
        raise _bad("a corim-map with tags", type(corim).__name__)
    rules: dict[tuple[int, str], set[bytes]] = {}
    values: dict[int, set[bytes]] = {}
    try:
        _collect(corim[1], rules, values)
    except (
        TypeError,
        AttributeError,
    ) as error:  # CBOR of another shape than CoRIM's, at whatever depth
        raise _bad("reference-triples as CoRIM has them", type(error).__name__) from error
    if not rules and not values:
        raise _bad("reference values with SHA-256 digests of PCRs", "none")
    pcrs = sorted(set(range(8)) | {p for p, _ in rules} | set(values))
    body_out: dict[str, Any] = {
        "profile": {
            "name": name,
            "version": "1",
            "revision": 1,
            "description": "from the vendor's CoRIM",
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


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(
        Reason.PROFILE_INVALID,
        expected,
        actual,
        "is this a CoRIM? corim-map, draft-ietf-rats-corim",
    )
