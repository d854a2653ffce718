"""Firmware profiles: reference values for one machine model and firmware, as data (TOML), and their
strict reading.

A profile says which PCRs are quoted and which boot events may, and which must, be found in them.
What it does not mention is not allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from framegate.errors import Malformed, Reason
from framegate.eventlog.content import sbat_levels
from framegate.eventlog.quirks import PADDED, PHASES, PINNED, QUIRKS, Grants
from framegate.eventlog.user_space import Extends
from framegate.glob import ANY_WORDS, well_formed
from framegate.identity.names import parse_name
from framegate.ima.judge import ImaRules, honest, key_id
from framegate.ima.replay import IMA_PCR
from framegate.ima.template import kernel_name
from framegate.profile.extends import parse_extends
from framegate.profile.posture_limits import PostureLimits, parse_limits
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE
from framegate.tpm.policy import TLS_KEY_PCRS

_T = TypeVar("_T")
PROFILE_TYPE: Final = "application/vnd.framegate.firmware-profile+toml"
"""What signatures on profiles are of; the payload is the TOML as it was written."""
MAX_PROFILE_BYTES: Final = 256 * 1024
"""Some thousand digests with names; a profile is read by people too. File contents live in
allowlists.
"""
NEVER_ANY: Final = frozenset({0, 2, 4, 7, 8, 9, 10, 11, 12, 13, 14})
"""PCRs of code, its command lines and extensions, of files, and of Secure Boot with shim's keys: a
rule that claims whatever comes there would be no rule (N137).
"""
MAX_REQUIRED: Final = 4_096
"""Files that must have been measured: our own are some hundred; each is looked for in every whole
list.
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
    """A parsed profile, compared by identity. `tpm_firmware` None means any version, said so in
    words in the file; `ima` None means no IMA list is asked for.
    """

    name: str
    version: str
    revision: int
    description: str
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
    try:
        body = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _bad("TOML in UTF-8", error) from error
    head = _table(body, "profile", {"name", "version", "revision", "bank", "pcrs", "description"})
    tpm = _table(body, "tpm", {"firmware"})
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
        raise _bad(f"tables {', '.join(sorted(known))}", sorted(set(body) - known))
    bank = BANK_BY_NAME.get(_get(head, "bank", str))
    pcrs = _get(head, "pcrs", list)
    if bank is None or bank.name == "SHA1":
        raise _bad("bank sha256, sha384 or sha512", head["bank"])
    if (
        not all(type(p) is int and 0 <= p < 24 for p in pcrs)
        or pcrs != sorted(set(pcrs))
        or not set(TLS_KEY_PCRS) <= set(pcrs)
    ):
        raise _bad("pcrs ascending, 0 to 23, with 0 to 7 among them", pcrs)
    rules = tuple(_rule(e, DIGEST_SIZE[bank], pcrs) for e in _get(body, "event", list))
    texts = tuple(_text(e, pcrs) for e in _optional(body, "text"))
    if not any(r.required for r in rules) and not any(t.required for t in texts):
        raise _bad("at least one required event", "none")
    revision = _get(head, "revision", int)
    if revision < 1:
        raise _bad("revision of 1 or more", revision)
    quirks = frozenset(_strings(body, "quirks")) if "quirks" in body else frozenset()
    if quirks - set(QUIRKS):
        raise _bad(f"quirks out of {', '.join(QUIRKS)}", sorted(quirks - set(QUIRKS)))
    pinned = _pinned(body, DIGEST_SIZE[bank], pcrs)
    if bool(pinned) != (PINNED in quirks):
        raise _bad(f"[pcr_values] together with quirk {PINNED}", sorted(quirks))
    if ("ima" in body) != (IMA_PCR in pcrs):
        raise _bad(f"[ima] together with PCR {IMA_PCR} in pcrs", f"pcrs {pcrs}")
    if PHASES in quirks and 11 not in pcrs:
        raise _bad(f"PCR 11 in pcrs with quirk {PHASES}", pcrs)
    return FirmwareProfile(
        parse_name(_get(head, "name", str), "profile name"),
        _get(head, "version", str),
        revision,
        str(head.get("description", "")),
        PcrSelection(bank, tuple(pcrs)),
        _secure_boot(body),
        _firmware(tpm),
        parse_limits(_get(body, "posture", dict)),
        rules,
        texts,
        tuple(_variable(v, pcrs) for v in _optional(body, "variable")),
        quirks,
        pinned,
        parse_extends(body, quirks),
        _ima(body, PADDED in quirks) if "ima" in body else None,
        MappingProxyType({(r.pcr, d): r for r in reversed(rules) for d in r.digests or ()}),
        MappingProxyType({r.pcr: r for r in rules if r.digests is None}),
    )


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.PROFILE_INVALID, expected, actual, "see firmware_profiles/README.md")


