"""What passed or did not, as an enforcer reports it and as a map reads it: a closed text of names
that the policy has, and no word of a stranger's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.findings.kinds import FindingKind
from framegate.segment.refusal import SPOOFED, Told, Verdict, Why

ANY: Final = "*"
"""For a port where too many were tried to tell them apart, or where there is none; for a zone,
an interface of none.
"""
_NAME: Final = r"[a-zA-Z0-9*][a-zA-Z0-9._*-]{0,40}"
_TEXT: Final = re.compile(
    rf"(allow|drop|would-drop|observed) ({_NAME}|-) ({_NAME})>({_NAME}) "
    r"(\S{1,12}) ([a-z-]{1,20})"
)
_PORT: Final = re.compile(r"(?:(?:tcp|udp)/[0-9]{1,5})|[a-z0-9*]{1,8}")
KINDS: Final = {
    Verdict.ALLOW: FindingKind.SEGMENT_FLOW,
    Verdict.OBSERVED: FindingKind.SEGMENT_FLOW,
    Verdict.WOULD_DROP: FindingKind.SEGMENT_WOULD_REFUSE,
    Verdict.DROP: FindingKind.SEGMENT_REFUSED,
}
FLOW_KINDS: Final = frozenset({*KINDS.values(), FindingKind.SEGMENT_SPOOFED})


@dataclass(frozen=True, slots=True)
class FlowKey:
    """Packets of one fate, between two zones, to one port (`tcp/7443`, another protocol's name, or
    `*`).
    """

    told: Told
    source: str
    destination: str
    port: str

    @property
    def kind(self) -> FindingKind:
        """What it is reported as."""
        spoofed = self.told.why in SPOOFED and self.told.verdict is not Verdict.OBSERVED
        return FindingKind.SEGMENT_SPOOFED if spoofed else KINDS[self.told.verdict]

    @property
    def text(self) -> str:
        """As it stands in a finding's reason."""
        told = self.told
        return (
            f"{told.verdict} {told.where} {self.source}>{self.destination} {self.port} {told.why}"
        )

    @classmethod
    def parse(cls, text: str) -> FlowKey:
        """What `text` wrote. Raises Malformed (SEGMENT)."""
        matched = _TEXT.fullmatch(text)
        if matched is None or matched[6] not in set(Why) or not _PORT.fullmatch(matched[5]):
            raise Malformed.of(Reason.SEGMENT, "a flow as an enforcer writes it", ascii(text)[:80])
        told = Told(Verdict(matched[1]), matched[2], Why(matched[6]))
        return cls(told, matched[3], matched[4], matched[5])
