"""What the appraisal of verified evidence says of a boot."""

from dataclasses import replace

from framegate.errors import Reason
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from support.boot_logs import join_with_log, reasons_without_certificate

CAMERA = Firmware("simulated-camera")


def test_changed_boot_loader_is_suspect_and_says_which(bench):
    answer = join_with_log(bench, boot_log(measurements(CAMERA.tampered())))
    assert answer.state == "suspect" and reasons_without_certificate(answer) == {
        Reason.EVENT_UNCLAIMED,
        Reason.EVENT_ABSENT,
    }
    absent = next(f for f in answer.failures if f.reason == Reason.EVENT_ABSENT)
    assert "boot loader in PCR 4" in absent.expected


def test_all_policy_failures_are_collected(bench):
    answer = join_with_log(
        bench,
        boot_log(
            measurements(
                replace(CAMERA, bootloader="b", kernel="k", secure_boot=False, extra_event="e")
            )
        ),
    )
    assert len(answer.failures) >= 7
