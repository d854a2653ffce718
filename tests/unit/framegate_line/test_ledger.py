"""The ledger of a line."""

import sqlite3

import pytest

from framegate.errors import Reason, Unavailable
from framegate.findings.kinds import FindingKind
from framegate.signed.statement import Outcome
from framegate_line.ledger import KEPT_MS, NOT_SENT, NOT_TAKEN, SENT, Ledger
from framegate_line.ledger_rows import Retention
from framegate_line.rules import PartKey, Ruling, Trigger
from framegate_simulators.fixtures.frames import passed

PASSED = Ruling(Outcome.PASS)


def test_two_adapters_of_one_ledger(bench_line):
    with pytest.raises(Unavailable):
        Ledger(bench_line.folder / "ledger.db", "press-7")


def test_a_reader_beside_the_adapter(bench_line):
    bench_line.ledger.open_part(Trigger("p", "t", 1), 1, 1, 2)
    beside = Ledger(bench_line.folder / "ledger.db", "press-7", reading=True)
    assert beside.latest_of(PartKey("p", "t", 1)) and beside.latest(5)[0].outcome == ""
    beside.close()


DAY_MS = 86_400_000
KEEP = Retention(90 * DAY_MS, 2**30)


def _decided(ledger, sequence, entered_ms, ruling=PASSED, state=SENT):
    part = ledger.open_part(Trigger("p", "t", sequence), entered_ms, entered_ms, entered_ms + 1)
    ledger.view(part, passed(entered_ms, verdict_id=f"v{sequence}"), entered_ms)
    ledger.decide(part, ruling, entered_ms)
    if state != NOT_SENT:
        ledger.emitted(part, state)
    return part


def _tables(ledger):
    return [
        ledger._db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        for name in ("parts", "views", "late")
    ]


def test_n149_parts_views_and_late_verdicts_go_by_age_and_stay_in_the_counts(bench_line):
    ledger, now = bench_line.ledger, 10**13
    old = now - 91 * DAY_MS
    _decided(ledger, 1, old)
    _decided(ledger, 2, old, Ruling(Outcome.UNINSPECTED, "timeout"), NOT_TAKEN)
    _decided(ledger, 3, now - 89 * DAY_MS)
    ledger.note_late(passed(old), "past the deadline", old)
    ledger.note_late(passed(now), "past the deadline", now)
    before = ledger.counts()
    assert ledger.prune(now, KEEP) == 3 and ledger.prune(now, KEEP) == 0
    assert _tables(ledger) == [1, 1, 1]
    after = ledger.counts()
    assert after.outcomes == before.outcomes == {"PASS": 2, "UNINSPECTED": 1}
    assert after.reasons == {"timeout": 1} and (after.late, after.pruned) == (2, 2)


def test_n149_what_is_not_over_never_goes(bench_line):
    """An open part and a decision that was not handed over are needed, whatever their age."""
    ledger, now = bench_line.ledger, 10**13
    ledger.open_part(Trigger("p", "t", 1), 1, 1, 2)
    _decided(ledger, 2, 1, state=NOT_SENT)
    _decided(ledger, 3, now - KEPT_MS + 1)
    assert ledger.prune(now, Retention(1, 0)) == 0
    assert len(ledger.left_open()) == 1 and len(ledger.left_unsent()) == 1
    assert ledger.newest("p", 3), "a trigger that is delivered twice must be known for an hour"


@pytest.mark.slow
def test_n149_over_its_quota_the_oldest_go_first_and_the_file_grows_no_more(bench_line):
    ledger, now = bench_line.ledger, 10**13
    for number in range(1500):
        _decided(ledger, number, now - KEPT_MS - 10_000 + number)
    used = ledger.fill().used
    rule = Retention(90 * DAY_MS, used // 2)
    while ledger.prune(now, rule):
        pass
    fill = ledger.fill()
    assert fill.used <= used // 2 and 0 < _tables(ledger)[0] < 1500
    assert fill.oldest_ms > now - KEPT_MS - 10_000
    assert ledger.newest("p", 1499) and not ledger.newest("p", 0)
    assert ledger.counts().outcomes == {"PASS": 1500}


async def test_n149_it_is_told_before_anything_goes(bench_line, caplog):
    b = bench_line
    for number in range(50):
        _decided(b.ledger, number, b.now)
    quota = int(b.ledger.fill().used / 0.85)
    b.adapter.keeper._retention = Retention(90 * DAY_MS, quota)
    heard = []
    b.adapter.report = lambda kind, reason, said: heard.append((kind, reason, said))
    b.adapter.keeper.tell_fill()
    b.adapter.keeper.tell_fill()
    assert [r.levelname for r in caplog.records] == ["WARNING"], "once, while it is so"
    assert [h[:2] for h in heard] == [(FindingKind.STORE_FILLING, Reason.STORE_QUOTA)]
    assert "the ledger uses" in heard[0][2], "whoever is responsible hears it from the record"
    assert (
        "copy it before" in caplog.text and b.ledger.prune(b.now, b.adapter.keeper._retention) == 0
    )


def test_n149_a_flood_of_late_verdicts_pushes_no_part_out(bench_line, monkeypatch):
    monkeypatch.setattr("framegate_line.ledger.MAX_LATE", 10)
    ledger, now = bench_line.ledger, 10**13
    _decided(ledger, 1, now - DAY_MS)
    for _ in range(25):
        ledger.note_late(passed(now), "no trigger came for it", now)
    assert ledger.prune(now, KEEP) == 15
    assert _tables(ledger) == [1, 1, 10] and ledger.counts().late == 25


def test_a_ledger_of_another_version_is_never_guessed_at(tmp_path):
    path = tmp_path / "l.db"
    with sqlite3.connect(path) as old:
        old.execute("CREATE TABLE parts (line TEXT, part TEXT, sequence INTEGER)")
    for reading in (True, False):
        with pytest.raises(Unavailable):
            Ledger(path, "press-7", reading=reading)
