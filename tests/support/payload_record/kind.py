"""What every process knows of records."""

from typing import ClassVar

from framegate.errors import Malformed, Reason
from framegate.payload.contract import CHANNEL, FIRST_OWN

MAX_COLUMNS = 32


class RecordKind:
    """See `ExaminedPayload`: one row of columns, each once."""

    name = "record"
    encodings: ClassVar = {FIRST_OWN: "record"}
    region = CHANNEL
    most_age_ms = 60_000
    module = "support.payload_record"

    def require_claim(self, encoding, width, height):
        if not 1 <= width <= MAX_COLUMNS or height != 1:
            raise Malformed.of(Reason.PAYLOAD, "a record of 1 to 32 columns", f"{width}x{height}")

    def verify_input(self, body):
        columns = body.get("columns") if isinstance(body, dict) else None
        if (
            not isinstance(columns, list)
            or set(body) != {"name", "values", "columns"}
            or body["values"] != len(columns)
            or not all(isinstance(name, str) for name in columns)
        ):
            raise Malformed.of(Reason.MODEL, "a record's input: name, values, columns", body)

    def left(self, body, masked):
        return 100 * sum(name not in masked for name in body["columns"]) // len(body["columns"])


KIND = RecordKind()
