"""Shares that controllers of one database count together."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.store import postgres_quotas
from framegate_controller.store.postgres_quotas import (
    PostgresBeginQuota,
    PostgresDeviceQuota,
    Shares,
)
from framegate_controller.store.shared import quotas
from framegate_controller.store.shared.quotas import BEGINS, EVIDENCE_BYTES, MachineRates
from framegate_controller.timing import Timing
from framegate_host.token_buckets import Rate
from support.bench import Bench
from support.clock import Clock
from support.refusals import refused, refused_with

pytestmark = pytest.mark.slow

RATES = MachineRates(Rate(6, 1), Rate(1_000, 100))
HERE = "ipv4:10.0.0.7"
CAM = "camera.line-1.cam1"


@pytest.fixture
def shares(new_database, opened) -> list[Shares]:
    """Of two controllers on one database."""
    address = new_database()
    return [Shares(opened(address).engines) for _ in range(2)]


def rows(shares: Shares) -> int:
    with shares._engines.aside() as c:
        return int(c.exec_driver_sql("SELECT count(*) FROM quota_levels").scalar_one())


def good(call) -> bool:
    try:
        call()
    except Refused:
        return False
    return True


def test_n210_a_machine_has_one_share_at_all_controllers(shares):
    one, other = (PostgresDeviceQuota(s, RATES) for s in shares)
    for number in range(6):
        (one, other)[number % 2].take(CAM, 10, 1_000)
    for quota in (one, other):
        assert refused(lambda q=quota: q.take(CAM, 10, 1_000)) == Reason.TOO_MANY_TRIES
        assert refused(lambda q=quota: q.look(CAM, 10, 1_000)) == Reason.TOO_MANY_TRIES
    other.take("camera.line-1.cam2", 10, 1_000)  # another's share is its own
    other.take(CAM, 10, 2_000)  # and a second later one more has come back, for both
    assert refused(lambda: one.take(CAM, 10, 2_000)) == Reason.TOO_MANY_TRIES


def test_n210_so_are_its_bytes_and_what_is_refused_costs_nothing(shares):
    one, other = (PostgresDeviceQuota(s, RATES) for s in shares)
    one.take(CAM, 700, 0)
    with pytest.raises(Refused, match="MiB of evidence"):
        other.take(CAM, 400, 0)
    other.take(CAM, 300, 0)
    assert refused(lambda: one.take(CAM, 1, 0)) == Reason.TOO_MANY_TRIES
    one.take(CAM, 100, 1_000)


def test_n210_of_many_at_once_at_several_controllers_none_is_more_than_there_is(shares):
    quotas = [PostgresDeviceQuota(s, RATES) for s in shares]
    with ThreadPoolExecutor(6) as pool:
        calls = [lambda q=quotas[n % 2]: q.take(CAM, 1, 5_000) for n in range(24)]
        assert sum(pool.map(good, calls)) == 6


def test_n210_challenges_for_one_ek_and_network_count_together(shares):
    one, other = (PostgresBeginQuota(s) for s in shares)
    for number in range(int(BEGINS.burst)):
        (one, other)[number % 2].begin(b"a", HERE, 0)
    for quota in (one, other):
        assert refused(lambda q=quota: q.begin(b"a", HERE, 0)) == Reason.TOO_MANY_TRIES
    other.begin(b"b", HERE, 0)
    other.begin(b"a", "ipv4:10.0.0.8", 0)  # whoever knows the EK takes nothing from its owner
    one.begin(b"a", HERE, 2_000)


def test_whoever_has_used_its_share_up_asks_the_database_nothing_more(shares, monkeypatch):
    quota = PostgresDeviceQuota(shares[0], RATES)
    for _ in range(6):
        quota.take(CAM, 0, 0)
    monkeypatch.setattr(Shares, "take", lambda *_: pytest.fail("asked"))
    with refused_with(Refused, Reason.TOO_MANY_TRIES):
        quota.take(CAM, 0, 0)


def test_shares_that_are_full_again_are_forgotten(shares, monkeypatch):
    monkeypatch.setattr(postgres_quotas, "CLEAR_EVERY", 4)
    quota = PostgresBeginQuota(shares[0], Rate(2, 1))
    for number in range(3):
        quota.begin(b"%d" % number, HERE, 0)
    assert rows(shares[0]) == 3
    quota.begin(b"later", HERE, 10_000)
    assert rows(shares[0]) == 1


def test_a_clock_that_is_set_an_hour_back_keeps_nobody_waiting_for_it(shares):
    hour = 3_600_000
    one, other = (PostgresDeviceQuota(s, RATES) for s in shares)
    for _ in range(6):
        one.take(CAM, 0, hour)
    for quota in (one, other):
        assert refused(lambda q=quota: q.take(CAM, 0, 0)) == Reason.TOO_MANY_TRIES
    other.take(CAM, 0, 1_100)


def test_the_largest_evidence_is_within_a_share(shares):
    quota = PostgresDeviceQuota(shares[0], MachineRates.of(Timing()))
    quota.take(CAM, int(EVIDENCE_BYTES.burst), 0)
    with pytest.raises(Refused) as caught:
        quota.take(CAM, 65_536, 0)
    assert "24 MiB" in str(caught.value) and caught.value.failures[0].hint == "wait 2 s"


def test_n210_a_second_controller_refuses_what_the_first_has_used_up(
    founded_on_postgres, keys, maker, monkeypatch
):
    monkeypatch.setattr(quotas, "ATTESTATIONS", 4.0)
    clock = Clock()
    store = founded_on_postgres(clock)
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=clock, controller="controller-1")
    one, other = (Bench(store, fleet, maker) for _ in range(2))
    forge = one.enrol()
    for bench in (other, one, other):
        assert bench.attest(forge).state == "trusted"
    for bench in (one, other):
        assert refused(lambda b=bench: b.attest(forge)) == Reason.TOO_MANY_TRIES
    clock.pass_s(15)
    assert one.attest(forge).state == "trusted"
    store.close()
