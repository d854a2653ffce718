"""A record as bytes: the magic, its encoding, and JSON with sorted names."""

import json
import math

from framegate.errors import Malformed, Reason
from framegate.payload.contract import FIRST_OWN, MAGIC

HEAD = MAGIC + bytes([FIRST_OWN])


def marshal_record(columns):
    return HEAD + json.dumps(columns, sort_keys=True, separators=(",", ":")).encode()


def parse_record(data):
    try:
        columns = json.loads(data[len(HEAD) :]) if data.startswith(HEAD) else None
        numbers = all(type(v) in {int, float} and math.isfinite(v) for v in columns.values())
    except (ValueError, AttributeError, RecursionError) as error:
        raise Malformed.of(Reason.PAYLOAD, "a record", type(error).__name__) from error
    if not numbers or marshal_record(columns) != data:
        raise Malformed.of(Reason.PAYLOAD, "a record of numbers, in its one encoding", len(data))
    return columns
