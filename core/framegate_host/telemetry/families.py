"""What a family of metrics is, and how one is declared: name, kind, labels with all their values.

A label's values are a closed list, or the ids of what was registered. No peer's word is ever one:
whatever is not on the list counts as `other`, so that nobody can make series (N151).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framegate.errors import Reason
from framegate_host.telemetry.listener_certificates import CERTIFICATES

OTHER: Final = "other"
"""What stands for every value that is not on a label's list."""
_NAME: Final = re.compile(r"framegate_[a-z][a-z0-9_]*")
_SUFFIX: Final = re.compile(r"_(total|seconds|bytes|info|ratio|timestamp_seconds)$")


class FamilyKind(StrEnum):
    """Kinds of metrics, with the exposition format's words as values."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A label. `values` are all it may have; None: ids of machines or zones, which the registry
    gave out and which whoever reads them takes from a list of what is registered.
    """

    name: str
    values: frozenset[str] | None

    def of(self, value: str) -> str:
        """`value` where it is one of this label's, else `other`."""
        return value if self.values is None or value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Family:
    """A family of metrics as it is declared. `buckets` are upper bounds, in seconds, of a
    histogram's. Raises ValueError where its name is not by Prometheus' conventions.
    """

    name: str
    kind: FamilyKind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        counts = self.name.endswith("_total")
        if not _NAME.fullmatch(self.name) or counts != (self.kind is FamilyKind.COUNTER):
            raise ValueError(f"{self.name} is no name of a {self.kind}")
        if self.kind is FamilyKind.HISTOGRAM and not (
            self.name.endswith("_seconds") and self.buckets
        ):
            raise ValueError(f"{self.name} is a histogram of no seconds")

    @property
    def closed(self) -> bool:
        """Whether all of its series are known beforehand."""
        return all(label.values is not None for label in self.labels)

    @property
    def unit(self) -> str:
        """What its values count, for people."""
        found = _SUFFIX.search(self.name)
        return found.group(1).replace("timestamp_seconds", "seconds since 1970") if found else ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of one series of a family, with its labels' values in the family's order."""

    family: Family
    value: float
    labels: tuple[str, ...] = ()


def each(family: Family, counts: Mapping[str, float]) -> list[Reading]:
    """A reading for each value that the only label of `family` can have: 0 where `counts` has none.

    A counter that appears with its first event has no increase there, and the alert never fires.
    """
    (label,) = family.labels
    told = dict.fromkeys(sorted(label.values or ()), 0.0)
    for value, count in counts.items():
        name = label.of(value)
        told[name] = told.get(name, 0.0) + count
    return [Reading(family, count, (name,)) for name, count in told.items()]


REASONS: Final = frozenset(r.value for r in Reason)
"""Every reason that anything of ours is refused with."""
BUILD: Final = Family(
    "framegate_build_info",
    FamilyKind.GAUGE,
    "Always 1; which version of which program this is.",
    (
        Label("program", frozenset({"agent", "controller", "gateway", "line"})),
        Label("version", None),  # our own
    ),
)
CHECK: Final = Family(
    "framegate_check_ok",
    FamilyKind.GAUGE,
    "1 where a check of /readyz holds, else 0.",
    (Label("check", None),),  # named in the program
)
SCRAPES_REFUSED: Final = Family(
    "framegate_scrapes_refused_total",
    FamilyKind.COUNTER,
    "Connections to this listener that were turned away because too many were open.",
)
CERTIFICATE_ENDS: Final = Family(
    "framegate_metrics_certificate_expiry_timestamp_seconds",
    FamilyKind.GAUGE,
    "When a certificate in this listener's folder ends; without a folder there is no series.",
    (Label("file", frozenset(CERTIFICATES)),),
)
SHARED: Final = (BUILD, CHECK, SCRAPES_REFUSED, CERTIFICATE_ENDS)
"""Families that every program has."""
