"""Reviews of verdicts: a person's word, on what a gateway of this fleet signed."""

from datetime import timedelta

import pytest

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.record.reviews import figures_of, reviews_of
from framegate.signed.statement import Verdict
from framegate.wire import sha256
from framegate_controller.rpc import reviews
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import passed
from framegate_simulators.fixtures.verbs import AllowedCaller
from support.refusals import refusal
from support.verdicts import MS, signer


@pytest.fixture
def desk(bench):
    bench.clock.now = MS + 1000
    return AllowedCaller(bench.store, bench.fleet, reviews.ROWS)


def sealed(keys, verdict: Verdict, **by) -> bytes:
    key = signer(keys, **by)
    return verdict.seal(key.der, key.sign)


def asked(envelope: bytes, *, right: bool = False, note: str = "cut open by hand"):
    return pb.ReviewVerdictRequest(verdict=envelope, right=right, note=note)


def test_a_word_on_a_verdict_stands_in_the_record(bench, desk):
    verdict = passed(MS)
    envelope = sealed(bench.keys, verdict)
    reply = desk.ask("ReviewVerdict", asked(envelope))
    assert (reply.verdict_id, reply.outcome) == (verdict.verdict_id, "PASS")
    (entry,) = bench.events("verdict-reviewed")
    said = entry["members"]
    assert entry["device"] == verdict.device
    assert said["sha256"] == sha256(envelope).hex() and not said["right"]
    assert (said["line"], said["outcome"], said["note"]) == ("line-1", "PASS", "cut open by hand")


def test_one_whose_certificate_is_long_over_counts_still(bench, desk):
    envelope = sealed(bench.keys, passed(MS), life=timedelta(minutes=1))
    bench.clock.now = MS + 30 * 86_400_000
    desk.ask("ReviewVerdict", asked(envelope))


@pytest.mark.parametrize(
    ("verdict", "by"),
    [
        (passed(MS), {"name": "gateway.line-1.other"}),
        (passed(MS), {"purpose": Purpose.GATEWAY}),
        (passed(MS + 3_600_000), {}),
        (passed(MS - 86_400_000), {}),
    ],
)
def test_what_no_gateway_of_the_fleet_signed_then_is_no_verdict(bench, desk, verdict, by):
    came = refusal(desk, "ReviewVerdict", asked(sealed(bench.keys, verdict, **by)))
    assert came in {Reason.VERDICT, Reason.CERTIFICATE}
    assert not bench.events("verdict-reviewed")


def test_a_changed_verdict_is_none(bench, desk):
    envelope = sealed(bench.keys, passed(MS))
    other = passed(MS, outcome="DEFECT").seal(signer(bench.keys).der, lambda _data: bytes(70))
    for one in (envelope[:-10], other, b"", b"{}"):
        assert refusal(desk, "ReviewVerdict", asked(one))
    assert refusal(desk, "ReviewVerdict", asked(envelope, note="n" * 501)) == Reason.USAGE
    assert not bench.events("verdict-reviewed")


def entry(index: int, identifier: str, outcome: str, *, right: bool, line: str = "line-1"):
    members = {"verdict_id": identifier, "line": line, "part_type": "b", "outcome": outcome}
    return {
        "index": index,
        "at_ms": index,
        "event": "verdict-reviewed",
        "actor": "operator.anna",
        "device": "camera.line-1.cam1",
        "members": {**members, "right": right, "because": "", "note": ""},
    }


def test_figures_count_the_last_word_of_each_verdict():
    entries = [
        entry(1, "a", "PASS", right=False),
        entry(2, "b", "DEFECT", right=False),
        {"event": "joined", "index": 3, "at_ms": 3},
        entry(4, "c", "DEFECT", right=True),
        entry(5, "b", "DEFECT", right=True),
        entry(6, "d", "UNINSPECTED", right=False, line="line-2"),
        entry(7, "e", "DEFECT", right=False, line="line-2"),
    ]
    said = reviews_of(entries)
    assert [(r.verdict_id, r.right) for r in said] == [
        ("a", False),
        ("c", True),
        ("b", True),
        ("d", False),
        ("e", False),
    ]
    one, two = figures_of(said)
    assert (one.zone, one.reviewed, one.escapes, one.false_calls, one.withheld_good) == (
        "line-1",
        3,
        1,
        0,
        0,
    )
    assert (two.zone, two.escapes, two.false_calls, two.withheld_good) == ("line-2", 0, 1, 1)
    assert figures_of([]) == []
