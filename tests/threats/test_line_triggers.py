"""N128, N129: verdicts of another time, another type or another start of the PLC's count, and
permits that outlive their part.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError
from framegate.signed.statement import Verdict
from framegate_line.early import EARLY, EARLY_MS
from framegate_line.rules import (
    MATCH_SLACK_MS,
    REUSE_MS,
    EnteredPart,
    PartKey,
    Recurrence,
    Trigger,
    made_for,
    recurrence,
)
from framegate_simulators.fixtures.frames import passed
from support.line import CAM1, CAM2, RULES


async def test_n128_a_pass_that_ran_out_while_no_trigger_came_decides_nothing(bench_line):
    """The PLC was restarting; hours later its count reaches the number again."""
    b = bench_line
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 7))
    b.now += 3 * 3_600_000
    b.trigger(7, at_ms=b.now)
    assert await b.settled() == []
    assert not b.adapter._early and b.ledger.counts().late == 2
    assert b.ledger.counts().waiting == 1, "the part waits for its own verdicts, or diverts"


async def test_n128_a_verdict_from_before_its_part_decides_nothing(bench_line):
    b = bench_line
    early = [b.verdict(camera, 11) for camera in (CAM1, CAM2)]  # valid for thirty seconds
    b.now += MATCH_SLACK_MS + 1
    for envelope in early:
        b.adapter.verdict(envelope)  # a broker held them back: fresh here, not for this part
    b.trigger(11, at_ms=b.now)
    assert await b.settled() == [] and b.adapter.refused == 2
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 11))
    assert await b.settled() == ["PASS"], "its own verdicts decide it"


async def test_n128_nor_one_that_comes_when_the_part_waits(bench_line):
    b = bench_line
    old = b.verdict(CAM1, 1)
    b.now += MATCH_SLACK_MS + 1
    b.trigger(1, at_ms=b.now)
    b.adapter.verdict(old)
    b.adapter.verdict(b.verdict(CAM2, 1))
    assert await b.settled() == [] and b.adapter.refused == 1


async def test_n128_within_the_slack_an_early_verdict_counts(bench_line):
    b = bench_line
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 1))
    b.now += EARLY_MS - 1
    b.trigger(1, at_ms=b.now)
    assert await b.settled() == ["PASS"]


async def test_n128_early_verdicts_are_verified_again_when_the_trigger_comes(bench_line):
    """Alive when it came, run out when its trigger does, though it waited for a second only."""
    b = bench_line
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 1, valid_until_ms=b.now + 500))
    b.now += 1000
    b.trigger(1, at_ms=b.now)
    assert await b.settled() == [] and b.adapter.refused == 2 and b.ledger.counts().late == 2


async def test_n128_so_is_the_certificate_of_their_gateway(bench_line):
    b = bench_line
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 1))
    b.adapter._credentials = replace(b.adapter._credentials, authorities=())
    b.trigger(1)
    assert await b.settled() == [] and b.adapter.refused == 2


async def test_n128_time_alone_evicts_early_verdicts(bench_line):
    b = bench_line
    b.adapter.verdict(b.verdict(CAM1, 1))
    b.adapter.evict(b.now + EARLY_MS - 1)
    assert len(b.adapter._early) == 1
    b.adapter.evict(b.now + EARLY_MS)
    assert not b.adapter._early and b.ledger.counts().late == 1
    b.adapter.verdict(b.verdict(CAM1, 2))
    b.adapter.evict(b.now - 1)
    assert not b.adapter._early, "a clock that was set back does not make them wait longer"


async def test_n128_and_their_number_is_bounded(bench_line):
    b = bench_line
    for sequence in range(EARLY + 5):
        b.adapter.verdict(b.verdict(CAM1, sequence))
    assert len(b.adapter._early) == EARLY and b.ledger.counts().late == 5


async def test_n129_a_verdict_on_another_part_type_decides_nothing(bench_line):
    b = bench_line
    b.adapter.trigger(Trigger("p9", "board-8-SAFETY", 9, b.now))
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 9))  # they say part type t
    assert await b.settled() == []
    b.now += RULES.deadline_ms
    b.adapter.verdict(b.verdict(CAM1, 9, part_type="board-8-SAFETY"))
    assert await b.settled() == ["UNINSPECTED"]


async def test_n129_early_verdicts_of_another_type_wait_for_another_trigger(bench_line):
    b = bench_line
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 9))
    b.adapter.trigger(Trigger("p9", "board-8-SAFETY", 9, b.now))
    assert await b.settled() == []


async def test_n129_a_decision_names_type_and_time_of_its_trigger(bench_line):
    b = bench_line
    b.trigger(4, at_ms=b.now)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 4))
    await b.settled()
    decision, _ = b.output.decisions[0]
    assert (decision.part_type, decision.triggered_at_ms) == ("t", b.now)


async def test_n128_a_count_that_starts_again_makes_new_parts(bench_line):
    """Hours later the same part number under the same sequence: a part of its own, which waits for
    verdicts of its own.
    """
    b = bench_line
    b.trigger(7, at_ms=b.now)
    old = [b.verdict(camera, 7) for camera in (CAM1, CAM2)]
    for envelope in old:
        b.adapter.verdict(envelope)
    assert await b.settled() == ["PASS"]
    b.now += REUSE_MS
    b.trigger(7, at_ms=b.now)
    for envelope in old:
        b.adapter.verdict(envelope)
    assert await b.settled() == ["PASS"], "the old verdicts are of the old part"
    b.adapter.verdict(b.verdict(CAM1, 7, outcome="DEFECT"))
    assert await b.settled() == ["PASS", "DEFECT"]
    assert b.ledger.counts().outcomes == {"PASS": 1, "DEFECT": 1} and b.adapter.duplicates == 0
    assert b.output.expected == [7, 7], "outputs are told before: what permits that number ends"


async def test_n128_verdicts_that_overtake_the_trigger_of_a_reused_number_count(bench_line):
    b = bench_line
    b.trigger(7, at_ms=b.now)
    b.adapter.verdict(b.verdict(CAM1, 7, outcome="DEFECT"))
    await b.settled()
    b.now += REUSE_MS
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 7))
    b.trigger(7, at_ms=b.now)
    assert await b.settled() == ["DEFECT", "PASS"]


@pytest.mark.parametrize("again", [{}, {"part_type": "u"}])
async def test_n128_a_number_that_comes_again_too_soon_diverts_both_parts(bench_line, again):
    """A verdict could be of either part: it decides neither."""
    b = bench_line
    b.trigger(7, at_ms=b.now)
    b.adapter.verdict(b.verdict(CAM1, 7))
    b.now += 500
    b.adapter.trigger(replace(Trigger("p7", "t", 7, b.now), **again))
    for kind in ("t", "u"):
        for camera in (CAM1, CAM2):
            b.adapter.verdict(b.verdict(camera, 7, part_type=kind))
    assert await b.settled() == ["UNINSPECTED", "UNINSPECTED"]
    assert b.ledger.counts().reasons == {"trigger-reused": 2}


async def test_n128_so_it_does_where_the_first_part_is_decided(bench_line):
    b = bench_line
    b.trigger(7, at_ms=b.now)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 7))
    assert await b.settled() == ["PASS"]
    b.now += REUSE_MS - 1
    b.trigger(7, at_ms=b.now)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 7))
    assert await b.settled() == ["PASS", "UNINSPECTED"]


async def test_n128_a_second_trigger_without_a_time_of_its_own_passes_nothing(bench_line):
    """It may be the first one brought again or the next part: a verdict could be of either."""
    b = bench_line
    b.trigger(7)
    b.adapter.verdict(b.verdict(CAM1, 7))
    b.now += 1
    b.trigger(7)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, 7))
    assert await b.settled() == ["UNINSPECTED", "UNINSPECTED"]
    assert b.ledger.counts().reasons == {"trigger-reused": 2}


async def test_n123_a_trigger_that_the_broker_brings_again_is_the_same_part(bench_line):
    """However late, where it says when it was; and after a restart of the adapter too."""
    b = bench_line
    entered = b.now
    b.trigger(7, at_ms=entered)
    b.adapter.verdict(b.verdict(CAM1, 7, outcome="DEFECT"))
    assert await b.settled() == ["DEFECT"]
    b.ledger.close()
    b.now += 3_000_000
    b.open()
    b.trigger(7, at_ms=entered)
    assert await b.settled() == ["DEFECT"] and b.adapter.duplicates == 1


def _part(**changes) -> EnteredPart:
    return replace(EnteredPart(1, PartKey("p1", "t", 1), 10**12, 10**12, 10**12, 10**12), **changes)


@pytest.mark.parametrize(
    ("before", "trigger", "after_ms", "is_"),
    [
        ({}, {"at_ms": 10**12}, 10**7, Recurrence.SAME),
        ({}, {"at_ms": 10**12 + 1}, 1, Recurrence.TOO_SOON),
        ({}, {"at_ms": 10**12 + REUSE_MS}, REUSE_MS, Recurrence.ANOTHER),
        ({"at_ms": 0}, {"at_ms": 0}, 100, Recurrence.TOO_SOON),
        ({"at_ms": 0}, {"at_ms": 0}, RULES.hold_ms, Recurrence.TOO_SOON),
        ({"at_ms": 0}, {"at_ms": 0}, REUSE_MS, Recurrence.ANOTHER),
        ({"at_ms": 5}, {"at_ms": 5}, REUSE_MS, Recurrence.ANOTHER),  # a clock that stands still
        ({}, {"at_ms": 10**12, "part_type": "u"}, 1, Recurrence.TOO_SOON),
        ({}, {"at_ms": 0}, 100, Recurrence.TOO_SOON),
        ({"at_ms": 0}, {"at_ms": 10**12}, 100, Recurrence.TOO_SOON),
        ({}, {"at_ms": 0}, -REUSE_MS, Recurrence.TOO_SOON),
    ],
)
def test_n128_what_a_trigger_is_to_the_part_before(before, trigger, after_ms, is_):
    again = replace(Trigger("p1", "t", 1), **trigger)
    assert recurrence(RULES, _part(**before), again, 10**12 + after_ms) == is_


_VERDICT = passed(10**12, part="p1", part_type="t", trigger_sequence=1)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "part": st.sampled_from(["p1", "p2"]),
            "part_type": st.sampled_from(["t", "T", ""]),
            "trigger_sequence": st.sampled_from([1, 2]),
            "issued_at_ms": st.integers(10**12 - 2 * MATCH_SLACK_MS, 10**12 + MATCH_SLACK_MS),
        },
    )
)
def test_n128_n129_only_the_very_part_in_its_own_time(changes):
    verdict: Verdict = replace(_VERDICT, **changes)
    mine = (verdict.part, verdict.part_type, verdict.trigger_sequence) == ("p1", "t", 1)
    try:
        made_for(_part(), verdict)
    except FramegateError:
        assert not mine or verdict.issued_at_ms < 10**12 - MATCH_SLACK_MS
    else:
        assert mine and verdict.issued_at_ms >= 10**12 - MATCH_SLACK_MS
