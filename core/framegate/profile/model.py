"""Firmware profiles: reference values for one machine model and firmware, as data (TOML), and their
strict reading.

A profile says which PCRs are quoted and which boot events may, and which must, be found in them.
What it does not mention is not allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.eventlog.content import sbat_levels
from framegate.eventlog.quirks import PADDED, PHASES, PINNED, QUIRKS, Grants
from framegate.eventlog.user_space import Extends
from framegate.glob import ANY_WORDS, well_formed
from framegate.identity.names import Kind, parse_name
from framegate.ima.entry import IMA_PCR
from framegate.ima.judge import ImaRules
from framegate.profile.extends import parse_extends
from framegate.profile.ima_table import parse_ima_rules
from framegate.profile.members import bad, digests_of, member, strings, table_of, tables
from framegate.profile.posture_limits import PostureLimits, parse_limits
from framegate.toml_text import parse_toml
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE
from framegate.tpm.policy import TLS_KEY_PCRS

PROFILE_TYPE: Final = "application/vnd.framegate.firmware-profile+toml"
"""What signatures on profiles are of; the payload is the TOML as it was written."""
MAX_PROFILE_BYTES: Final = 256 * 1024
"""Some thousand digests with names; a profile is read by people too. File contents live in
allowlists.
"""
_HEAD: Final = frozenset({"name", "version", "revision", "kind", "bank", "pcrs", "description"})
NEVER_ANY: Final = frozenset({0, 2, 4, 7, 8, 9, 10, 11, 12, 13, 14})
"""PCRs of code, its command lines and extensions, of files, and of Secure Boot with shim's keys: a
rule that claims whatever comes there would be no rule (N137).
"""


@dataclass(frozen=True, slots=True)
class EventRule:
    """Events that this profile claims: in `pcr`, with one of `digests`; None claims any event
    there. `name` is for people.
    """

    name: str
    pcr: int
    digests: frozenset[bytes] | None
    required: bool


@dataclass(frozen=True, slots=True)
class TextRule:
    """Boot loader commands or kernel command lines claimed by their text, which the event's digest
    must cover. `*` in `allow` stands for characters of one word, `**` for whole words (`glob`).
    """

    name: str
    pcr: int
    allow: tuple[str, ...]
    required: bool


@dataclass(frozen=True, slots=True)
class VariableRule:
    """UEFI boot variables (BootOrder, Boot0001, …) whose value may be anything, by name; `#` stands
    for a hexadecimal digit.
    """

    name: str
    pcr: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecureBoot:
    """Secure Boot as demanded. `dbx_minimum`: SHA-256 hashes that the revocation list must hold at
    least; `sbat_minimum`: component to generation.
    """

    required: bool
    dbx_minimum: frozenset[bytes] | None
    sbat_minimum: Mapping[str, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class FirmwareProfile:
    """A parsed profile, compared by identity. `kind`: the only machines that it is for, None for
    any. `tpm_firmware` None means any version, said so in words in the file; `ima` None means no
    IMA list is asked for.
    """

    name: str
    version: str
    revision: int
    description: str
    kind: Kind | None
    selection: PcrSelection
    secure_boot: SecureBoot
    tpm_firmware: frozenset[int] | None
    posture: PostureLimits
    rules: tuple[EventRule, ...]
    texts: tuple[TextRule, ...]
    variables: tuple[VariableRule, ...]
    quirks: frozenset[str]
    pinned: Mapping[int, frozenset[bytes]]
    extends: tuple[Extends, ...]
    ima: ImaRules | None
    by_digest: Mapping[tuple[int, bytes], EventRule]
    by_pcr: Mapping[int, EventRule]

    @property
    def grants(self) -> Grants:
        """What a machine may do against its log."""
        return Grants(self.quirks, self.pinned, self.extends)

    def claim(self, pcr: int, digest: bytes) -> EventRule | None:
        """The rule that claims `digest` in `pcr`, if any; two look-ups, however many rules there
        are.
        """
        return self.by_digest.get((pcr, digest)) or self.by_pcr.get(pcr)


def parse_profile(data: bytes) -> FirmwareProfile:
    """The profile in `data` (TOML, UTF-8). Raises Malformed (PROFILE_INVALID) naming the member;
    unknown members are errors.
    """
    if len(data) > MAX_PROFILE_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a profile of at most {MAX_PROFILE_BYTES} bytes", len(data)
        )
    body = parse_toml(data, lambda e: bad("TOML in UTF-8", e))
    head = table_of(body, "profile", _HEAD)
    tpm = table_of(body, "tpm", {"firmware"})
    known = {
        "profile",
        "tpm",
        "secure_boot",
        "posture",
        "event",
        "text",
        "variable",
        "quirks",
        "pcr_values",
        "extend",
        "ima",
    }
    if set(body) - known:
        raise bad(f"tables {', '.join(sorted(known))}", sorted(set(body) - known))
    bank = BANK_BY_NAME.get(member(head, "bank", str))
    pcrs = member(head, "pcrs", list)
    if bank is None or bank.name == "SHA1":
        raise bad("bank sha256, sha384 or sha512", head["bank"])
    if (
        not all(type(p) is int and 0 <= p < 24 for p in pcrs)
        or pcrs != sorted(set(pcrs))
        or not set(TLS_KEY_PCRS) <= set(pcrs)
    ):
        raise bad("pcrs ascending, 0 to 23, with 0 to 7 among them", pcrs)
    rules = tuple(_rule(e, DIGEST_SIZE[bank], pcrs) for e in member(body, "event", list))
    texts = tuple(_text(e, pcrs) for e in tables(body, "text"))
    if not any(r.required for r in rules) and not any(t.required for t in texts):
        raise bad("at least one required event", "none")
    revision = member(head, "revision", int)
    if revision < 1:
        raise bad("revision of 1 or more", revision)
    quirks = frozenset(strings(body, "quirks")) if "quirks" in body else frozenset()
    if quirks - set(QUIRKS):
        raise bad(f"quirks out of {', '.join(QUIRKS)}", sorted(quirks - set(QUIRKS)))
    pinned = _pinned(body, DIGEST_SIZE[bank], pcrs)
    if bool(pinned) != (PINNED in quirks):
        raise bad(f"[pcr_values] together with quirk {PINNED}", sorted(quirks))
    if ("ima" in body) != (IMA_PCR in pcrs):
        raise bad(f"[ima] together with PCR {IMA_PCR} in pcrs", f"pcrs {pcrs}")
    if PHASES in quirks and 11 not in pcrs:
        raise bad(f"PCR 11 in pcrs with quirk {PHASES}", pcrs)
    return FirmwareProfile(
        parse_name(member(head, "name", str), "profile name"),
        member(head, "version", str),
        revision,
        str(head.get("description", "")),
        _kind(head),
        PcrSelection(bank, tuple(pcrs)),
        _secure_boot(body),
        _firmware(tpm),
        parse_limits(member(body, "posture", dict)),
        rules,
        texts,
        tuple(_variable(v, pcrs) for v in tables(body, "variable")),
        quirks,
        pinned,
        parse_extends(body, quirks),
        parse_ima_rules(body, padded=PADDED in quirks) if "ima" in body else None,
        MappingProxyType({(r.pcr, d): r for r in reversed(rules) for d in r.digests or ()}),
        MappingProxyType({r.pcr: r for r in rules if r.digests is None}),
    )


def _kind(head: dict[str, Any]) -> Kind | None:
    if "kind" not in head:
        return None
    kind = member(head, "kind", str)
    if kind not in set(Kind):
        raise bad(f"kind {' or '.join(Kind)}, of the machines that the profile is for", kind)
    return Kind(kind)


def _firmware(tpm: dict[str, Any]) -> frozenset[int] | None:
    if tpm.get("firmware") == "any":
        return None
    try:
        return frozenset(int(v, 16) for v in strings(tpm, "firmware"))
    except ValueError as error:
        raise bad(
            'firmware = "any" or a list of hexadecimal versions', tpm.get("firmware")
        ) from error


def _secure_boot(body: dict[str, Any]) -> SecureBoot:
    table = table_of(body, "secure_boot", {"required", "dbx_minimum", "sbat_minimum"})
    dbx = (
        digests_of([str(v) for v in member(table, "dbx_minimum", list)], 32, "dbx hashes")
        if "dbx_minimum" in table
        else None
    )
    sbat = None
    if "sbat_minimum" in table:
        try:
            sbat = MappingProxyType(sbat_levels("\n".join(strings(table, "sbat_minimum")).encode()))
        except Malformed as error:
            raise bad(
                'sbat_minimum = ["component,generation", …]', error.failures[0].actual
            ) from error
    return SecureBoot(member(table, "required", bool), dbx, sbat)


def _rule(event: Any, size: int, pcrs: list[int]) -> EventRule:
    if type(event) is not dict or set(event) != {"name", "pcr", "digests", "required"}:
        raise bad(
            "[[event]] with name, pcr, digests, required",
            event if type(event) is not dict else sorted(event),
        )
    pcr, name, required = (
        member(event, "pcr", int),
        member(event, "name", str),
        member(event, "required", bool),
    )
    if pcr not in pcrs:
        raise bad(f"an event in a quoted PCR with digests of {size} bytes", (pcr, name))
    if event["digests"] == "any":
        if pcr in NEVER_ANY or required:
            raise bad(
                f'digests = "any" not required and outside PCR {sorted(NEVER_ANY)}', (pcr, name)
            )
        return EventRule(name, pcr, None, False)
    return EventRule(
        name, pcr, digests_of(strings(event, "digests"), size, f"digests of {name!r}"), required
    )


def _text(table: Any, pcrs: list[int]) -> TextRule:
    if type(table) is not dict or set(table) != {"name", "pcr", "allow", "required"}:
        raise bad(
            "[[text]] with name, pcr, allow, required",
            table if type(table) is not dict else sorted(table),
        )
    pcr = member(table, "pcr", int)
    allow = tuple(strings(table, "allow"))
    if pcr not in pcrs or pcr < 8 or {"*", ANY_WORDS} & set(allow):
        raise bad('a text in a quoted PCR of 8 or more, and not merely "*"', (pcr, allow[:1]))
    loose = [a for a in allow if not well_formed(a)]
    if loose:
        raise bad('"**" as a word by itself, "*" within a word', loose[0])
    return TextRule(member(table, "name", str), pcr, allow, member(table, "required", bool))


def _variable(table: Any, pcrs: list[int]) -> VariableRule:
    if (
        type(table) is not dict
        or set(table) != {"name", "pcr", "names"}
        or table["pcr"] != 1
        or 1 not in pcrs
    ):
        raise bad(
            "[[variable]] with name, pcr = 1, names",
            table if type(table) is not dict else sorted(table),
        )
    return VariableRule(member(table, "name", str), 1, tuple(strings(table, "names")))


def _pinned(body: dict[str, Any], size: int, pcrs: list[int]) -> Mapping[int, frozenset[bytes]]:
    table = member(body, "pcr_values", dict) if "pcr_values" in body else {}
    pinned: dict[int, frozenset[bytes]] = {}
    for key in table:
        if not key.isdigit() or int(key) not in pcrs or int(key) == IMA_PCR:
            raise bad("quoted PCRs in [pcr_values]", key)
        pinned[int(key)] = digests_of(strings(table, key), size, f"values of PCR {key}")
    return MappingProxyType(pinned)
