"""N114, N123: verdicts at a line that are late, forged or of others, and whatever dies."""

from dataclasses import replace

import pytest

from framegate.errors import FramegateError
from framegate.identity.certificates import Purpose, from_ms
from framegate.signed.decision import Decision, verify_decision
from framegate_line.credentials import load_credentials
from framegate_line.ledger import NOT_TAKEN
from support.line import CAM1, CAM2


async def test_n114_n123_no_verdict_in_time_diverts_and_a_late_pass_is_never_sent(bench_line):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM1))
    b.now += 1000
    b.adapter.verdict(b.verdict(CAM2))
    assert await b.settled() == ["UNINSPECTED"]
    row = b.ledger.latest(1)[0]
    assert (row.outcome, row.reason) == ("UNINSPECTED", "timeout") and b.ledger.counts().late == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw2")),
        lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw1", Purpose.DEVICE, "device-ca")),
        lambda b: b.verdict(CAM1, by=b.signer("gateway.line-1.gw1", Purpose.VERDICT, "broker-ca")),
        lambda b: b.verdict(CAM1, issued_at_ms=b.now - 60_000, valid_until_ms=b.now - 30_000),
        lambda b: b.verdict(CAM1, zone="line-2"),
        lambda b: b.verdict("camera.line-1.cam9"),
        lambda b: b.verdict(CAM1, gateway="gateway.line-2.gw1", by=b.signer("gateway.line-2.gw1")),
        lambda b: b.verdict(CAM1)[:-9],
        lambda b: b"",
        lambda b: b"\xff" * 99,
        lambda b: b.verdict(CAM1).replace(b'"sig":"M', b'"sig":"N'),
        lambda b: b.verdict(CAM1, outcome="OK"),
    ],
)
async def test_n114_verdicts_that_are_forged_replayed_or_of_others_change_nothing(
    bench_line, forge
):
    b = bench_line
    b.trigger()
    b.adapter.verdict(b.verdict(CAM2))
    b.adapter.verdict(forge(b))
    assert await b.settled() == [] and b.adapter.refused == 1


async def test_n114_a_verdict_for_another_part_opens_nothing(bench_line):
    b = bench_line
    b.trigger(1)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera, sequence=2))
        b.adapter.verdict(b.verdict(camera, part="p1", trigger_sequence=2))
    assert await b.settled() == []


async def test_n123_after_a_kill_nothing_old_passes_and_nothing_is_lost(bench_line):
    b = bench_line
    for sequence in (1, 2, 3):
        b.trigger(sequence)
    for camera in (CAM1, CAM2):
        b.adapter.verdict(
            b.verdict(camera, 1)
        )  # decided in the ledger; the process dies before its output has it
    b.adapter.verdict(b.verdict(CAM1, 2))
    for task in b.adapter._tasks:
        task.cancel()
    b.adapter._tasks.clear()
    b.ledger.close()
    b.now += 500
    b.open()
    await b.adapter.settle()
    assert await b.settled() == ["PASS"], "in time: handed over again, it is the same decision"
    b.adapter.verdict(b.verdict(CAM2, 2))
    assert await b.settled() == ["PASS", "PASS"], "a part within its time waits on"
    b.ledger.close()
    b.now += 5_000
    b.open()
    await b.adapter.settle()
    assert await b.settled() == ["PASS", "PASS", "UNINSPECTED"]
    assert (
        b.ledger.latest(10)[0].outcome
        and b.ledger.counts().reasons == {"restarted": 1}
        and b.ledger.counts().waiting == 0
    )


async def test_n123_a_pass_that_was_not_handed_over_in_time_stays_here(bench_line):
    b = bench_line
    b.trigger()
    b.adapter._spawn = lambda work: work.close()
    for camera in (CAM1, CAM2):
        b.adapter.verdict(b.verdict(camera))
    b.ledger.close()
    b.now += 1000
    b.open()
    await b.adapter.settle()
    assert await b.settled() == [] and b.ledger.latest(1)[0].emitted == NOT_TAKEN


@pytest.mark.parametrize(
    "change",
    [
        {"line": "press-8"},
        {"outcome": "GO"},
        {"verdicts": ()},
        {"reason": "x"},
        {"valid_until_ms": 1},
        {"valid_until_ms": 2**40},
        {"issued_at_ms": 2**43, "valid_until_ms": 2**43 + 5},
    ],
)
def test_n114_decisions_that_a_diverter_refuses(bench_line, change):
    b = bench_line
    good = Decision("d", "press-7", "p", "t", 1, 0, "PASS", "", ("v",), b.now, b.now + 1000)
    credentials = load_credentials(b.folder, "press-7")

    def check(decision: Decision) -> Decision:
        return verify_decision(
            decision.seal(credentials.der, credentials.sign),
            "press-7",
            b.fleet.intermediates,
            b.fleet.root.certificate,
            from_ms(b.now),
        )

    assert check(good) == good
    with pytest.raises(FramegateError):
        check(replace(good, **change))
    other = b.signer("line.press-7", Purpose.VERDICT)
    with pytest.raises(FramegateError):
        verify_decision(
            good.seal(other.der, other.sign),
            "press-7",
            b.fleet.intermediates,
            b.fleet.root.certificate,
            from_ms(b.now),
        )