def _table(body: dict[str, Any], name: str, members: set[str]) -> dict[str, Any]:
    table = _get(body, name, dict)
    if set(table) - members:
        raise _bad(
            f"members {', '.join(sorted(members))} in [{name}]", sorted(set(table) - members)
        )
    return dict(table)


def _get(table: dict[str, Any], name: str, kind: type[_T]) -> _T:
    value = table.get(name)
    if type(value) is not kind:
        raise _bad(
            f"{name} as {kind.__name__}", "nothing" if value is None else type(value).__name__
        )
    return value


def _optional(table: dict[str, Any], name: str) -> list[Any]:
    return _get(table, name, list) if name in table else []


def _strings(table: dict[str, Any], name: str) -> list[str]:
    values = _get(table, name, list)
    if not values or not all(type(v) is str for v in values):
        raise _bad(f"{name} as a list of strings that is not empty", values)
    return [str(v) for v in values]


def _hex(values: list[str], size: int, what: str) -> frozenset[bytes]:
    try:
        digests = frozenset(bytes.fromhex(v) for v in values)
    except ValueError as error:
        raise _bad(f"{what} in hexadecimal", values[0]) from error
    if any(len(v) != size for v in digests):
        raise _bad(f"{what} of {size} bytes", values[0])
    return digests


def _firmware(tpm: dict[str, Any]) -> frozenset[int] | None:
    if tpm.get("firmware") == "any":
        return None
    try:
        return frozenset(int(v, 16) for v in _strings(tpm, "firmware"))
    except ValueError as error:
        raise _bad(
            'firmware = "any" or a list of hexadecimal versions', tpm.get("firmware")
        ) from error


def _secure_boot(body: dict[str, Any]) -> SecureBoot:
    table = _table(body, "secure_boot", {"required", "dbx_minimum", "sbat_minimum"})
    dbx = (
        _hex([str(v) for v in _get(table, "dbx_minimum", list)], 32, "dbx hashes")
        if "dbx_minimum" in table
        else None
    )
    sbat = None
    if "sbat_minimum" in table:
        try:
            sbat = MappingProxyType(
                sbat_levels("\n".join(_strings(table, "sbat_minimum")).encode())
            )
        except Malformed as error:
            raise _bad(
                'sbat_minimum = ["component,generation", …]', error.failures[0].actual
            ) from error
    return SecureBoot(_get(table, "required", bool), dbx, sbat)


def _rule(event: Any, size: int, pcrs: list[int]) -> EventRule:
    if type(event) is not dict or set(event) != {"name", "pcr", "digests", "required"}:
        raise _bad(
            "[[event]] with name, pcr, digests, required",
            event if type(event) is not dict else sorted(event),
        )
    pcr, name, required = (
        _get(event, "pcr", int),
        _get(event, "name", str),
        _get(event, "required", bool),
    )
    if pcr not in pcrs:
        raise _bad(f"an event in a quoted PCR with digests of {size} bytes", (pcr, name))
    if event["digests"] == "any":
        if pcr in NEVER_ANY or required:
            raise _bad(
                f'digests = "any" not required and outside PCR {sorted(NEVER_ANY)}', (pcr, name)
            )
        return EventRule(name, pcr, None, False)
    return EventRule(
        name, pcr, _hex(_strings(event, "digests"), size, f"digests of {name!r}"), required
    )


