"""Certificates that people bring by hand, told by whoever uses them before they end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate_console.certificate import brought
from framegate_controller.ca.template import LIVES
from framegate_host.certificate_end import AGAIN, AHEAD, SHARE, BroughtCertificate, Life, tell_end
from framegate_line.credentials import Credentials
from framegate_operator.doctor import EARLIER_SOON_MS, SOON_MS
from framegate_segment.credentials import EnforcerCredentials
from support.monitoring import folder_of, issued

NOW = datetime(2027, 1, 15, tzinfo=UTC)


def lives(left: timedelta, days: int = 90, now: datetime = NOW) -> Life:
    """A life of that many days of which so much is left."""
    return Life(now + left - timedelta(days=days), now + left)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=30), ""),
        (timedelta(days=30, seconds=-1), "ends in 29 days, 2027-02-13 23:59 UTC: do this"),
        (timedelta(), "has ended, 2027-01-15 00:00 UTC: do this"),
        (timedelta(days=-3), "has ended, 2027-01-12 00:00 UTC: do this"),
    ],
    ids=["far", "soon", "now", "past"],
)
def test_it_is_told_from_its_last_days_on(left, told):
    one = BroughtCertificate("line.press-7", lambda: lives(left), "do this")
    said = one.said(NOW)
    assert said == (f"the certificate of line.press-7 {told}" if told else "")


@pytest.mark.parametrize(
    ("days", "soon"),
    [(3650, 30), (90, 30), (89, 89 / 3), (30, 10), (1, 1 / 3)],
)
def test_it_is_told_thirty_days_ahead_and_a_short_one_in_its_last_third(days, soon):
    assert abs(lives(timedelta(days=1), days).soon / timedelta(days=1) - soon) < 1e-6


async def test_it_is_told_at_once_and_again_every_day(monkeypatch, caplog):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise TimeoutError

    monkeypatch.setattr("framegate_host.certificate_end.asyncio.sleep", sleep)
    ends = iter([timedelta(days=1), timedelta(days=80), timedelta(days=-1)])
    one = BroughtCertificate("x", lambda: lives(next(ends), now=datetime.now(UTC)), "y")
    with pytest.raises(TimeoutError):
        await tell_end(one)
    assert slept == [AGAIN.total_seconds()] * 3
    assert [r.getMessage().split()[4:6] for r in caplog.records] == [
        ["ends", "in"],
        ["has", "ended,"],
    ]


def test_a_line_and_an_enforcer_say_the_command_that_mends_it():
    key = ec.generate_private_key(ec.SECP256R1())
    line = Credentials(Path("x"), key, issued("line.press-7")[1], None, ())
    assert "line-certificate press-7 --out" in line.brought.do
    own = issued("enforcer.line-1.switch-1")[1]
    enforcer = EnforcerCredentials("enforcer.line-1.switch-1", "line-1", key, own, None, None)
    assert "enforcer-certificate switch-1 --zone line-1 --out" in enforcer.brought.do
    for one in (line, enforcer):
        assert one.brought.said(datetime.now(UTC)) == "", "an hour's, at its beginning"
        assert "ends in 0 days" in one.brought.said(datetime.now(UTC) + timedelta(minutes=50))


@pytest.mark.parametrize("purpose", [Purpose.LINE, Purpose.ENFORCER, Purpose.SERVER])
def test_what_is_carried_is_told_thirty_days_ahead_and_has_twice_as_long_without_a_word(purpose):
    life = Life(NOW, NOW + LIVES[purpose])
    assert life.soon == AHEAD == timedelta(days=30) == timedelta(milliseconds=SOON_MS)
    assert LIVES[purpose] == SHARE * AHEAD


def test_one_of_an_earlier_version_lived_thirty_days():
    assert lives(timedelta(), 30).soon == timedelta(milliseconds=EARLIER_SOON_MS)


def test_the_consoles_is_told_and_the_next_one_ends_it(tmp_path, caplog):
    folder_of(tmp_path, issued("console"), b"")
    (tmp_path / "metrics.pem").rename(tmp_path / "console.pem")
    one = brought(tmp_path)
    assert "ends in 0 days" in one.said(datetime.now(UTC) + timedelta(minutes=50))
    assert one.said(datetime.now(UTC)) == ""
    before = one.life()
    (tmp_path / "console.pem").write_text("no certificate")
    assert one.life() == before and "no good any more" in caplog.text
