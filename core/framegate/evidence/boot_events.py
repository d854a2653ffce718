"""Each event of a boot log against a firmware profile: what knows it, or why nothing does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from framegate.errors import Failure, Reason
from framegate.eventlog.content import (
    IMAGE_SECURITY,
    SHIM_LOCK,
    boot_variable,
    bound_text,
    bound_variable,
    covered_text,
    says,
)
from framegate.eventlog.parse import NEVER_EXTENDED, NO_ACTION, BootEvent, BootLog
from framegate.eventlog.user_space import BOOT_PCRS
from framegate.glob import matches
from framegate.profile.model import FirmwareProfile, TextRule
from framegate.tpm.constants import HASH_NAME

SEPARATORS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff")


class Known(StrEnum):
    """What knows an event."""

    RULE = "rule"  # one of the profile's, by digest or for its PCR
    TEXT = "text"  # a rule for what its digest covers, a command or a command line
    CONTENT = "content"  # a boot variable, dbx or SBAT level, judged by its content elsewhere
    SEPARATOR = "separator"
    PINNED = "pinned"  # its PCR has one value, whatever it is made of
    UNMEASURED = "unmeasured"  # it extends no PCR
    NOTHING = "nothing"


class JudgedEvent(NamedTuple):
    """One event of a log, what of the profile knows it, and why it is refused; a tuple, because
    logs have thousands. `by` is the rule's name where it is a rule.
    """

    event: BootEvent
    known: Known
    by: str = ""
    failure: Failure | None = None


class _Texts(NamedTuple):
    """A rule for texts; `whole` are its patterns once more, most of which are whole texts."""

    rule: TextRule
    whole: frozenset[str]

    def allows(self, text: str) -> bool:
        """A pattern matches itself."""
        return text in self.whole or any(matches(text, pattern) for pattern in self.rule.allow)


class _KnownText(NamedTuple):
    """A text that a profile spells out, as its digest covers it, and the rule that allows it."""

    covered: bytes
    rule: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every event is asked of a profile.

    By PCR and digest: `claims` names the rule that claims it; `known` are texts that the profile
    spells out, in PCRs where nothing else is asked before a text is.
    """

    profile: FirmwareProfile
    claims: Mapping[tuple[int, bytes], str]
    separators: frozenset[bytes]
    quoted: frozenset[int]
    texts: Mapping[int, list[_Texts]]
    known: Mapping[tuple[int, bytes], _KnownText]


@lru_cache(maxsize=64)  # as many profiles as a site's machines have between them
def _asked_of(profile: FirmwareProfile) -> _Asked:
    """Drawn from the very profile, which is compared by identity."""
    bank = profile.selection.bank
    new = getattr(hashlib, HASH_NAME[bank])
    texts: dict[int, list[_Texts]] = {}
    for rule in profile.texts:
        texts.setdefault(rule.pcr, []).append(_Texts(rule, frozenset(rule.allow)))
    known = {
        (pcr, new(covered).digest()): _KnownText(
            covered, next(r.rule.name for r in rules if r.allows(text))
        )
        for pcr, rules in texts.items()
        if pcr not in BOOT_PCRS | set(profile.pinned) | set(profile.by_pcr)
        for each in rules
        for text in each.rule.allow
        if (covered := covered_text(text))
    }
    claims = {key: rule.name for key, rule in profile.by_digest.items()}
    separators = frozenset(new(s).digest() for s in SEPARATORS)
    quoted = frozenset(profile.selection.pcrs)
    return _Asked(profile, claims, separators, quoted, texts, known)


def judged_events(log: BootLog, profile: FirmwareProfile) -> Iterator[JudgedEvent]:
    """Every event of `log`, judged by checks 3 and 4 of `appraise`. That the log is the one that a
    TPM vouched for, the caller MUST know: nothing is replayed here.
    """
    asked, column = _asked_of(profile), log.column(profile.selection.bank)
    return (_judged(event, column, asked) for event in log.events)


def event_failures(log: BootLog, profile: FirmwareProfile) -> list[Failure]:
    """Checks 3 and 4 of `appraise`, on a log that was replayed, or that somebody wants an opinion
    on.
    """
    failures: list[Failure] = []
    met: set[str] = set()
    asked, column = _asked_of(profile), log.column(profile.selection.bank)
    for event in log.events:
        name = _named(event, column, asked)
        if name is not None:
            met.add(name)
            continue
        judged = _judged(event, column, asked)
        if judged.failure is not None:
            failures.append(judged.failure)
        elif judged.by:
            met.add(judged.by)
    return failures + absent_events(profile, met)


