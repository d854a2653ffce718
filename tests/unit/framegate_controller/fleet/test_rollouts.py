"""Rollouts, as devices make them through the verifier."""

from dataclasses import replace

import pytest

from framegate.errors import FramegateError, Reason, Refused
from framegate.machines.rollout import Plan
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate.tpm.attest import ClockInfo
from framegate_controller.fleet.profiles import add_profile, import_profile
from framegate_controller.fleet.replay import reconsider
from framegate_controller.fleet.rollouts import change_rollout, start_rollout, tick_all
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of

pytestmark = pytest.mark.slow

CAMERA = Firmware("simulated-camera")


UPDATED = replace(
    CAMERA,
    kernel="kernel 6.12.10",
    initrd="initrd 6.12.10",
    command_line="/vmlinuz-6.12.10 root=UUID=5d1c ro lockdown=integrity",
    release="12.10",
)


def bring(bench, firmware=UPDATED, revision=2, **plan):
    """Import a revision for a rollout and start it."""
    key = bench.keys.signing["profile"]
    envelope = seal_envelope(
        PROFILE_TYPE,
        profile_toml(firmware, "simulated-camera", revision).encode(),
        key.der,
        key.sign,
    )
    with bench.store.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of(firmware.model, firmware.release), bench.clock())
        import_profile(tx, bench.keys, envelope, in_force=False)
        chosen = Plan(
            **({"canary": 1, "waves": (100,), "max_fail": 1, "soak_s": 60, "shadow": False} | plan)
        )
        return start_rollout(tx, bench.keys, "simulated-camera", chosen).id


def update(forge, firmware=UPDATED):
    """The machine is updated and restarted."""
    forge.firmware = firmware
    forge.clock = ClockInfo(10, forge.clock.reset_count + 1, 0, True)
    forge.boot()


def seen(bench, rollout: str, device: str = "camera.line-1.cam1") -> str:
    with bench.store.reading() as tx:
        return tx.rollouts.device(rollout, device).seen


def state(bench, rollout: str) -> tuple[str, int]:
    with bench.store.reading() as tx:
        record = tx.rollouts.find(rollout)
        return record.state, record.step


def change(bench, rollout: str, verb: str) -> None:
    with bench.store.writing() as tx:
        change_rollout(tx, tx.rollouts.find(rollout), verb, "t")


def tick(bench) -> None:
    with bench.store.writing() as tx:
        tick_all(tx)


def test_a_device_may_run_either_once_it_is_its_turn(bench):
    forge = bench.enrol()
    rollout = bring(bench)
    assert bench.attest(forge).state == "trusted" and seen(bench, rollout) == "waiting"
    update(forge)
    assert bench.join(forge).state == "trusted" and seen(bench, rollout) == "updated"
    forge.ima.measure(
        *next(
            iter(
                __import__("framegate_simulators.machine.ima", fromlist=["x"])
                .files_of("simulated-camera", "12.10")
                .items()
            )
        )
    )
    assert bench.attest(forge, known_log=True).state == "trusted", (
        "and goes on with its list from there"
    )


def moves(bench) -> list[str]:
    """What the record says of rollouts that went on."""
    told = ("rollout-running", "rollout-enforced", "rollout-retired", "rollout-aborted")
    return [e["event"] for e in bench.events() if e["event"] in told]


def test_early_is_a_finding_and_no_compromise(bench):
    forges = [bench.enrol(f"cam{n}") for n in range(1, 4)]
    rollout = bring(bench)
    with bench.store.reading() as tx:
        late = next(
            n for n in range(1, 4) if tx.rollouts.device(rollout, f"camera.line-1.cam{n}").step > 0
        )
    update(forges[late - 1])
    assert bench.join(forges[late - 1]).state == "trusted"
    assert seen(bench, rollout, f"camera.line-1.cam{late}") == "early"


def test_neither_is_suspect_and_pauses_the_rollout(bench):
    forge = bench.enrol()
    rollout = bring(bench)
    update(forge, replace(UPDATED, kernel="kernel 6.66"))
    answer = bench.join(forge)
    assert answer.state == "suspect" and seen(bench, rollout) == "failed"
    assert state(bench, rollout)[0] == "paused"
    change(bench, rollout, "resume")
    assert state(bench, rollout)[0] == "running", "failures are counted anew"


