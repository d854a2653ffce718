"""Firmware profiles: reference values for one machine model and firmware, as data (TOML), and their strict reading.

A profile says which PCRs are quoted and which boot events may, and which must, be found in them. What it does not mention is not allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from framegate.errors import Malformed, Reason
from framegate.evidence import TLS_KEY_PCRS
from framegate.identity import parse_name
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE

_T = TypeVar("_T")
MAX_PROFILE_BYTES: Final = 256 * 1024
"""Some thousand digests with names; a profile is read by people too."""


@dataclass(frozen=True, slots=True)
class EventRule:
    """Events that this profile claims: in `pcr`, with one of `digests`. `name` is for people."""

    name: str
    pcr: int
    digests: frozenset[bytes]
    required: bool


@dataclass(frozen=True, slots=True)
class FirmwareProfile:
    """A parsed profile. `tpm_firmware` None means any version, said so in words in the file."""

    name: str
    version: str
    revision: int
    selection: PcrSelection
    secure_boot: bool
    tpm_firmware: frozenset[int] | None
    os_ids: frozenset[str]
    rules: tuple[EventRule, ...]
    by_digest: Mapping[tuple[int, bytes], EventRule]

    def claim(self, pcr: int, digest: bytes) -> EventRule | None:
        """The rule that claims `digest` in `pcr`, if any; one look-up, however many rules there are."""
        return self.by_digest.get((pcr, digest))


def parse_profile(data: bytes) -> FirmwareProfile:
    """The profile in `data` (TOML, UTF-8). Raises Malformed (PROFILE_INVALID) naming the member; unknown members are errors."""
    if len(data) > MAX_PROFILE_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a profile of at most {MAX_PROFILE_BYTES} bytes", len(data))
    try:
        body = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _bad("TOML in UTF-8", error) from error
    head = _table(body, "profile", {"name", "version", "revision", "bank", "pcrs", "description"})
    tpm = _table(body, "tpm", {"firmware"})
    secure_boot = _table(body, "secure_boot", {"required"})
    posture = _table(body, "posture", {"os_ids"})
    if set(body) - {"profile", "tpm", "secure_boot", "posture", "event"}:
        raise _bad("tables profile, tpm, secure_boot, posture, event", sorted(set(body)))
    bank = BANK_BY_NAME.get(_get(head, "bank", str))
    pcrs = _get(head, "pcrs", list)
    if bank is None or bank.name == "SHA1":
        raise _bad("bank sha256, sha384 or sha512", head["bank"])
    if not all(type(p) is int and 0 <= p < 24 for p in pcrs) or pcrs != sorted(set(pcrs)) or not set(TLS_KEY_PCRS) <= set(pcrs):
        raise _bad("pcrs ascending, 0 to 23, with 0 to 7 among them", pcrs)
    rules = tuple(_rule(e, DIGEST_SIZE[bank], pcrs) for e in _get(body, "event", list))
    if not any(r.required for r in rules):
        raise _bad("at least one required event", "none")
    revision = _get(head, "revision", int)
    if revision < 1:
        raise _bad("revision of 1 or more", revision)
    return FirmwareProfile(
        parse_name(_get(head, "name", str), "profile name"), _get(head, "version", str), revision, PcrSelection(bank, tuple(pcrs)),
        _get(secure_boot, "required", bool), _firmware(tpm), frozenset(_strings(posture, "os_ids")), rules,
        MappingProxyType({(r.pcr, d): r for r in reversed(rules) for d in r.digests}),
    )  # fmt: skip


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.PROFILE_INVALID, expected, actual, "see firmware_profiles/README.md")


def _table(body: dict[str, Any], name: str, members: set[str]) -> dict[str, Any]:
    table = _get(body, name, dict)
    if set(table) - members:
        raise _bad(f"members {', '.join(sorted(members))} in [{name}]", sorted(set(table) - members))
    return dict(table)


def _get(table: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = table.get(name)
    if type(value) is not kind:
        raise _bad(f"{name} as {kind.__name__}", "nothing" if value is None else type(value).__name__)
    return value


def _strings(table: dict[str, Any], name: str) -> list[str]:
    values = _get(table, name, list)
    if not values or not all(type(v) is str for v in values):
        raise _bad(f"{name} as a list of strings that is not empty", values)
    return [str(v) for v in values]


def _firmware(tpm: dict[str, Any]) -> frozenset[int] | None:
    if tpm.get("firmware") == "any":
        return None
    try:
        return frozenset(int(v, 16) for v in _strings(tpm, "firmware"))
    except ValueError as error:
        raise _bad('firmware = "any" or a list of hexadecimal versions', tpm.get("firmware")) from error


def _rule(event: Any, size: int, pcrs: list[int]) -> EventRule:
    if type(event) is not dict or set(event) != {"name", "pcr", "digests", "required"}:
        raise _bad("[[event]] with name, pcr, digests, required", event if type(event) is not dict else sorted(event))
    pcr, digests = _get(event, "pcr", int), _strings(event, "digests")
    try:
        values = frozenset(bytes.fromhex(d) for d in digests)
    except ValueError as error:
        raise _bad("digests in hexadecimal", digests[0]) from error
    if pcr not in pcrs or any(len(v) != size for v in values):
        raise _bad(f"an event in a quoted PCR with digests of {size} bytes", (pcr, digests[0]))
    return EventRule(_get(event, "name", str), pcr, values, _get(event, "required", bool))