def _text(table: Any, pcrs: list[int]) -> TextRule:
    if type(table) is not dict or set(table) != {"name", "pcr", "allow", "required"}:
        raise _bad(
            "[[text]] with name, pcr, allow, required",
            table if type(table) is not dict else sorted(table),
        )
    pcr = _get(table, "pcr", int)
    allow = tuple(_strings(table, "allow"))
    if pcr not in pcrs or pcr < 8 or {"*", ANY_WORDS} & set(allow):
        raise _bad('a text in a quoted PCR of 8 or more, and not merely "*"', (pcr, allow[:1]))
    loose = [a for a in allow if not well_formed(a)]
    if loose:
        raise _bad('"**" as a word by itself, "*" within a word', loose[0])
    return TextRule(_get(table, "name", str), pcr, allow, _get(table, "required", bool))


def _variable(table: Any, pcrs: list[int]) -> VariableRule:
    if (
        type(table) is not dict
        or set(table) != {"name", "pcr", "names"}
        or table["pcr"] != 1
        or 1 not in pcrs
    ):
        raise _bad(
            "[[variable]] with name, pcr = 1, names",
            table if type(table) is not dict else sorted(table),
        )
    return VariableRule(_get(table, "name", str), 1, tuple(_strings(table, "names")))


def _pinned(body: dict[str, Any], size: int, pcrs: list[int]) -> Mapping[int, frozenset[bytes]]:
    table = _get(body, "pcr_values", dict) if "pcr_values" in body else {}
    pinned: dict[int, frozenset[bytes]] = {}
    for key in table:
        if not key.isdigit() or int(key) not in pcrs or int(key) == IMA_PCR:
            raise _bad("quoted PCRs in [pcr_values]", key)
        pinned[int(key)] = _hex(_strings(table, key), size, f"values of PCR {key}")
    return MappingProxyType(pinned)


def _ima(body: dict[str, Any], padded: bool) -> ImaRules:
    table = _table(
        body,
        "ima",
        {"allowlists", "max_violations", "exclude", "signed", "keys", "measured", "required"},
    )
    folders = {
        name: tuple(_folder(v) for v in (_strings(table, name) if name in table else []))
        for name in ("exclude", "signed", "measured")
    }
    keys: dict[bytes, Any] = {}
    for pem in _strings(table, "keys") if "keys" in table else []:
        try:
            identifier, key = key_id(pem.encode())
        except Exception as error:
            raise _bad("keys as PEM public keys, RSA or ECC", type(error).__name__) from error
        keys[identifier] = key
    if bool(folders["signed"]) != bool(keys):
        raise _bad("signed and keys together", sorted(table))
    most = _get(table, "max_violations", int)
    if most < 0:
        raise _bad("max_violations of 0 or more", most)
    lists = [v.removeprefix("sha256:") for v in _strings(table, "allowlists")]
    if any(len(v) != 64 for v in lists):
        raise _bad("allowlists as sha256:HEX", lists[0])
    return ImaRules(
        tuple(sorted(_hex(lists, 32, "allowlists"))),
        most,
        folders["exclude"],
        folders["signed"],
        MappingProxyType(keys),
        folders["measured"],
        padded,
        _required(table),
    )


def _required(table: dict[str, Any]) -> tuple[bytes, ...]:
    paths = _strings(table, "required") if "required" in table else []
    dishonest = [p for p in paths if not honest(p.encode())]
    if dishonest or len(paths) > MAX_REQUIRED or len(set(paths)) < len(paths):
        wanted = f"required as at most {MAX_REQUIRED} absolute paths, each once"
        raise _bad(wanted, dishonest[0] if dishonest else len(paths))
    return tuple(p.encode() for p in paths)


def _folder(text: str) -> bytes:
    if (
        not text.startswith("/")
        or not text.endswith("/")
        or ".." in text
        or "//" in text
        or text == "/"
    ):
        raise _bad("a folder as /…/", text)
    return kernel_name(text.encode())
