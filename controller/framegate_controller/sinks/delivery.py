"""What a sink is to its process: it takes a batch, or says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from framegate_controller.sinks.messages import Answer, Refusal


class SinkFailed(Exception):
    """Nothing was confirmed now; another time it may be. `retry_s` is the pause asked for."""

    def __init__(self, why: str, retry_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_s = retry_s


class SinkRefused(Exception):
    """The sink will not have what it was sent, however often it is sent."""


def json_bytes(value: Any) -> bytes:
    """JSON in one line, nothing but ASCII: no sink's parser meets a byte it may not like."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Outgoing:
    """An entry on its way: its id, its index, its event."""

    uid: str
    index: int
    device: str
    event: dict[str, Any]

    @cached_property
    def body(self) -> bytes:
        """The event as one line of JSON."""
        return json_bytes(self.event)


class SinkDriver(Protocol):
    """One connection to a sink. Whatever goes wrong in it may be closed and opened anew."""

    def deliver(self, batch: Sequence[Outgoing]) -> None:
        """Send `batch`; return once the sink has confirmed every one of them.

        Raises SinkFailed, SinkRefused.
        """

    def close(self) -> None:
        """Let go of it."""


def delivered(driver: SinkDriver, batch: Sequence[Outgoing]) -> Answer:
    """The answer to a batch: where the sink refuses it, its halves are sent by themselves, until
    those that it refuses are known.

    A sink that refuses every one has no dead letters: it is not the entries that are wrong.
    """
    first = batch[0].index
    confirmed, refusals, failure = first, list[Refusal](), None
    parts = [tuple(batch)]
    while parts:
        part = parts.pop()
        try:
            driver.deliver(part)
        except SinkRefused as error:
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                continue
            refusals.append(Refusal(part[0].index, part[0].index, 1, str(error)))
        except SinkFailed as error:
            failure = error
            break
        confirmed = part[-1].index + 1
    if len(refusals) == len(batch) and refusals:
        return Answer(confirmed=first, failed=f"refused: {refusals[0].why}", wholly=True)
    kept = tuple(r for r in refusals if r.last < confirmed)
    if failure is None:
        return Answer(confirmed=confirmed, refusals=kept)
    return Answer(
        confirmed=confirmed,
        refusals=kept,
        failed=str(failure) or type(failure).__name__,
        retry_s=failure.retry_s,
    )
