"""What controller and a sink's process say to each other: JSON after its length, one at a time.

Neither believes the other's sizes; the controller believes nothing that a sink's process says but
that entries of the batch it was given were confirmed, or refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from framegate.errors import Malformed, Reason
from framegate.ocsf.logged import OcsfVersion
from framegate.registry.sink import SinkKind

LENGTH_BYTES: Final = 4
"""Big-endian, before every message."""
BATCH_ENTRIES: Final = 500
"""Of one batch: what a process that dies at the worst moment sends again."""
BATCH_BYTES: Final = 256 * 1024
"""Of a batch's entries, but for its last: as OCSF some three times that, below the megabyte that
collectors take at once.
"""
MAX_MESSAGE: Final = 2 * 1024 * 1024
"""Of one message either way: a batch whose every byte JSON has to escape."""
MAX_WHY: Final = 300
"""Characters of what a sink says is wrong."""
_FAULTS: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
)
MAX_RETRY_S: Final = 300.0
"""What a sink may ask for as a pause: a header must not silence it for a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSetup:
    """What a sink's process has to know. `folder` holds its credentials, and a file sink's file.
    `unconfined`: serve it although the kernel cannot confine the process.
    """

    name: str
    kind: SinkKind
    address: str
    channel: str
    version: OcsfVersion
    fleet: str
    folder: str
    unconfined: bool = False

    def marshal(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises Malformed."""
        try:
            body = json.loads(raw)
            kind, version = SinkKind(body.pop("kind")), OcsfVersion(body.pop("version"))
            return cls(kind=kind, version=version, **body)
        except _FAULTS as error:
            raise _malformed("a sink's setup", error) from error


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """An entry as it was logged, and how many restorations came before it."""

    raw: bytes
    restorations: int = 0


def batch_message(entries: Sequence[BatchEntry]) -> bytes:
    """A batch as JSON."""
    return json.dumps([[e.raw.decode(), e.restorations] for e in entries]).encode()


def parse_batch(raw: bytes) -> tuple[BatchEntry, ...]:
    """What `batch_message` wrote. Raises Malformed."""
    try:
        return tuple(BatchEntry(text.encode(), int(n)) for text, n in json.loads(raw))
    except _FAULTS as error:
        raise _malformed("a batch of entries", error) from error


@dataclass(frozen=True, slots=True)
class Refusal:
    """Of the entries `first` to `last` of a batch the sink refused `count`, for good."""

    first: int
    last: int
    count: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a batch that began at `first` and had `size` entries.

    `confirmed` is the index after the last entry that was confirmed or refused; `refusals` are
    those refused among them. `failed` says why there are not more; `wholly` that the sink refuses
    everything it is sent. `retry_s` is the pause it asked for.
    """

    confirmed: int
    refusals: tuple[Refusal, ...] = ()
    failed: str = ""
    wholly: bool = False
    retry_s: float = 0.0

    def marshal(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, raw: bytes, first: int, size: int) -> Self:
        """The answer to a batch of `size` entries from `first` on.

        1. it is JSON of these members and types;
        2. `confirmed` lies within the batch, and below its end only where it says what failed;
        3. refusals lie within what is confirmed, in order, each of 1 to as many entries as it
           spans, and not of the whole of a batch of more than one.

        Raises Malformed.
        """
        try:
            body: Mapping[str, Any] = json.loads(raw)
            refusals = tuple(
                Refusal(_int(r["first"]), _int(r["last"]), _int(r["count"]), _why(r["why"]))
                for r in body["refusals"]
            )
            answer = cls(
                confirmed=_int(body["confirmed"]),
                refusals=refusals,
                failed=_why(body["failed"]),
                wholly=body["wholly"] is True,
                retry_s=_pause(body["retry_s"]),
            )
        except _FAULTS as error:
            raise _malformed("a sink's answer", error) from error  # 1
        if not first <= answer.confirmed <= first + size:  # 2
            raise _malformed(f"a cursor of {first} to {first + size}", str(answer.confirmed))
        if answer.confirmed < first + size and not answer.failed:
            raise _malformed("the whole batch, or what failed", str(answer.confirmed))
        answer._require_refusals(first, size)  # 3
        return answer

    def _require_refusals(self, first: int, size: int) -> None:
        at, refused = first, 0
        for r in self.refusals:
            if not (
                at <= r.first <= r.last < self.confirmed and 0 < r.count <= r.last - r.first + 1
            ):
                raise _malformed(f"refusals within {at} to {self.confirmed - 1}", str(r))
            at, refused = r.last + 1, refused + r.count
        if size > 1 and refused >= size:
            raise _malformed("refusals of a part of the batch", f"{refused} of {size}")


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value


def _pause(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise TypeError("a number of seconds")
    return min(max(float(value), 0.0), MAX_RETRY_S)


def _why(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("a text")
    return "".join(c if c.isprintable() else " " for c in value)[:MAX_WHY]


def _malformed(wanted: str, came: object) -> Malformed:
    return Malformed.of(Reason.MALFORMED, wanted, f"{came!r:.120}")
