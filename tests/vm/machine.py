"""A Debian machine under plain emulation: UEFI, a TPM behind the kernel's resource manager, a boot
log as firmware writes it, and IMA as the kernel does it.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/vm"
FIRMWARE = Path("/usr/share/OVMF")
PORT = "framegate.test"
CMDLINE = (
    "root=/dev/vda rw console=ttyS0 ima_policy=tcb ima_hash=sha256 quiet"
    " systemd.mask=serial-getty@ttyS0.service"
)
DEBIAN = (
    "linux-image-cloud-amd64", "initramfs-tools", "udev", "kmod", "systemd", "systemd-sysv",
    "dbus", "python3", "ca-certificates", "init-system-helpers", "iproute2", "tpm-udev",
    "libseccomp2", "libtss2-esys-3.0.2-0", "libtss2-fapi1", "libtss2-mu0", "libtss2-rc0",
    "libtss2-tctildr0", "libtss2-tcti-device0", "libstdc++6",
)  # fmt: skip
NETWORK = "[Match]\nType=ether\n\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
UNIT = """[Unit]
Description=What the test types
After=multi-user.target

[Service]
ExecStart=/usr/bin/python3 /opt/test/guest.py
Restart=no

[Install]
WantedBy=multi-user.target
"""
BOOT_S = 400
"""An emulated machine takes a minute on a quiet host."""


def lacking() -> str:
    """Why no machine can be emulated here; empty where one can."""
    if os.geteuid():
        return "only root makes a root file system"
    for program in ("mmdebstrap", "qemu-system-x86_64", "swtpm", "mke2fs"):
        if shutil.which(program) is None:
            return f"{program} is not installed (mmdebstrap, qemu-system-x86, swtpm, e2fsprogs)"
    return "" if FIRMWARE.is_dir() else "no UEFI firmware (ovmf)"


class Answer(dict):
    @property
    def out(self) -> str:
        return self["out"]


class VirtualMachine:
    """One machine. Its disk and its TPM stay between `on` and `off`."""

    def __init__(self, folder: Path, packages: list[Path]) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.packages = packages
        self._processes: list[subprocess.Popen] = []
        self._port: socket.socket | None = None
        self._disk()

    def _disk(self) -> None:
        system = _system()
        root = self.folder / "root"
        subprocess.run(["cp", "-a", system, root], check=True)
        names = []
        for deb in self.packages:
            shutil.copy(deb, root / "var/cache" / deb.name)
            names.append(f"/var/cache/{deb.name}")
        done = subprocess.run(
            ["chroot", root, "dpkg", "-i", *names], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (root / "opt/test").mkdir()
        shutil.copy(Path(__file__).parent / "guest.py", root / "opt/test")
        for path, text in (
            ("etc/systemd/system/test.service", UNIT),
            ("etc/systemd/network/10-test.network", NETWORK),
            ("etc/hostname", "cam1\n"),
            ("etc/fstab", "tmpfs /var/lib/framegate-agent-run tmpfs mode=0700,nofail 0 0\n"),
        ):
            (root / path).write_text(text)
        (root / "etc/ima").mkdir()
        shutil.copy(ROOT / "agent/framegate_agent/ima-policy", root / "etc/ima/ima-policy")
        wants = root / "etc/systemd/system/multi-user.target.wants"
        for unit in ("test.service", "systemd-networkd.service"):
            (wants / unit).unlink(missing_ok=True)
            where = "/etc" if unit == "test.service" else "/lib"
            (wants / unit).symlink_to(f"{where}/systemd/system/{unit}")
        for name, kept in (("vmlinuz", "vmlinuz-*"), ("initrd.img", "initrd.img-*")):
            shutil.copy(next((root / "boot").glob(kept)), self.folder / name)
        self.disk = self.folder / "disk.img"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, self.disk, "3000M"], check=True)
        shutil.rmtree(root)
        shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", self.folder / "vars.fd")
        (self.folder / "tpm").mkdir()

    def on(self, cmdline: str = CMDLINE) -> None:
        """Switch on; return once it takes commands."""
        control, typed = self.folder / "tpm.sock", self.folder / "typed.sock"
        for old in (control, typed):
            old.unlink(missing_ok=True)
        log = (self.folder / "console").open("ab")
        self._processes.append(
            subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder / 'tpm'}", "--ctrl",
                 f"type=unixio,path={control}", "--terminate"],
                stdout=log, stderr=log,
            )
        )  # fmt: skip
        _until(control.exists, 30)
        drive = "if=pflash,format=raw,unit={},{}file={}"
        self._processes.append(
            subprocess.Popen(
                ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu",
                 "max", "-m", "1536", "-smp", "2", "-nographic", "-no-reboot",
                 "-nic", "user,model=virtio-net-pci",
                 "-drive", drive.format(0, "readonly=on,", FIRMWARE / "OVMF_CODE_4M.fd"),
                 "-drive", drive.format(1, "", self.folder / "vars.fd"),
                 "-kernel", str(self.folder / "vmlinuz"),
                 "-initrd", str(self.folder / "initrd.img"),
                 "-drive", f"if=virtio,format=raw,file={self.disk}",
                 "-chardev", f"socket,id=tpm,path={control}",
                 "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0",
                 "-device", "virtio-serial",
                 "-chardev", f"socket,id=typed,path={typed},server=on,wait=off",
                 "-device", f"virtserialport,chardev=typed,name={PORT}", "-append", cmdline],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        )  # fmt: skip
        _until(typed.exists, 30)
        self._port = socket.socket(socket.AF_UNIX)
        self._port.settimeout(BOOT_S)
        self._port.connect(str(typed))
        self._kept = b""
        assert self._line() == {"up": True}

    def sh(self, command: str, *, ok: bool = True) -> Answer:
        """Type a command; what came of it. Raises where it failed and `ok`."""
        self._port.sendall(json.dumps({"sh": command}).encode() + b"\n")
        answer = Answer(self._line())
        assert not ok or answer["code"] == 0, f"{command}\n{answer['out']}\n{answer['err']}"
        return answer

    def off(self) -> None:
        """Shut down in order."""
        if self._port is not None:
            self._port.sendall(b'{"sh": "systemctl --no-block poweroff"}\n')
            self._processes[-1].wait(180)
        self.cut()

    def cut(self) -> None:
        """Take the power away from what still runs."""
        if self._port is not None:
            self._port.close()
            self._port = None
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        self._processes.clear()

    def _line(self) -> dict:
        while b"\n" not in self._kept:
            more = self._port.recv(65536)
            assert more, (self.folder / "console").read_text(errors="replace")[-4000:]
            self._kept += more
        line, _, self._kept = self._kept.partition(b"\n")
        return json.loads(line)


def _until(done, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def _system() -> Path:
    system, made_of = BUILD / "system", BUILD / "system.list"
    wanted = "\n".join(DEBIAN)
    if made_of.exists() and made_of.read_text() == wanted:
        return system
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(system, ignore_errors=True)
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(DEBIAN)}", "bookworm",
         system],
        check=True,
    )  # fmt: skip
    made_of.write_text(wanted)
    return system
