"""The agent's own word about its machine, read from /proc, /sys and /etc; and a cheap look that
tells when something of it changed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import platform
import re
import struct
import subprocess
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from framegate.profile.posture import MAX_LIST, MAX_TEXT, Posture
from framegate_agent import VERSION

_NO_SHELL: Final = frozenset(
    {
        "/usr/sbin/nologin",
        "/sbin/nologin",
        "/bin/false",
        "/usr/bin/false",
        "/bin/sync",
        "/usr/bin/sync",
        "",
    }
)
_EFI: Final = Path("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
FIREWALL_EVERY_S: Final = 300.0
"""Counting firewall rules starts a program; rules change with configuration, not by the minute."""
_LISTENING: Final = {
    n: re.compile(rf"^ *\d+: ([0-9A-F]{{8,32}}):([0-9A-F]{{4}}) \S+ {s} ", re.MULTILINE)
    for n, s in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"))
}
"""Lines of /proc/net whose socket state means: waits for whoever comes. One search, because a busy
machine has thousands of others.
"""


def collect_posture(watched: Sequence[Path] = (), *, root: Path = Path("/")) -> Posture:
    """The facts of this moment; what cannot be read is empty or -1. `root` is where /proc, /sys and
    /etc hang.
    """
    release = _os_release(root)
    return Posture(
        agent_version=VERSION,
        agent_sha256=agent_digest(),
        os_id=release.get("ID", "unknown"),
        os_version=release.get("VERSION_ID", "unknown"),
        kernel=platform.release(),
        architecture=platform.machine(),
        uptime_s=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        reboot_pending=(root / "run/reboot-required").exists(),
        secure_boot=_secure_boot(root),
        lockdown=_lockdown(root),
        encrypted_root=_encrypted_root(root),
        firewall=_firewall(int(time.monotonic() / FIREWALL_EVERY_S)),
        clock_ms=time.time_ns() // 1_000_000,
        clock_synchronised=(root / "run/systemd/timesync/synchronized").exists(),
        listeners=_listeners(root),
        modules=_modules(root),
        usb=_usb(root),
        video=_video(root),
        shells=_shells(root),
        watched=_watched(watched),
    )


def glance(watched: Sequence[Path] = (), *, root: Path = Path("/")) -> bytes:
    """A digest of what must be told at once when it changes: listeners, USB and video devices,
    watched files. Most of its cost is the kernel's: it walks its whole socket table.
    """
    stats = []
    for path in watched:
        try:
            stat = path.stat()
            stats.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            stats.append((str(path), 0, 0, 0))
    return hashlib.sha256(
        repr((_listeners(root), _usb(root), _video(root), stats)).encode()
    ).digest()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _clean(values: list[str]) -> list[str]:
    """Sorted, each once, printable, within the posture's limits."""
    kept = {"".join(c if c.isprintable() else "?" for c in v)[:MAX_TEXT] for v in values}
    return sorted(kept)[:MAX_LIST]


def _os_release(root: Path) -> dict[str, str]:
    return {
        k: v.strip('"')
        for k, v in re.findall(r"^([A-Z_]+)=(.*)$", _text(root / "etc/os-release"), re.MULTILINE)
    }


def _secure_boot(root: Path) -> int:
    try:
        return int((root / _EFI.relative_to("/")).read_bytes()[-1:] == b"\x01")
    except OSError:
        return -1


def _lockdown(root: Path) -> str:
    active = re.search(r"\[(\w+)\]", _text(root / "sys/kernel/security/lockdown"))
    return active[1] if active else ""


def _encrypted_root(root: Path) -> int:
    """Whether dm-crypt stands somewhere below the root file system's block device."""
    mounts = [line.split() for line in _text(root / "proc/self/mountinfo").splitlines()]
    device = next((m[2] for m in mounts if len(m) > 4 and m[4] == "/"), "")
    block = root / "sys/dev/block" / device
    if not device or not block.exists():
        return -1
    waiting, seen = [block], 0
    while waiting and seen < 64:
        at, seen = waiting.pop(), seen + 1
        if _text(at / "dm/uuid").startswith("CRYPT-"):
            return 1
        try:
            waiting += sorted((at / "slaves").iterdir())
        except OSError:
            continue
    return 0


@lru_cache(maxsize=1)
def _firewall(_when: int) -> int:
    """Rules that nft lists; -1 where it is missing or may not."""
    try:
        done = subprocess.run(
            ["nft", "-j", "list", "ruleset"], capture_output=True, timeout=5, check=True
        )
        return sum("rule" in item for item in json.loads(done.stdout).get("nftables", []))
    except (OSError, subprocess.SubprocessError, ValueError):
        return -1


def _listeners(root: Path) -> list[str]:
    listeners = []
    for name, waiting in _LISTENING.items():
        for address, port in waiting.findall(_text(root / "proc/net" / name)):
            listeners.append(f"{name[:3]} {_address(address)}:{int(port, 16)}")
    return _clean(listeners)


@lru_cache(maxsize=256)
def _address(text: str) -> str:
    groups = [struct.pack("<I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(groups))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is not None:  # an IPv4 socket that a program opened as IPv6
        return str(mapped)
    return f"[{address}]" if address.version == 6 else str(address)


def _modules(root: Path) -> list[str]:
    return _clean([line.split(" ", 1)[0] for line in _text(root / "proc/modules").splitlines()])


def _usb(root: Path) -> list[str]:
    devices = []
    for device in _children(root / "sys/bus/usb/devices"):
        vendor = _text(device / "idVendor").strip()
        if vendor:
            product, serial = (_text(device / n).strip() for n in ("idProduct", "serial"))
            devices.append(f"{vendor}:{product} {serial}".strip())
    return _clean(devices)


def _video(root: Path) -> list[str]:
    return _clean(
        [
            f"{d.name} {_text(d / 'name').strip()}".strip()
            for d in _children(root / "sys/class/video4linux")
        ]
    )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _shells(root: Path) -> list[str]:
    users = [line.split(":") for line in _text(root / "etc/passwd").splitlines()]
    return _clean([u[0] for u in users if len(u) == 7 and u[6] not in _NO_SHELL])


def _watched(paths: Sequence[Path]) -> list[str]:
    digests = []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests.append(f"{path} {hashlib.file_digest(file, 'sha256').hexdigest()}")
        except OSError as error:
            digests.append(f"{path} {error.strerror or 'unreadable'}")
    return _clean(digests)


@lru_cache(maxsize=1)
def agent_digest() -> str:
    """SHA-256 over the agent's own Python files, in path order."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(
            path.relative_to(Path(__file__).parent).as_posix().encode()
            + b"\0"
            + hashlib.sha256(path.read_bytes()).digest()
        )
    return digest.hexdigest()
