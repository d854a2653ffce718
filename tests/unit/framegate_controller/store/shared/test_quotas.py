"""What one machine may ask for, by a clock that was ahead."""

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.store.shared.quotas import InMemoryDeviceQuota, MachineRates
from framegate_controller.timing import Timing

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    "asks", [lambda q, at: q.look("cam1", 1, at), lambda q, at: q.take("cam1", 1, at)]
)
def test_a_machine_that_used_up_its_share_by_a_clock_ahead_is_kept_out_no_longer_for_it(asks):
    """It asked often meanwhile, as its gateway could not use what it was given."""
    timing = Timing(60_000)
    quota, rates = InMemoryDeviceQuota(MachineRates.of(timing)), MachineRates.of(timing)
    for _ in range(int(rates.calls.burst)):
        quota.take("cam1", 1, HOUR_MS)
    with pytest.raises(Refused) as refused:
        asks(quota, 0)
    assert refused.value.reason == Reason.TOO_MANY_TRIES
    asks(quota, int(1000 / rates.calls.per_s) + 1)
