"""Where parts are born, and a trigger's JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import strict_json
from framegate_line.rules import Trigger


class PartSource(Protocol):
    """Where parts are born: a PLC on the broker, a photo-eye, a test. `done` is called once a
    trigger is in the ledger.
    """

    def triggers(self) -> AsyncIterator[tuple[Trigger, Callable[[], None]]]:
        """Triggers as they come."""


def parse_trigger(payload: bytes) -> Trigger:
    """A trigger's JSON: {part, part_type, trigger_sequence, at_ms}, the last one optional. Raises
    Malformed.
    """
    body = strict_json(payload[:4096])
    members = {"part": str, "part_type": str, "trigger_sequence": int, "at_ms": int}
    if (
        type(body) is not dict
        or set(body) - set(members)
        or not {"part", "part_type", "trigger_sequence"} <= set(body)
    ):
        raise Malformed.of(
            Reason.MALFORMED,
            "a trigger {part, part_type, trigger_sequence, at_ms}",
            ascii(payload[:80]),
        )
    if any(type(body[m]) is not members[m] for m in body):
        raise Malformed.of(
            Reason.MALFORMED, "texts and whole numbers in a trigger", ascii(payload[:80])
        )
    return Trigger(body["part"], body["part_type"], body["trigger_sequence"], body.get("at_ms", 0))


def trigger_json(trigger: Trigger) -> bytes:
    """The JSON that `parse_trigger` reads."""
    return json.dumps(
        {
            "part": trigger.part,
            "part_type": trigger.part_type,
            "trigger_sequence": trigger.trigger_sequence,
            "at_ms": trigger.at_ms,
        }
    ).encode()
