"""A disk from which a virtual machine boots: Debian with our packages, GRUB and a kernel that
measures; and the checksums of every file on it, as whoever makes a machine's image has them.
"""

import json
import secrets
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/vm"
DEBIAN = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "grub-efi-amd64-signed",
    "udev",
    "kmod",
    "systemd",
    "systemd-sysv",
    "dbus",
    "init-system-helpers",
    "iproute2",
    "python3",
    "ca-certificates",
    "procps",
    "libseccomp2",
    "libtss2-esys-3.0.2-0",
    "libtss2-fapi1",
    "libtss2-mu0",
    "libtss2-rc0",
    "libtss2-tctildr0",
    "libtss2-tcti-device0",
    "libstdc++6",
)
PACKAGES = ("framegate-agent", "framegate-agent-camera")
CONTROLLER = ("framegate-controller", "framegate-controller-tpm")
ESP_MIB, SYSTEM_MIB = 128, 3000
COMMAND_LINE = (
    "root=/dev/vda2 rw console=ttyS0 ima_policy=tcb ima_hash=sha256 quiet"
    " systemd.mask=serial-getty@ttyS0.service"
)
SHELL = """[Unit]
Description=The tester's hand: a shell on the second serial line
After=framegate-agent.service dev-ttyS1.device
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=1
ExecStartPre=/bin/stty -F /dev/ttyS1 raw -echo
ExecStart=/bin/sh
Environment=PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PS1= PS2=
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
"""
FORWARD = """[Unit]
Description=A port of the plant outside
[Service]
ExecStart=/lib/systemd/systemd-socket-proxyd 10.0.2.2:%i
"""
LISTEN = """[Socket]
ListenStream=127.0.0.1:%i
"""
NETWORK = """[Match]
Type=ether
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


class Disk:
    """One disk image and what its maker knows of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image, self.checksums = folder / "disk.img", folder / "SHA256SUMS"

    def make(
        self,
        debs: list[Path],
        frames: Path,
        later: dict[str, list[Path]],
        settings: dict[str, object],
    ) -> None:
        """Lay the system; `frames` become the camera's pictures, packages to be installed `later`
        lie ready below /srv, `settings` are the agent's: it reads them, so that IMA measures them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        tree = self.folder / "system"
        shutil.rmtree(tree, ignore_errors=True)
        _run("cp", "-a", _debian(), tree)
        for deb in debs:
            shutil.copy(deb, tree / "var/cache" / deb.name)
        _run("chroot", tree, "dpkg", "-i", *(f"/var/cache/{deb.name}" for deb in debs))
        _furnish(tree)
        with (tree / "etc/framegate/agent.toml").open("a") as file:
            file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        shutil.copytree(frames, tree / "srv/frames")
        for name, packages in later.items():
            (tree / "srv" / name).mkdir(parents=True)
            for deb in packages:
                shutil.copy(deb, tree / "srv" / name / deb.name)
        self.checksums.write_bytes(checksums(tree))
        self._partitions(tree)
        shutil.rmtree(tree)

    def boot_with(self, *more: str) -> None:
        """The kernel's command line from the next boot on; the machine is off."""
        config = self.folder / "grub.cfg"
        line = " ".join((COMMAND_LINE, *more))
        # by the kernel's EFI stub, which keeps the firmware's log: without Secure Boot Debian's
        # `linux` goes past it, and such a machine has no log
        config.write_text(f"linuxefi /vmlinuz {line}\ninitrdefi /initrd.img\nboot\n")
        _run("mcopy", "-o", "-i", f"{self.image}@@1M", config, "::/EFI/debian/grub.cfg")

    def _partitions(self, tree: Path) -> None:
        esp, system = self.folder / "esp.img", self.folder / "system.img"
        for file in (esp, system, self.image):
            file.unlink(missing_ok=True)
        _run("mkfs.vfat", "-C", esp, ESP_MIB * 1024)
        _run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", "::/EFI/debian")
        (grub,) = tree.glob("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed")
        (kernel,), (initrd,) = tree.glob("boot/vmlinuz-*"), tree.glob("boot/initrd.img-*")
        for file, name in (
            (grub, "EFI/BOOT/BOOTX64.EFI"),
            (kernel, "vmlinuz"),
            (initrd, "initrd.img"),
        ):
            _run("mcopy", "-i", esp, file, f"::/{name}")
        _run("mke2fs", "-q", "-t", "ext4", "-d", tree, system, f"{SYSTEM_MIB}M")
        _run("truncate", "-s", f"{ESP_MIB + SYSTEM_MIB + 2}M", self.image)
        table = f"label: gpt\nstart=1MiB,size={ESP_MIB}MiB,type=U\nsize={SYSTEM_MIB}MiB,type=L\n"
        subprocess.run(["sfdisk", "-q", self.image], input=table.encode(), check=True)
        for part, at in ((esp, 1), (system, 1 + ESP_MIB)):
            _run(
                "dd",
                f"if={part}",
                f"of={self.image}",
                "bs=1M",
                f"seek={at}",
                "conv=notrunc,sparse",
                "status=none",
            )
            part.unlink()
        self.boot_with()


def checksums(tree: Path) -> bytes:
    """What sha256sum says of every file below `tree`, by its path on the machine."""
    command = "find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"
    told = subprocess.run(["sh", "-c", command], cwd=tree, check=True, capture_output=True).stdout
    return told.replace(b"  ./", b"  /")


def _furnish(tree: Path) -> None:
    """What a plant's image adds to Debian: rules for IMA, a network, the tester's way in."""
    (tree / "etc/ima").mkdir()
    shutil.copy(tree / "usr/share/framegate-agent/ima-policy", tree / "etc/ima/ima-policy")
    (tree / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")
    (tree / "etc/hostname").write_text("cam1\n")
    (tree / "etc/fstab").write_text("")
    units = tree / "etc/systemd/system"
    (units / "tester.service").write_text(SHELL)
    (units / "plant@.service").write_text(FORWARD)
    (units / "plant@.socket").write_text(LISTEN)
    (tree / "etc/systemd/network/10-plant.network").write_text(NETWORK)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (wanted / "tester.service").symlink_to("/etc/systemd/system/tester.service")
    (wanted / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")


def _debian() -> Path:
    """A bare Debian, made once for each list of its packages."""
    system, made_of = BUILD / "debian", BUILD / "debian.list"
    wanted = "\n".join(DEBIAN)
    if made_of.exists() and made_of.read_text() == wanted and system.exists():
        return system
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(system, ignore_errors=True)
    _run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(DEBIAN)}",
        "bookworm",
        system,
    )
    made_of.write_text(wanted)
    return system


def _run(*argv: object) -> None:
    done = subprocess.run([str(a) for a in argv], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
