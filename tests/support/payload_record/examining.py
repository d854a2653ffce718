"""What the confined child does: each column by how much it exceeds its golden."""

import numpy as np

from framegate.errors import Reason, Refused
from support.payload_record.form import parse_record


class RecordExaminer:
    """See `Examiner`."""

    def __init__(self, columns):
        self.columns = columns

    def parsed(self, data):
        return parse_record(data)

    def require_good(self, parsed, golden, asked):
        if sorted(parsed) != sorted(self.columns) or asked.width != len(self.columns):
            raise Refused.of(Reason.PAYLOAD, f"the columns {self.columns}", sorted(parsed))
        if any(parsed[name] for name in asked.masked & set(parsed)):
            raise Refused.of(Reason.MASK, "zeros in masked columns", "numbers")

    def row(self, parsed, golden, masked):
        return np.array(
            [0 if n in masked else parsed[n] / max(golden[n], 1e-9) for n in self.columns],
            np.float32,
        )

    def box(self, parsed, golden, masked):
        worst = int(self.row(parsed, golden, masked).argmax())
        return [float(worst), 0.0, float(worst + 1), 1.0]

    def varied(self, parsed, at, by):
        return {name: value * (1 + 0.02 * by) for name, value in parsed.items()}

    def drawn(self, parsed):
        return np.full((64, 256), 255, np.uint8)


def examiner(body):
    return RecordExaminer(body["columns"])
