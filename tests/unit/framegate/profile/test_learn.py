"""A profile learnt from machines."""

from framegate.errors import Reason
from framegate.profile.model import parse_profile
from framegate_simulators.machine.boot import Firmware


def test_a_learnt_profile_affirms_its_machines_and_only_those(bench):
    """Learn from two machines that differ in boot order and revocations; both pass, a third
    system does not.
    """
    from dataclasses import replace

    import tomli_w

    from framegate.eventlog import parse_boot_log
    from framegate.evidence.appraise import event_failures, secure_boot_failures
    from framegate.profile.learn import Observation, learn
    from framegate.tpm.constants import Alg
    from framegate_simulators.machine.boot import boot_log, measurements

    one, two = (
        Firmware("m"),
        replace(Firmware("m"), boot_order=b"\1\0", revocations=6, sbat="sbat,1\nshim,9\ngrub,4\n"),
    )
    logs = [parse_boot_log(boot_log(measurements(f))) for f in (one, two)]
    body, allowlist = learn(
        [Observation(log) for log in logs],
        name="m",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )
    profile = parse_profile(tomli_w.dumps(body).encode())
    assert (
        allowlist == b""
        and len(profile.secure_boot.dbx_minimum) == 3
        and profile.secure_boot.sbat_minimum["shim"] == 4
    )
    for log in logs:
        assert event_failures(log, profile) == [] and secure_boot_failures(log, profile) == []
    for other, reason in (
        (replace(one, kernel="other"), Reason.EVENT_UNCLAIMED),
        (replace(one, command_line="init=/bin/sh"), Reason.COMMAND_LINE),
        (replace(one, revocations=2), Reason.DBX),
        (replace(one, sbat="sbat,1\nshim,3\ngrub,4\n"), Reason.SBAT),
        (replace(one, secure_boot=False), Reason.SECURE_BOOT),
    ):
        log = parse_boot_log(boot_log(measurements(other)))
        assert reason in {
            f.reason for f in event_failures(log, profile) + secure_boot_failures(log, profile)
        }, reason
