"""What people said of verdicts afterwards, out of the record: the review set, and escapes and false
calls of each line. It trains nothing by itself: models come through their own chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.signed.statement import Outcome

REVIEWED: Final = "verdict-reviewed"


@dataclass(frozen=True, slots=True)
class Review:
    """One person's word on a verdict: entry `index` of the record, by `reviewer`. `right`: the
    verdict was so.
    """

    index: int
    at_ms: int
    reviewer: str
    verdict_id: str
    camera: str
    zone: str
    part_type: str
    outcome: str
    reason: str
    right: bool
    note: str


@dataclass(frozen=True, slots=True)
class LineFigures:
    """Of one zone: verdicts that were `reviewed`; `escapes` passed and were bad; `false_calls` were
    called DEFECT and were good; `withheld_good` were not inspected to the end, or withheld by a
    second look, and were good.
    """

    zone: str
    reviewed: int
    escapes: int
    false_calls: int
    withheld_good: int


def reviews_of(entries: Iterable[Mapping[str, Any]]) -> list[Review]:
    """The last word on each verdict, in the order of the record: who thinks again says it again,
    and both stand there.
    """
    last: dict[str, Review] = {}
    for entry in entries:
        if entry.get("event") == REVIEWED:
            review = _review(entry)
            last.pop(review.verdict_id, None)
            last[review.verdict_id] = review
    return list(last.values())


def _review(entry: Mapping[str, Any]) -> Review:
    said = entry["members"]
    return Review(
        entry["index"],
        entry["at_ms"],
        str(entry.get("actor", "")),
        said["verdict_id"],
        str(entry.get("device", "")),
        said["line"],
        said["part_type"],
        said["outcome"],
        said.get("because", ""),
        bool(said["right"]),
        said.get("note", ""),
    )


def figures_of(reviews: Iterable[Review]) -> list[LineFigures]:
    """By zone, in order of names. A rejected UNINSPECTED says that the part was good."""
    by_zone: dict[str, list[Review]] = {}
    for review in reviews:
        by_zone.setdefault(review.zone, []).append(review)
    return [
        LineFigures(
            zone,
            len(own),
            _wrong(own, Outcome.PASS),
            _wrong(own, Outcome.DEFECT),
            _wrong(own, Outcome.UNINSPECTED),
        )
        for zone, own in sorted(by_zone.items())
    ]


def _wrong(reviews: Iterable[Review], outcome: Outcome) -> int:
    return sum(not review.right and review.outcome == outcome for review in reviews)
