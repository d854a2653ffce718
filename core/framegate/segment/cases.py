"""Tests of a segment's policy: given who is trusted, which connection passes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.segment.policy import Segment, Transport
from framegate.segment.ruling import Connection, DeviceStanding, Ruling, endpoint, rule

_KEYS: Final = frozenset({"name", "segment", "trust", "from", "to", "port", "expect", "by"})
_NEEDED: Final = frozenset({"from", "to", "port", "expect"})
_EXPECTED: Final = ("allow", "drop", "would-drop", "observed")
_PORT: Final = re.compile(r"(tcp|udp)/([1-9][0-9]{0,4})")
FORM: Final = (
    '{"name": …, "segment": …, "trust": {DEVICE: STATE}, "from": …, "to": …, "port": "tcp/7443", '
    '"expect": "allow", "drop", "would-drop" or "observed", "by": CONDUIT}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What a case expected and what came; `by` is the conduit that decided, or `-`."""

    name: str
    expected: str
    actual: str
    by: str
    because: str
    good: bool


def run_segment_case(
    segments: Mapping[str, Segment], case: Mapping[str, Any], where: str
) -> CaseResult:
    """One test. Raises Malformed (SEGMENT) where it is none."""
    if not isinstance(case, Mapping) or not _KEYS >= set(case) >= _NEEDED:
        raise Malformed.of(Reason.SEGMENT, f"a test case: {FORM}", where)
    if case["expect"] not in _EXPECTED:
        raise Malformed.of(Reason.SEGMENT, f"expect: {', '.join(_EXPECTED)}", where)
    segment = chosen_segment(segments, str(case.get("segment", "")))
    ruling = ruling_for(segment, trust_of_case(case.get("trust", {}), where), case)
    expected, actual, by = case["expect"], ruling.told.verdict.value, ruling.told.where
    wanted_by = case.get("by", "")
    return CaseResult(
        name=str(case.get("name", where)),
        expected=expected + (f" by {wanted_by}" if wanted_by else ""),
        actual=actual,
        by=by,
        because=ruling.because,
        good=actual == expected and wanted_by in {"", by},
    )


def ruling_for(
    segment: Segment, standings: Mapping[str, DeviceStanding], asked: Mapping[str, Any]
) -> Ruling:
    """What `segment` says to `from`, `to` and `port` of `asked`. Raises Malformed."""
    source, destination = (endpoint(segment, str(asked[end])) for end in ("from", "to"))
    transport, port = port_of(str(asked["port"]))
    connection = Connection(source=source, destination=destination, transport=transport, port=port)
    return rule(segment, standings, connection)


def chosen_segment(segments: Mapping[str, Segment], name: str) -> Segment:
    """The segment `name`, or the only one. Raises Malformed (USAGE), Refused (NOT_FOUND) where the
    policy has none.
    """
    if not name and len(segments) == 1:
        return next(iter(segments.values()))
    if name not in segments:
        if not segments:
            raise Refused.of(
                Reason.NOT_FOUND,
                "a policy with segments",
                "none in it",
                "write segments.toml beside it, then: framegate segment apply",
            )
        wanted = f"a segment of {', '.join(sorted(segments))}"
        raise Malformed.of(Reason.USAGE, wanted, name or "none named", "--segment NAME")
    return segments[name]


def port_of(text: str) -> tuple[Transport, int]:
    """(transport, port) of tcp/7443. Raises Malformed (USAGE)."""
    matched = _PORT.fullmatch(text)
    if matched is None or int(matched[2]) > 65_535:
        raise Malformed.of(Reason.USAGE, "a port as tcp/7443 or udp/123", ascii(text)[:40])
    return Transport(matched[1]), int(matched[2])


def trust_of_case(given: object, where: str) -> dict[str, DeviceStanding]:
    """Device to state, as a case gives it. Raises Malformed (SEGMENT)."""
    if not isinstance(given, Mapping) or any(type(v) is not str for v in given.values()):
        raise Malformed.of(Reason.SEGMENT, 'trust: {"camera.line-1.cam1": "trusted"}', where)
    return {str(device): DeviceStanding(state=state) for device, state in given.items()}


def example_cases(segment: Segment) -> list[dict[str, Any]]:
    """For every conduit: what it lets through where all are trusted, and what it does not where
    nobody is. A beginning, to be changed.
    """
    cases: list[dict[str, Any]] = []
    everybody = {b.device: "trusted" for b in segment.bindings if b.device}
    for conduit in segment.conduits.values():
        ends = {
            "from": next((b.label for b in segment.bindings if b.zone == conduit.source), ""),
            "to": next((b.label for b in segment.bindings if b.zone == conduit.destination), ""),
        }
        if not all(ends.values()):
            continue
        asked = {**ends, "port": f"{conduit.transport}/{conduit.port}", "segment": segment.name}
        for trust, what in ((everybody, "all are trusted"), ({}, "nobody is")):
            try:
                states = {d: DeviceStanding(state=s) for d, s in trust.items()}
                verdict = ruling_for(segment, states, asked).told.verdict.value
            except FramegateError:
                continue
            name = f"{conduit.name} where {what}"
            cases.append({"name": name, "trust": trust, **asked, "expect": verdict})
    return cases
