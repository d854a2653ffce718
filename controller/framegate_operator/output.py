"""How the operator's commands speak: tables, times in words, errors with the next command,
notices.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate_host import console
from framegate_host.console import safe, talk
from framegate_operator.tables import (
    OUTCOME_STYLE,
    STATE_STYLE,
    data,
    short_id,
    shortened,
    show_table,
)

__all__ = [
    "OUTCOME_STYLE",
    "STATE_STYLE",
    "ago",
    "ago_ms",
    "counted",
    "data",
    "errors",
    "failure_json",
    "in_words",
    "moment_ms",
    "notice",
    "seconds_of",
    "short_id",
    "shortened",
    "show_table",
    "until",
]
_NOTICES: list[str] = []
"""What the controller wants everybody to know; told once, after what was asked for."""
_NEXT: Final = {
    Reason.UNAVAILABLE: "framegate fleet",
    Reason.NOT_FOUND: "framegate camera list",
    Reason.CERTIFICATE: "framegate login NAME",
    Reason.UNAUTHENTICATED: "framegate login NAME",
    Reason.CERTIFICATE_EXPIRED: "framegate login NAME",
    Reason.SIGNED_OUT: "framegate login NAME",
    Reason.SIGN_IN: "framegate login NAME",
    Reason.WRONG_ROLE: "framegate whoami",
    Reason.POLICY_DENIED: "framegate whoami",
    Reason.APPROVAL_NEEDED: "framegate access list",
    Reason.FACTOR_NEEDED: "framegate login --again",
    Reason.POLICY_INVALID: "framegate policy validate DIR",
    Reason.AUDIT: "framegate audit verify FILE --root FILE",
    Reason.PROFILE_INVALID: "framegate profile lint FILE",
    Reason.PROFILE_MISSING: "framegate profile list",
    Reason.PROFILE_KIND: "framegate profile list",
    Reason.TRANSITION: "framegate camera why NAME",
    Reason.ZONE_FROZEN: "framegate zone list",
    Reason.SITE_BUNDLE: "framegate site show NAME",
    Reason.SITE_UNKNOWN: "framegate site list",
    Reason.SITE_WITHDRAWN: "framegate site list",
    Reason.LOCKED: "framegate login NAME",
    Reason.RECEIPT: "framegate receipt show ID",
    Reason.EXPORT: "framegate data status",
    Reason.VAULT: "framegate data status",
    Reason.INTERNAL: "framegate fleet",
}
"""What to run next where the failure itself names no command."""


def notice(text: str) -> None:
    """Remember something that everybody should know."""
    for line in text.splitlines():
        if line not in _NOTICES:
            _NOTICES.append(line)


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """As `console.errors`, each failure with the next command; then what everybody should know."""
    try:
        with console.errors(following=_NEXT):
            yield
    finally:
        while _NOTICES:
            line = _NOTICES.pop(0)
            urgent = line.startswith("BREAK-GLASS")
            talk.print(f"[bold red]{safe(line)}[/]" if urgent else f"[dim]{safe(line)}[/]")


def failure_json(failure: Any) -> dict[str, str]:
    """A failure as data: ours, or as the wire carries it."""
    return {
        "reason": failure.reason,
        "expected": failure.expected,
        "actual": failure.actual,
        "hint": failure.hint,
    }


def counted(number: int, what: str) -> str:
    """So many of them, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def ago(ms: int) -> str:
    """How long ago, in words."""
    if not ms:
        return "never"
    return f"{span(max(0.0, time.time() - ms / 1000))} ago"


def span(seconds: float) -> str:
    """A time span in words: its largest unit."""
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def in_words(ms: int) -> str:
    """A remaining time, in words."""
    return f"{ms / 1000:.0f} s left" if ms else "none"


def until(ms: int) -> str:
    """How long still, in words: the two largest units."""
    seconds = round(ms / 1000 - time.time())
    if seconds <= 0:
        return "over"
    parts = [
        (n, unit)
        for n, unit in (
            (seconds // 86400, "d"),
            (seconds // 3600 % 24, "h"),
            (seconds // 60 % 60, "min"),
            (seconds % 60, "s"),
        )
    ]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{n} {unit}" for n, unit in parts[:2] if n) + " left"


_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d|w)")
_SECONDS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds_of(text: str) -> float:
    """A time span like 90s, 30m, 8h, 7d. Raises Malformed (USAGE)."""
    span = _SPAN.fullmatch(text.strip())
    if span is None:
        raise Malformed.of(Reason.USAGE, "a time span: 90s, 30m, 8h, 7d", ascii(text[:30]))
    return float(span[1]) * _SECONDS[span[2]]


def moment_ms(text: str) -> int:
    """Milliseconds since the epoch of a time span ago, or of a date with or without a time of day,
    of this place where it names no zone. Raises Malformed (USAGE).
    """
    if _SPAN.fullmatch(text.strip()):
        return ago_ms(text)
    try:
        return max(0, int(datetime.fromisoformat(text.strip()).astimezone().timestamp() * 1000))
    except (ValueError, OverflowError, OSError) as error:
        wanted = "a time span ago or a time: 90s, 8h, 7d, 2026-11-26, 2026-11-26T06:00"
        raise Malformed.of(Reason.USAGE, wanted, ascii(text[:30])) from error


def ago_ms(span: str) -> int:
    """Milliseconds since the epoch of a time span ago. Raises Malformed (USAGE)."""
    return int((time.time() - seconds_of(span)) * 1000)
