"""A trusted camera that operators act on."""

import pytest

from framegate.machines.lifecycle import State
from framegate.record.entry import Act
from framegate.registry.device import Baseline, Standing, TlsKey
from framegate.tpm.attest import ClockInfo
from framegate_simulators.fixtures.access import camera_of

CAM = "camera.line-1.cam1"


@pytest.fixture
def trusted_camera(bench):
    """A trusted camera with a result, a certificate and a clock."""
    now = bench.clock()
    camera = camera_of(
        "cam1",
        State.TRUSTED,
        standing=Standing(result_id="r", result_ms=now, expires_ms=now + 60_000),
        tls=TlsKey(public=b"p", spki_sha256=b"s", certificate_expires_ms=now + 60_000),
        baseline=Baseline(clock=ClockInfo(1, 2, 3, True)),
    )
    with bench.store.writing() as tx:
        tx.devices.add(camera)
    return bench


def done(bench, change, *arguments):
    """`change` of the camera as anna, and the camera after it."""
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.anna")
        before = tx.revision()
        returned = change(tx, tx.devices.get(CAM), *arguments)
        raised = tx.revision() > before
    after = bench.device()
    assert returned == after
    return after, raised
