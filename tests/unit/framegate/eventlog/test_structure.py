"""A boot log as firmware writes it."""

from framegate.eventlog import parse_boot_log, structural_failures
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, boot_log, measurements

CAMERA = Firmware("simulated-camera")


def test_sound_log_has_no_structural_failure():
    for firmware in (CAMERA, CAMERA.tampered()):
        assert (
            structural_failures(parse_boot_log(boot_log(measurements(firmware))), Alg.SHA256) == ()
        )
