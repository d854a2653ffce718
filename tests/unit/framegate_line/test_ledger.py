"""The ledger of a line."""

import pytest

from framegate.errors import Unavailable
from framegate_line.ledger import Ledger, PartKey
from framegate_line.rules import Trigger


def test_two_adapters_of_one_ledger(bench_line):
    with pytest.raises(Unavailable):
        Ledger(bench_line.folder / "ledger.db", "press-7")


def test_a_reader_beside_the_adapter(bench_line):
    bench_line.ledger.open_part(Trigger("p", "t", 1), 1, 2)
    beside = Ledger(bench_line.folder / "ledger.db", "press-7", reading=True)
    assert beside.waiting(PartKey("p", 1)) and beside.latest(5)[0].outcome == ""
    beside.close()
