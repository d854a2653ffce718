"""All that a gateway has to know, in one snapshot."""

from framegate_controller.events.notices import GrantsChanged
from framegate_controller.fleet.masks import set_masks
from framegate_controller.rpc.trust import to_trust_update
from support.bus import snapshot

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"
NOW = 0.05
SQUARE = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]


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


async def test_n147_masks_in_force_are_told_in_the_snapshot_and_at_once(bench, bus):
    assert [d.masks for d in snapshot(bench).devices] == [b""]
    with bus.feed("line-1") as mine, bus.feed("line-2") as others:
        with bench.store.writing() as tx:
            camera = tx.devices.get(CAMERA)
            masks = set_masks(tx, bench.fleet.keys, camera, ({"points": SQUARE},))
        await bus.publish((GrantsChanged(CAMERA),))
        (told,) = to_trust_update(await mine.next(NOW)).devices
        assert told.device == CAMERA and told.masks == masks.envelope
        assert await others.next(NOW) is None
    (told,) = to_trust_update(snapshot(bench)).devices
    assert told.masks == masks.envelope