def test_time_brings_the_next_step_then_enforcement_then_overdue_then_the_end(bench):
    forge = bench.enrol()
    rollout = bring(bench)
    assert state(bench, rollout) == ("running", 0)
    bench.clock.pass_s(61)
    tick(bench)
    assert state(bench, rollout) == ("running", 1)
    bench.clock.pass_s(61)
    tick(bench)
    assert state(bench, rollout)[0] == "enforced"
    assert bench.attest(forge).state == "trusted" and seen(bench, rollout) == "overdue"
    change(bench, rollout, "retire")
    assert bench.attest(forge).state == "suspect"
    assert moves(bench) == ["rollout-running", "rollout-enforced", "rollout-retired"]


def test_shadow_only_tries(bench):
    forge = bench.enrol()
    rollout = bring(bench, shadow=True)
    assert bench.attest(forge).state == "trusted"
    with bench.store.reading() as tx:
        assert tx.rollouts.device(rollout, "camera.line-1.cam1").shadow == "fail"
    bench.clock.pass_s(10_000)
    tick(bench)
    assert state(bench, rollout) == ("shadow", 0)
    change(bench, rollout, "resume")
    assert state(bench, rollout) == ("running", 0)
    assert moves(bench) == ["rollout-running"]


def test_abort_takes_nobodys_trust(bench):
    forge = bench.enrol()
    rollout = bring(bench)
    update(forge)
    assert bench.join(forge).state == "trusted"
    change(bench, rollout, "abort")
    assert moves(bench) == ["rollout-aborted"]
    assert bench.attest(forge, known_log=True).state == "trusted"
    update(forge, CAMERA)
    assert bench.join(forge).state == "trusted"
    other = bench.enrol("cam2")
    update(other)
    assert bench.join(other).state == "suspect", "who had not updated may not any more"


def test_tampering_inside_the_window_is_caught(bench):
    """Between two accepted revisions nothing else passes, a mixture of both least of all."""
    forge = bench.enrol()
    bring(bench)
    for mixture in (
        replace(UPDATED, bootloader="shim implanted"),
        replace(CAMERA, kernel=UPDATED.kernel),
        replace(UPDATED, secure_boot=False),
        replace(UPDATED, command_line=CAMERA.command_line),
    ):
        update(forge, mixture)
        assert bench.join(forge).state == "suspect", mixture


def test_what_cannot_be_rolled_out(bench):
    bench.enrol()
    plan = Plan(1, (100,), 1, 60, False)
    for name, reason in (("nobody", Reason.NOT_FOUND), ("simulated-camera", Reason.CONFLICT)):
        with pytest.raises(Refused) as caught, bench.store.writing() as tx:
            start_rollout(tx, bench.keys, name, plan)
        assert caught.value.reason == reason
    rollout = bring(bench)
    with pytest.raises(Refused, match="under way"), bench.store.writing() as tx:
        start_rollout(tx, bench.keys, "simulated-camera", plan)
    for verb in ("retire", "resume", "dance"):
        with pytest.raises(Refused):
            change(bench, rollout, verb)
    change(bench, rollout, "abort")
    with pytest.raises(FramegateError, match="PCR"):
        bring(bench, replace(UPDATED, ima=False), 3)


def imported(bench, firmware, revision):
    """Bring a revision into force as operators do; who is freed by it."""
    toml = profile_toml(firmware, "simulated-camera", revision).encode()
    with bench.store.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of(firmware.model, firmware.release), bench.clock())
        return reconsider(tx, add_profile(tx, bench.keys, toml))


def test_a_changed_profile_frees_a_suspect_only_with_a_fresh_quote(bench):
    forge = bench.enrol()
    bench.clock.pass_s(60)
    update(forge)
    assert bench.join(forge).state == "suspect"
    assert imported(bench, UPDATED, 2) == ["camera.line-1.cam1"]
    assert bench.state() == "stale", "not trusted by a change of mind alone"
    assert bench.join(forge).state == "trusted"


def test_a_changed_profile_does_not_free_what_it_says_nothing_about(bench):
    forge = bench.enrol()
    bench.clock.pass_s(60)
    forge.clock = ClockInfo(10, 0, 0, True)
    assert bench.join(forge).state == "suspect"
    assert imported(bench, replace(CAMERA, kernel="kernel other"), 2) == [], (
        "still no kernel of its own"
    )
    assert imported(bench, CAMERA, 3) == [], "a cleared TPM is no question of profiles"
    tampered = bench.enrol("cam2")  # under the present revision
    bench.clock.pass_s(60)
    update(tampered, CAMERA.tampered())
    assert bench.join(tampered).state == "suspect"
    assert imported(bench, UPDATED, 4) == []
