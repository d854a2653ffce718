"""A virtual machine with UEFI and a TPM, and a tester's shell in it.

The TPM is swtpm behind the kernel's own driver; firmware, boot loader and kernel are Debian's, and
measure by themselves.
"""

import base64
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from framegate_simulators.machine.tpm import Swtpm, TpmMaker, manufacture
from vm.disk import Disk

FIRMWARE = Path("/usr/share/OVMF")
ACCEL = os.environ.get("VM_ACCEL", "tcg,thread=multi")
"""Emulated unless somebody knows that VM_ACCEL=kvm works here: where it does not, it says so by
standing still.
"""
CPU = "max,arch-capabilities=off"
"""A machine that runs virtual machines inside one of its own may not let that register be set."""
MEMORY_MIB = 1536
BOOT_S = 1800
"""An emulated machine is up in about a minute alone, and in half an hour on a very busy one."""
ANSWER_S = 1200


class VirtualMachine:
    """One machine: `disk`, a TPM of `maker`, and what stays of it while it is off."""

    def __init__(self, folder: Path, disk: Disk, maker: TpmMaker) -> None:
        self.folder, self.disk = folder, disk
        self._tpm = Swtpm(folder)
        self._tpm.start()
        manufacture(self._tpm, maker)
        self._tpm.stop()
        self._variables = folder / "variables.fd"
        shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", self._variables)
        self._processes: list[subprocess.Popen] = []
        self._shell: socket.socket | None = None
        self.boots = 0

    def power_on(self) -> float:
        """Boot; the seconds until the tester's shell answers."""
        begun = time.monotonic()
        self.boots += 1
        control, shell = self.folder / "control", self.folder / "shell"
        for path in (control, shell):
            path.unlink(missing_ok=True)
        self._start(
            "swtpm",
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={self._tpm.folder / 'state'}",
            "--ctrl",
            f"type=unixio,path={control}",
            "--terminate",
        )
        _wait("the TPM's socket", control.exists, 30)
        self._start(
            "qemu-system-x86_64",
            "-accel",
            ACCEL,
            "-machine",
            "q35",
            "-cpu",
            CPU,
            "-m",
            MEMORY_MIB,
            "-smp",
            2,
            "-display",
            "none",
            "-no-reboot",
            "-nodefaults",
            "-drive",
            f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
            "-drive",
            f"if=pflash,format=raw,unit=1,file={self._variables}",
            "-drive",
            f"if=virtio,format=raw,file={self.disk.image},cache=unsafe",
            "-chardev",
            f"socket,id=tpm,path={control}",
            "-tpmdev",
            "emulator,id=t,chardev=tpm",
            "-device",
            "tpm-crb,tpmdev=t",
            "-device",
            "virtio-rng-pci",
            "-nic",
            "user,model=virtio-net-pci",
            "-serial",
            f"file:{self.folder / f'console-{self.boots}'}",
            "-serial",
            f"unix:{shell},server=on,wait=off",
        )
        _wait("the shell's socket", shell.exists, 60)
        self._shell = socket.socket(socket.AF_UNIX)
        self._shell.connect(str(shell))
        self._shell.settimeout(5)
        _wait(f"a shell (see {self.folder}/console-{self.boots})", self._greeted, BOOT_S)
        return time.monotonic() - begun

    def _greeted(self) -> bool:
        """Whether the shell answers; what was typed before it listened is lost."""
        assert self._shell is not None and self._processes[-1].poll() is None, "the machine ended"
        self._shell.sendall(b"\necho '@@'here\n")
        told = b""
        try:
            while b"@@here" not in told:
                told += self._shell.recv(4096)
        except TimeoutError:
            return False
        return True

    def run(self, command: str, *, check: bool = True, seconds: float = ANSWER_S) -> str:
        """What `command` says to root's shell in the machine."""
        assert self._shell is not None
        mark = f"@@{time.monotonic_ns()}"
        self._shell.sendall(f"( {command}\n) 2>&1 </dev/null; echo '{mark}'\" $?\"\n".encode())
        told, end = b"", time.monotonic() + seconds
        while not (answered := re.search(mark.encode() + rb" (\d+)\r?\n", told)):
            assert time.monotonic() < end, f"no answer to {command}: {told[-2000:]!r}"
            try:
                told += self._shell.recv(65536)
            except TimeoutError:
                continue
        text = told[: answered.start()].decode(errors="replace")
        text = text.replace("\r", "").replace("@@here\n", "")
        assert not check or answered[1] == b"0", f"{command}: {answered[1]!r}\n{text}"
        return text

    def put(self, path: str, content: bytes, owner: str = "root") -> None:
        """Write a small file in the machine, for its owner alone."""
        text = base64.b64encode(content).decode()
        lines = "\n".join(text[at : at + 512] for at in range(0, len(text), 512))
        self.run(f"umask 077; base64 -d > {path} <<'EOF'\n{lines}\nEOF\nchown {owner} {path}")

    def get(self, path: str) -> bytes:
        """Read a file of the machine."""
        return base64.b64decode(self.run(f"base64 {path}"))

    def power_off(self) -> None:
        """Orderly: the system shuts down and the power goes."""
        assert self._shell is not None
        self._shell.sendall(b"systemctl poweroff\n")
        try:
            self._processes[-1].wait(BOOT_S)
        finally:
            self.close()

    def close(self) -> None:
        """Take the power away."""
        if self._shell is not None:
            self._shell.close()
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()

    def _start(self, *argv: object) -> None:
        log = (self.folder / "machine.log").open("ab")
        self._processes.append(
            subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        )


def _wait(what, done, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"{what} did not come in {seconds:.0f} s"
        time.sleep(0.2)
