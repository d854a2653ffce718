"""A simulated machine: a TPM, a firmware that boots and measures, and a disk. Power it on, off, cut
it, restart it.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from framegate.eventlog import parse_boot_log, replay
from framegate.tpm.constants import Alg
from framegate_host.private_files import private_folder
from framegate_simulators.machine.boot import Firmware, boot_log, measure, measurements
from framegate_simulators.machine.ima import ImaMachine, files_of
from framegate_simulators.machine.tpm import Swtpm, TpmMaker, manufacture


class Machine:
    """One machine in `folder`: its `tpm`, its `disk` (the agent's state lives there) and the boot
    log and IMA list of the present boot.
    """

    def __init__(
        self, folder: Path, maker: TpmMaker, firmware: Firmware, *, ek: str = "p256"
    ) -> None:
        self.folder, self.maker, self.firmware, self._ek = folder, maker, firmware, ek
        private_folder(folder)
        self.disk = private_folder(folder / "disk")
        self.boot_log_path = folder / "boot_log"
        self.ima_path = folder / "ima"
        self.tpm = Swtpm(folder)

    @property
    def tcti(self) -> str:
        """Where the agent finds the TPM."""
        return self.tpm.tcti

    def as_environment(self) -> str:
        """Lines for a shell, after which the agent finds TPM, logs and the state's folder."""
        kind, _, path = self.tcti.partition("=")
        told = {
            "FRAMEGATE_TCTI": f"{kind}={Path(path).absolute()}",
            "FRAMEGATE_BOOT_LOG": self.boot_log_path.absolute(),
            "FRAMEGATE_IMA": self.ima_path.absolute(),
            "FRAMEGATE_AGENT_STATE": self.disk.absolute(),
        }
        return "".join(f"export {name}={shlex.quote(str(v))}\n" for name, v in told.items())

    def power_on(self) -> None:
        """Start the TPM (manufactured on the first start) and boot the present firmware."""
        self.tpm.start()
        delivered = self.folder / "delivered"
        if not delivered.exists():
            delivered.write_bytes(manufacture(self.tpm, self.maker, self._ek))
        events = measurements(self.firmware)
        log = boot_log(events)
        ima = ImaMachine.booted(
            replay(parse_boot_log(log), Alg.SHA256),
            files_of(self.firmware.model, self.firmware.release),
        )
        with self.tpm.esys() as esys:
            measure(esys, events)
            ima.extend(esys)
        self.boot_log_path.write_bytes(log)
        self.ima_path.write_bytes(ima.list_from())

    def power_off(self) -> None:
        """Orderly shutdown."""
        self.tpm.stop()

    def power_cut(self) -> None:
        """The plug is pulled: no TPM2_Shutdown."""
        self.tpm.kill()

    def reboot(self, firmware: Firmware | None = None) -> None:
        """Power off and on, into `firmware` where given."""
        self.power_off()
        self.firmware = firmware or self.firmware
        self.power_on()

    def tpm_restart(self, firmware: Firmware) -> None:
        """TPM Restart (Shutdown(STATE), Startup(CLEAR)) into another system: the NULL hierarchy's
        seed survives, PCRs do not.
        """
        self.tpm.stop(save_state=True)
        self.firmware = firmware
        self.power_on()
