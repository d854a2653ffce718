"""All that a gateway has to know, in one snapshot."""

from framegate_controller.rpc.trust import to_trust_update
from support.bus import snapshot

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"


def test_a_snapshot_holds_all_that_a_gateway_has_to_know(bench, bus):
    bench.enrol("cam2")
    told = to_trust_update(snapshot(bench))
    assert (
        told.snapshot
        and told.HasField("access")
        and told.HasField("parts")
        and told.access.policy
        and not told.access.grace
    )
    assert sorted(d.device for d in told.devices) == [CAMERA, "camera.line-1.cam2"]
    trust = next(d for d in told.devices if d.device == CAMERA)
    device = bench.device()
    assert (
        trust.state == "trusted"
        and trust.result_id == device.standing.result_id
        and trust.spki_sha256 == device.tls.spki_sha256
    )
    assert 0 < trust.remaining_ms <= bench.fleet.timing.result_life_ms
    assert (
        trust.evidence_sha256 == device.standing.evidence_sha256
        and trust.firmware_profile == device.standing.profile
    )
    assert list(told.access.authorities) == bench.fleet.keys.authorities
    assert not snapshot(bench, "line-2").devices
