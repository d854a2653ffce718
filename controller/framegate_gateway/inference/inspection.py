"""What came of one frame: defects, and what second looks say of it beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from framegate.errors import Refused
from framegate.looks.fingerprint import Fingerprint, parse_fingerprint
from framegate.looks.kinds import Look
from framegate.looks.limits import Limit, Suspicion, parse_limits, suspicions
from framegate.signed.inspected import InspectedOf
from framegate.signed.receipt import BackendResult


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the model found, in how much of what. `defects`: [{kind, score, box}], best first.
    `looks`: (look, what it measured) of those that looked; `limits`: the part's; `suspicions`:
    looks that are past them; `backend`: what an attested model server signed, where one computed
    it; `fingerprint`: of the camera's sensor as known by now, while it is commissioned.
    """

    defects: tuple[dict[str, Any], ...]
    golden_sha256: str
    inspected_percent: int
    looks: tuple[tuple[Look, float], ...] = ()
    limits: tuple[Limit, ...] = ()
    suspicions: tuple[Suspicion, ...] = ()
    inspected_of: InspectedOf = InspectedOf.PICTURE
    backend: BackendResult | None = None
    fingerprint: Fingerprint | None = None

    @property
    def measured(self) -> Mapping[Look, float]:
        """What each look measured."""
        return dict(self.looks)

    @property
    def guarded_by(self) -> tuple[str, ...]:
        """Looks that the frame was held against, by name."""
        return tuple(sorted(one.look.value for one in self.limits if one.look in self.measured))


class Withheld(Refused):
    """A frame without a defect that may not PASS: a second look is past its limit. `inspection` is
    what was measured, for whoever follows the looks; it is no verdict.
    """

    inspection: Inspection

    @classmethod
    def after(cls, inspection: Inspection) -> Withheld:
        """With one failure for each look that is past its limit, each with its own reason."""
        error = cls([s.error().failures[0] for s in inspection.suspicions])
        error.inspection = inspection
        return error


def inspection_of(answer: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Inspection:
    """An answer of the child, which `answers.verify_answer` looked at, held against the limits of
    the part (`rows`), each look by itself.

    A look past its limit withholds a PASS: raises `Withheld`. A DEFECT stays one whatever the
    looks say, with its suspicions; none of them ever makes a frame pass.
    """
    limits = parse_limits(rows)
    looks = {Look(name): float(said) for name, said in answer["looks"].items()}
    inspection = Inspection(
        tuple(answer["defects"]),
        answer["golden_sha256"],
        answer["inspected"].percent,
        tuple(looks.items()),
        limits,
        suspicions(limits, looks),
        answer["inspected"].of,
        answer.get("backend"),
        parse_fingerprint(answer["fingerprint"]) if "fingerprint" in answer else None,
    )
    if inspection.suspicions and not inspection.defects:
        raise Withheld.after(inspection)
    return inspection
