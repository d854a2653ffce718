"""Reads a playbook's TOML, strictly: what is misspelt is refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name
from framegate.playbooks.actions import NATURES, Action
from framegate.playbooks.playbook import ALWAYS, By, Cap, Mode, Never, Playbook, When
from framegate.playbooks.sighting import ROUTINE
from framegate.record.event import Severity
from framegate.record.events import events
from framegate.toml_text import parse_toml

MAX_BYTES: Final = 16 * 1024
"""A playbook is a page; whoever approves it reads all of it."""
MAX_SUMMARY: Final = 200
MAX_LISTED: Final = 32
"""Events, reasons or zones of one playbook."""
MAX_COUNT: Final = 1_000
MAX_CAP: Final = 1_000
"""Targets an hour without anybody's word; more is no response but an outage."""
MIN_COOLDOWN_MS: Final = 60_000
"""Between two runs about the same: without it an action's own consequence could run it again."""
MAX_TIME_MS: Final = 7 * 86_400_000
"""Windows and cooldowns: what is remembered for longer is remembered by nobody."""
_UNITS: Final = MappingProxyType({"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000})
_TIME: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_NOTHING: Final = "none: "
_KEYS: Final = ("name", "summary", "mode", "do", "cooldown", "never", "when", "cap", "undo")
_WHEN: Final = ("event", "reason", "severity", "zone", "count", "window", "by")
_OWN: Final = "playbook-"
"""Events of playbooks themselves: no playbook may wait for one, or two would run each other."""
T = TypeVar("T", bound=str)


def parse_playbook(text: str) -> Playbook:
    """The playbook in `text`.

    1. TOML of at most `MAX_BYTES`, with no key that is not known; 2. a name, a summary, a mode;
    3. `when`: declared events or a severity, known reasons, zones, a count in a window; no event of
    playbooks themselves; 4. `do`: actions of the closed set, each once; 5. `undo`: for each of them
    what undoes it, or `none: WHY` where nothing does; 6. `cap`: targets and percent of a zone an
    hour; 7. a cooldown of a minute or more; 8. `never`: all by default; break-glass and approvers
    cannot be left out. Raises Malformed (PLAYBOOK).
    """
    body = _table(text)  # 1
    when = _when(_section(body, "when"))  # 3
    do = _actions(body)  # 4
    return Playbook(
        name=parse_name(_string(body, "name", 40), "playbook"),  # 2
        summary=_string(body, "summary", MAX_SUMMARY),
        mode=_one(Mode, body.get("mode"), "mode"),
        when=when,
        do=do,
        undo=_undo(_section(body, "undo"), do),  # 5
        cap=_cap(_section(body, "cap")),  # 6
        cooldown_ms=_time(body.get("cooldown"), "cooldown", MIN_COOLDOWN_MS),  # 7
        never=_never(body),  # 8
        text=text,
    )


def _bad(expected: str, actual: object, hint: str = "") -> Malformed:
    return Malformed.of(
        Reason.PLAYBOOK, expected, ascii(actual)[:80], hint or "framegate playbook test FILE"
    )


def _table(text: str) -> Mapping[str, Any]:
    if len(text.encode()) > MAX_BYTES:
        raise _bad(f"a playbook of at most {MAX_BYTES} bytes", len(text.encode()))
    body = parse_toml(text, lambda e: _bad("TOML", str(e)[:60]))
    _no_others(body, _KEYS, "a playbook")
    return body


def _no_others(body: Mapping[str, Any], known: Sequence[str], of: str) -> None:
    if others := sorted(set(body) - set(known)):
        raise _bad(f"keys of {of}: {', '.join(known)}", ", ".join(others))


def _section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = body.get(name)
    if type(section) is not dict:
        raise _bad(f"a table [{name}]", section)
    return section


def _string(body: Mapping[str, Any], key: str, most: int) -> str:
    value = body.get(key)
    if type(value) is not str or not value.strip() or len(value) > most:
        raise _bad(f"{key}: a text of at most {most} characters", value)
    if not value.isprintable():
        raise _bad(f"{key}: one line that can be printed", value)
    return value


def _number(body: Mapping[str, Any], key: str, least: int, most: int, default: int = 0) -> int:
    value = body.get(key, default)
    if type(value) is not int or not least <= value <= most:
        raise _bad(f"{key}: {least} to {most}", value)
    return value


def _strings(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key, [])
    listed = (
        type(value) is list and len(value) <= MAX_LISTED and len(value) == len(set(map(str, value)))
    )
    if not listed or any(type(v) is not str for v in value):
        raise _bad(f"{key}: a list of at most {MAX_LISTED} texts, each once", value)
    return tuple(value)


def _one(kind: type[T], value: object, key: str) -> T:
    if type(value) is not str or value not in set(kind):  # type: ignore[call-overload]
        raise _bad(f"{key}: {', '.join(kind)}", value)  # type: ignore[arg-type]
    return kind(value)


def _time(value: object, key: str, least_ms: int) -> int:
    matched = _TIME.fullmatch(value) if type(value) is str else None
    millis = int(matched[1]) * _UNITS[matched[2]] if matched else 0
    if not least_ms <= millis <= MAX_TIME_MS:
        raise _bad(
            f"{key}: {least_ms // 1000}s to {MAX_TIME_MS // 86_400_000}d, as 10m or 2h", value
        )
    return millis


def _when(body: Mapping[str, Any]) -> When:
    _no_others(body, _WHEN, "[when]")
    names, reasons = _strings(body, "event"), _strings(body, "reason")
    for name in names:
        if name not in events() or name in ROUTINE or name.startswith(_OWN):
            raise _bad("event: of the record, no routine one, none of playbooks themselves", name)
    for reason in reasons:
        if reason not in set(Reason):
            raise _bad("reason: reasons that are known", reason, "docs/troubleshooting")
    if not names and "severity" not in body:
        raise _bad("[when] with events, or a severity", "neither")
    severities = {s.name.lower(): s for s in Severity}
    severity = body.get("severity", Severity.INFORMATIONAL.name.lower())
    if type(severity) is not str or severity not in severities:
        raise _bad(f"severity: {', '.join(severities)}", severity)
    count = _number(body, "count", 1, MAX_COUNT, 1)
    if count > 1 and "window" not in body:
        raise _bad(f"a window in which {count} of them come", "none")
    return When(
        events=frozenset(names),
        reasons=frozenset(reasons),
        severity=severities[severity],
        zones=frozenset(parse_name(z, "zone") for z in _strings(body, "zone")),
        count=count,
        window_ms=_time(body.get("window", "1h"), "window", 1_000),
        by=_one(By, body.get("by", By.DEVICE.value), "by"),
    )


def _actions(body: Mapping[str, Any]) -> tuple[Action, ...]:
    do = _strings(body, "do")
    if not do:
        raise _bad(f"do: some of {', '.join(Action)}", "nothing")
    return tuple(_one(Action, name, "do") for name in do)


def _undo(body: Mapping[str, Any], do: Sequence[Action]) -> Mapping[Action, str]:
    if set(body) != set(do):
        raise _bad(f"[undo] for exactly {', '.join(do)}", ", ".join(sorted(body)))
    for action in do:
        nature, said = NATURES[action], _string(body, action, MAX_SUMMARY)
        if nature.undo and said != nature.undo:
            raise _bad(f'{action} = "{nature.undo}", which undoes it', said)
        if not nature.undo and not said.removeprefix(_NOTHING).strip():
            raise _bad(f'{action} = "none: WHY"', said)
        if not nature.undo and not said.startswith(_NOTHING):
            raise _bad(f'{action} = "none: {nature.why_not}", as nothing undoes it', said)
    return MappingProxyType({a: str(body[a]) for a in do})


def _cap(body: Mapping[str, Any]) -> Cap:
    _no_others(body, ("devices", "share"), "[cap]")
    return Cap(_number(body, "devices", 1, MAX_CAP), _number(body, "share", 1, 100))


def _never(body: Mapping[str, Any]) -> frozenset[Never]:
    if "never" not in body:
        return frozenset(Never)
    never = frozenset(_one(Never, n, "never") for n in _strings(body, "never"))
    if not never.issuperset(ALWAYS):
        raise _bad(f"never: {', '.join(ALWAYS)} in any case", ", ".join(sorted(never)))
    return never
