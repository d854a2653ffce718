"""Certificates that people bring by hand, told by whoever uses them before they end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate_console.certificate import SOON, brought
from framegate_controller.ca.template import LIVES
from framegate_host.certificate_end import AGAIN, BroughtCertificate, tell_end
from framegate_line.credentials import SOON as LINE_SOON
from framegate_line.credentials import Credentials
from framegate_operator.doctor import DEPLOYED_SOON_MS
from framegate_segment.credentials import SOON as ENFORCER_SOON
from framegate_segment.credentials import EnforcerCredentials
from support.monitoring import folder_of, issued

NOW = datetime(2027, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (timedelta(days=10), ""),
        (timedelta(days=10, seconds=-1), "ends in 9 days, 2027-01-24 23:59 UTC: do this"),
        (timedelta(), "has ended, 2027-01-15 00:00 UTC: do this"),
        (timedelta(days=-3), "has ended, 2027-01-12 00:00 UTC: do this"),
    ],
    ids=["far", "soon", "now", "past"],
)
def test_it_is_told_from_its_last_days_on(left, told):
    one = BroughtCertificate("line.press-7", lambda: NOW + left, timedelta(days=10), "do this")
    said = one.said(NOW)
    assert said == (f"the certificate of line.press-7 {told}" if told else "")


async def test_it_is_told_at_once_and_again_every_day(monkeypatch, caplog):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise TimeoutError

    monkeypatch.setattr("framegate_host.certificate_end.asyncio.sleep", sleep)
    ends = iter([timedelta(days=1), timedelta(days=400), timedelta(days=-1)])
    one = BroughtCertificate("x", lambda: datetime.now(UTC) + next(ends), timedelta(days=9), "y")
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
        assert "ends in 0 days" in one.brought.said(datetime.now(UTC))


def test_what_is_carried_is_told_in_the_last_third_of_its_life():
    for purpose, soon in ((Purpose.LINE, LINE_SOON), (Purpose.ENFORCER, ENFORCER_SOON)):
        assert soon == LIVES[purpose] / 3 == timedelta(milliseconds=DEPLOYED_SOON_MS)


def test_the_consoles_is_told_thirty_days_ahead_and_the_next_one_ends_it(tmp_path, caplog):
    folder_of(tmp_path, issued("console"), b"")
    (tmp_path / "metrics.pem").rename(tmp_path / "console.pem")
    one = brought(tmp_path)
    assert "ends in 0 days" in one.said(datetime.now(UTC)) and one.soon == SOON
    assert one.said(datetime.now(UTC) - timedelta(days=31)) == ""
    before = one.ends()
    (tmp_path / "console.pem").write_text("no certificate")
    assert one.ends() == before and "no good any more" in caplog.text