def absent_events(profile: FirmwareProfile, met: set[str]) -> list[Failure]:
    """What the profile demands and no event is; `met` are the rules that claimed one."""
    failures = [
        Failure(
            Reason.EVENT_ABSENT,
            f"{rule.name} in PCR {rule.pcr}: "
            + " or ".join(d.hex() for d in sorted(rule.digests or ())),
            "absent",
            "the machine did not start this, or started something else in its place",
        )
        for rule in profile.rules
        if rule.required and rule.name not in met
    ]
    failures += [
        Failure(
            Reason.EVENT_ABSENT,
            f"{t.name} in PCR {t.pcr}",
            "absent",
            "the boot loader measured no such text",
        )
        for t in profile.texts
        if t.required and t.name not in met
    ]
    return failures


def _named(event: BootEvent, column: int, asked: _Asked) -> str | None:
    """The rule that `_judged` says knows it, where its digest tells that at once, as of most."""
    if event.type == NO_ACTION:
        return None
    key = (event.pcr, event.digests[column])
    name = asked.claims.get(key)
    if name is not None:
        return name
    text = asked.known.get(key)
    return text.rule if text is not None and says(event.data, text.covered) else None


def _judged(event: BootEvent, column: int, asked: _Asked) -> JudgedEvent:
    pcr = event.pcr
    if event.type == NO_ACTION or pcr == NEVER_EXTENDED:
        return JudgedEvent(event, Known.UNMEASURED)
    digest = event.digests[column]
    if pcr not in asked.quoted:
        failure = Failure(
            Reason.EVENT_UNCLAIMED,
            "measurements in quoted PCRs only",
            f"event {event.number} in PCR {pcr}",
            "quote that PCR in the profile",
        )
        return JudgedEvent(event, Known.NOTHING, failure=failure)
    rule = asked.profile.claim(pcr, digest)
    if rule is not None:
        return JudgedEvent(event, Known.RULE, rule.name)
    if digest in asked.separators and pcr < 8:
        return JudgedEvent(event, Known.SEPARATOR)
    if pcr in asked.profile.pinned:
        return JudgedEvent(event, Known.PINNED)
    return _by_content(event, column, asked)


def _by_content(event: BootEvent, column: int, asked: _Asked) -> JudgedEvent:
    """An event that no digest claims, by what its digest covers."""
    profile = asked.profile
    bank = profile.selection.bank
    if event.pcr == 1:
        name = boot_variable(event, bank, column)
        if name is not None and any(
            matches(name, n, digits=True) for v in profile.variables for n in v.names
        ):
            return JudgedEvent(event, Known.CONTENT)
    if event.pcr == 7 and _judged_by_secure_boot(event, profile, column):
        return JudgedEvent(event, Known.CONTENT)  # which hashes it must hold is check 5
    rules = asked.texts.get(event.pcr, ())
    text = bound_text(event, bank, column) if rules else None
    if text is None:
        failure = _unclaimed(event, column, profile)
        return JudgedEvent(event, Known.NOTHING, failure=failure)
    for each in rules:
        if each.allows(text):
            return JudgedEvent(event, Known.TEXT, each.rule.name)
    failure = Failure(
        Reason.COMMAND_LINE,
        f"in PCR {event.pcr}: {' or '.join(r.rule.name for r in rules)}",
        text[:300],
        "a changed boot command? sign a profile that allows it",
    )
    return JudgedEvent(event, Known.NOTHING, failure=failure)


def _judged_by_secure_boot(event: BootEvent, profile: FirmwareProfile, column: int) -> bool:
    """Whether it is a variable that check 5 reads."""
    rules = profile.secure_boot
    if rules.dbx_minimum is None and rules.sbat_minimum is None:
        return False
    variable = bound_variable(event, profile.selection.bank, column)
    called = (variable.vendor, variable.name) if variable is not None else None
    if called == (IMAGE_SECURITY, "dbx"):
        return rules.dbx_minimum is not None
    return called == (SHIM_LOCK, "SbatLevel") and rules.sbat_minimum is not None


def _unclaimed(event: BootEvent, column: int, profile: FirmwareProfile) -> Failure:
    names = ", ".join(r.name for r in profile.rules if r.pcr == event.pcr) or "no event"
    return Failure(
        Reason.EVENT_UNCLAIMED,
        f"in PCR {event.pcr}: {names}",
        f"event {event.number} ({event.type_name}) {event.digests[column].hex()}",
        "if this firmware is meant to run, sign a profile that lists it; if not, restore the"
        " machine and attest again",
    )
