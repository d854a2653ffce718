"""What only a person knows, as they signed it: about a function, a claim or a framework, with an
end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final

from cryptography import x509

from framegate.assessment.check import Status
from framegate.assessment.reading import DAY_MS, Entry
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import CLOCK_SLACK_MS, Statement
from framegate.toml_text import parse_toml

MAX_TEXT: Final = 12_000
"""Bytes of a file: signed and quoted it has to fit into an entry of the record."""
MAX_SAID: Final = 40
MAX_BECAUSE: Final = 300
MAX_DAYS: Final = 400
"""A year, and a month to say it again: what nobody says again does not count any more."""
STAGES: Final = ("traditional", "initial", "advanced", "optimal")
_ABOUT: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,60}(?:/[a-z0-9][a-z0-9.-]{0,60})?")
_CLAIM_SAYS: Final = (Status.PASS.value, Status.FAIL.value, Status.NOT_APPLICABLE.value)
_MEMBERS: Final = frozenset({"about", "says", "because", "expires"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said about `ztmm/PILLAR.FUNCTION` (a stage), `FRAMEWORK/CLAIM` (pass, fail,
    not-applicable) or a `FRAMEWORK` (not-applicable alone), until `expires_ms`.
    """

    about: str
    says: str
    because: str
    expires_ms: int
    by: str = ""
    index: int = -1


@dataclass(frozen=True, slots=True)
class PostureStatement(Statement):
    """A statement's file, as an operator signs it with the key of their session."""

    text: str
    operator: str
    signed_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.posture-statement+json"
    PURPOSE: ClassVar[Purpose] = Purpose.OPERATOR


def parse_said(text: str, known: Iterable[str], now_ms: int) -> list[Said]:
    """What a file says.

    1. it is TOML of at most `MAX_TEXT` bytes with `version = 1` and at most `MAX_SAID` statements;
    2. each has about, says, because and expires, and nothing else; 3. `about` is `known`, each
    once, and `says` is one of what can be said about it; 4. it ends in the future, in `MAX_DAYS` at
    most.

    Raises Malformed (USAGE).
    """
    rows = _rows(text)  # 1
    names, told = frozenset(known), list[Said]()
    for row in rows:
        if type(row) is not dict or set(row) != _MEMBERS:  # 2
            came = sorted(map(str, row)) if type(row) is dict else type(row).__name__
            raise _malformed("about, says, because and expires, no more", came)
        about, says = _about(row["about"], names), row["says"]
        if says not in _sayable(about):  # 3
            raise _malformed(f"of {about}: {', '.join(_sayable(about))}", ascii(says)[:40])
        if about in {s.about for s in told}:
            raise _malformed("each thing once", about)
        because = row["because"]
        if type(because) is not str or not 0 < len(because.strip()) <= MAX_BECAUSE:
            raise _malformed(f"a reason of 1 to {MAX_BECAUSE} characters", about)
        expires = _expires(row["expires"], now_ms)  # 4
        told.append(Said(about=about, says=says, because=because, expires_ms=expires))
    return told


def _rows(text: str) -> list[Any]:
    if len(text.encode()) > MAX_TEXT:
        raise Malformed.of(Reason.TOO_LARGE, f"a file of at most {MAX_TEXT} bytes", len(text))
    body = parse_toml(text, lambda e: _malformed("TOML", ascii(str(e))[:100]))
    rows = body.get("statement")
    if set(body) != {"version", "statement"} or body["version"] != 1 or type(rows) is not list:
        raise _malformed("version = 1 and [[statement]]", sorted(map(ascii, body))[:8])
    if not 0 < len(rows) <= MAX_SAID:
        raise _malformed(f"1 to {MAX_SAID} statements", len(rows))
    return rows


def _about(about: Any, known: frozenset[str]) -> str:
    if type(about) is not str or not _ABOUT.fullmatch(about) or about not in known:
        wanted = "ztmm/PILLAR.FUNCTION, FRAMEWORK/CLAIM or FRAMEWORK"
        hint = "framegate assess; framegate compliance list"
        raise Malformed.of(Reason.USAGE, wanted, ascii(about)[:80], hint)
    return about


def _sayable(about: str) -> tuple[str, ...]:
    if about.startswith("ztmm/"):
        return STAGES
    return _CLAIM_SAYS if "/" in about else (Status.NOT_APPLICABLE.value,)


def _expires(value: Any, now_ms: int) -> int:
    if type(value) is not date:
        raise _malformed("expires as a date, 2027-03-31", ascii(value)[:40])
    try:
        ends = datetime(value.year, value.month, value.day, tzinfo=UTC)
        ms = int(ends.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _malformed("a date", ascii(value)[:40]) from error
    if not now_ms < ms <= now_ms + MAX_DAYS * DAY_MS:
        raise _malformed(f"an end within {MAX_DAYS} days", value)
    return ms


def _malformed(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.USAGE, expected, actual, "framegate compliance state --help")


def verify_posture(
    envelope: bytes, issuer: x509.Certificate, root: x509.Certificate, now_ms: int
) -> PostureStatement:
    """The statement that an operator signed.

    1. to 4. as `Statement.verify`, by a session's certificate that lived at `now_ms`, when it was
    brought; 5. the certificate names the operator whom it names; 6. it was signed before, and not
    long before. Raises Malformed or Refused.
    """
    statement, signer = PostureStatement.verify(envelope, (issuer,), root, from_ms(now_ms))
    names = signer.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    came = str(names[0].value) if names else ""
    if came != f"operator.{statement.operator}":  # 5
        wanted = f"a signature of operator.{statement.operator[:60]}"
        raise Refused.of(Reason.SIGNATURE, wanted, ascii(came))
    if not -CLOCK_SLACK_MS <= now_ms - statement.signed_at_ms <= DAY_MS:  # 6
        raise Refused.of(Reason.SIGNATURE, "a statement of today", statement.signed_at_ms)
    return statement


def text_of(envelope: bytes) -> str:
    """The file in an envelope that the caller MUST have verified, or whose entry it MUST have
    verified, which the controller made after it had. Raises Malformed.
    """
    payload = parse_envelope(envelope, PostureStatement.TYPE).payload
    return PostureStatement.parse_payload(payload).text


def said_in(entries: Iterable[Entry], known: Iterable[str], now_ms: int) -> Mapping[str, Said]:
    """What is said now: of each thing the last statement in the record, unless it has ended."""
    names, told = frozenset(known), dict[str, Said]()
    for entry in entries:
        if entry["at_ms"] > now_ms:
            continue
        text = text_of(str(entry["members"]["envelope"]).encode())
        for said in _again(text, names, entry):
            told[said.about] = said
    return {about: said for about, said in told.items() if said.expires_ms > now_ms}


def _again(text: str, names: frozenset[str], entry: Entry) -> list[Said]:
    """What an entry's file says; what this version does not know any more is left out."""
    told = []
    for row in _rows(text):
        if row["about"] in names:
            ends = datetime(
                row["expires"].year, row["expires"].month, row["expires"].day, tzinfo=UTC
            )
            told.append(
                Said(
                    about=row["about"],
                    says=row["says"],
                    because=row["because"],
                    expires_ms=int(ends.timestamp() * 1000),
                    by=str(entry["actor"]),
                    index=entry["index"],
                )
            )
    return told
