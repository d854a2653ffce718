"""The contract of a payload: what a source seals, what admission checks of it, what a model takes,
and what a verdict says.

What a frame's `encoding` says, `width`, `height` and a detection's box mean by the kind: of a
picture its pixels; of every other kind rows of `width` values, `height` of them, so that a box is
a stretch of some rows. The bytes of every kind but a picture begin with `MAGIC` and the number of
their encoding: what they are does not hang on the metadata alone.

A kind that is examined has one folder with three modules: `kind` (its `KIND`, for every process),
`sealing` (what the agent does) and `examining` (what the confined child does). A `Payload` is data
and pure; the agent's and the gateway's own processes load nothing that reads samples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

PICTURE_NAME: Final = "image"
"""What 0.1.0 wrote is of this kind; a verdict and a receipt of it do not say so."""
MAGIC: Final = b"FGEV"
"""How every payload begins that is no picture: neither JPEG nor PNG does."""
FIRST_OWN: Final = 128
"""Encodings from here on are for kinds that are not Framegate's own."""
MOST_UNCERTAIN_MS: Final = 1_000
"""What counts of a camera's own word on how uncertain its clock is: no more than a second, or it
could call any time now.
"""
POINTS, CHANNEL = "points", "channel"
"""What a mask's region names: a polygon of a picture, a row of anything else."""


class Payload(Protocol):
    """One kind of evidence."""

    @property
    def name(self) -> str:
        """Wire value, as verdicts, receipts and recipes have it."""

    @property
    def encodings(self) -> Mapping[int, str]:
        """Numbers in a frame's metadata, and how a file of each is called at its end."""

    @property
    def region(self) -> str:
        """`POINTS` or `CHANNEL`: which regions of masks are this kind's."""

    @property
    def most_age_ms(self) -> int:
        """How long before its admission a frame may have been captured; 0: nobody asks."""

    def require_claim(self, encoding: int, width: int, height: int) -> None:
        """That a frame may claim this much, before a byte of it is read. Raises Malformed or
        Refused.
        """


@runtime_checkable
class ExaminedPayload(Payload, Protocol):
    """A kind whose network takes a row of numbers and gives a score for each class. Pictures have
    networks of many shapes, and an inspection of their own.
    """

    @property
    def module(self) -> str:
        """The package with `kind`, `sealing` and `examining`."""

    def verify_input(self, body: Mapping[str, Any]) -> None:
        """That a recipe's `input` is one of this kind, complete and in range: `values` numbers
        come of it. Raises Malformed (MODEL).
        """

    def left(self, body: Mapping[str, Any], masked: Collection[str]) -> int:
        """Percent of what the recipe's `input` takes that `masked` leaves."""


class SealingModule(Protocol):
    """`sealing` of an examined kind, in the agent's capture child."""

    def filtered(self, data: bytes, masked: Collection[str]) -> bytes:
        """The payload with what is masked gone. Raises Malformed (PAYLOAD) where it is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a payload beside its bytes: the metadata's claims, what is masked in it, and
    whose it is.
    """

    width: int
    height: int
    masked: frozenset[str]
    camera: str
    part_type: str
    trigger_sequence: int
    captured_at_ms: int
    uncertainty_ms: int


class Examiner(Protocol):
    """What the confined child does with payloads of one kind for one recipe. `parsed` values are
    its own and opaque to whoever asks.
    """

    def parsed(self, data: bytes) -> Any:
        """The payload. Raises Malformed (PAYLOAD)."""

    def require_good(self, parsed: Any, golden: Any, asked: Asked) -> None:
        """The gate: what cannot be examined never passes. Raises Refused or Malformed."""

    def row(self, parsed: Any, golden: Any, masked: Collection[str]) -> Any:
        """The network's input, (values,) float32."""

    def box(self, parsed: Any, golden: Any, masked: Collection[str]) -> Sequence[float]:
        """Where a finding shows: [first value, first row, last value, row after the last]."""

    def varied(self, parsed: Any, at: float, by: float) -> Any:
        """The same thing as nobody has seen it, for known answers: `at` is drawn from [0, 1), `by`
        from [-1, 1].
        """

    def drawn(self, parsed: Any) -> Any:
        """A picture of it for people, (h, w) uint8."""


class ExaminingModule(Protocol):
    """`examining` of an examined kind, in the inference child."""

    def examiner(self, body: Mapping[str, Any]) -> Examiner:
        """For a recipe's `input`, which `verify_input` let pass."""
