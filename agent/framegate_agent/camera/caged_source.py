"""Which cage a source's capture child gets, and what of the machine it needs for that source."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from framegate.errors import Malformed, Reason, Unavailable
from framegate_agent.camera.source_names import PORTS, require_kind
from framegate_host.cages import (
    CAPTURE_DEVICE,
    CAPTURE_FOLDER,
    CAPTURE_NETWORK,
    CAPTURE_RELAY,
    CAPTURE_VIDEO,
    Cage,
)
from framegate_host.confinement import Paths

SYSTEM_FOLDERS: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt")
"""Where a maker's program, its libraries and interpreters lie."""
SYSTEM_FILES: Final = (
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/udev",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/run/udev",
    "/sys",
)
"""What such programs read at their start; in /etc nothing else, because keys and passwords are
there.
"""
DEVICES: Final = ("video*", "media*", "v4l-subdev*", "bus/usb", "null", "zero", "random", "urandom")
"""Cameras below /dev."""
ADDRESSES: Final = 4
"""Of a name that are tried: a camera has one or two, IPv6 and IPv4."""
REACH_S: Final = 1.0
"""A camera beside the line takes a connection within milliseconds."""


@dataclass(frozen=True, slots=True)
class CagedSource:
    """A source as its child opens it, and the cage it does so in."""

    source: str
    cage: Cage
    paths: Paths = field(default_factory=Paths)
    ports: tuple[int, ...] = ()


def caged_source(source: str) -> CagedSource:
    """The cage of `source` (folder:PATH, video:PATH, device:N, rtsp://…, exec:COMMAND).

    A host's name is looked up here and replaced by the first of its addresses that takes a
    connection: in the cage there is no resolver.
    Raises Unavailable where that fails or nothing is there, Malformed for another kind of source.
    """
    require_kind(source)
    kind, _, rest = source.partition(":")
    if kind == "exec":
        return CagedSource(source, CAPTURE_RELAY)
    if kind == "folder":
        return CagedSource(source, CAPTURE_FOLDER, Paths(read=_one("folder of pictures", rest)))
    if kind == "device":
        name = f"/dev/video{rest}" if rest.isdigit() else rest
        return CagedSource(source, CAPTURE_DEVICE, Paths(devices=_one("camera", name)))
    if kind == "video" and "://" not in rest:
        return CagedSource(source, CAPTURE_VIDEO, Paths(read=_one("video", rest)))
    address = rest if kind == "video" else source
    parts = urlsplit(address)
    if parts.scheme not in PORTS or not parts.hostname:
        wanted = f"an address of a camera: one of {', '.join(PORTS)}, a host, a path"
        raise Malformed.of(Reason.USAGE, wanted, ascii(parts.scheme or kind)[:40])
    port = parts.port or PORTS[parts.scheme]
    numeric = _numeric(parts, port)
    return CagedSource(f"video:{numeric}", CAPTURE_NETWORK, ports=(port,))


def program_paths(command: str, scratch: Path) -> Paths:
    """What of the file system a maker's program gets: the system's programs and libraries, itself,
    files and folders that its command names, cameras, and `scratch` for temporary files. A program
    of this installation gets its installation.
    """
    argv = shlex.split(command)
    program = Path(shutil.which(argv[0]) or argv[0])
    run: list[str | Path] = [*SYSTEM_FOLDERS, program, program.resolve()]
    run += [name for name in argv[1:] if name.startswith("/") and name != "/"]
    if Path(sys.prefix) in program.parents:
        here = os.path.realpath(os.curdir)
        own = [sys.prefix, sys.base_prefix, *sys.path]
        run += [name for name in own if name and os.path.realpath(name) != here]
    devices = [path for pattern in DEVICES for path in sorted(Path("/dev").glob(pattern))]
    return Paths(
        read=_there(SYSTEM_FILES), run=_there(run), write=(scratch,), devices=_there(devices)
    )


def _one(what: str, name: str) -> tuple[Path, ...]:
    """The path `name`. Raises Unavailable where nothing is there, which nobody could tell from
    inside the cage.
    """
    path = Path(name)
    try:
        path.stat()
    except OSError as error:
        hint = "ls /dev/video*" if what == "camera" else ""
        wanted = f"a {what} at {name}"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, error.strerror, hint) from error
    return (path,)


def _there(names: Iterable[str | Path]) -> tuple[Path, ...]:
    """Those that exist, each once; what is absent, its reader says in its own words."""
    return tuple(path for path in dict.fromkeys(Path(name) for name in names) if path.exists())


def _numeric(parts: SplitResult, port: int) -> str:
    host = str(parts.hostname)
    try:
        told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, f"an address of the camera {ascii(host)[:80]}", error
        ) from error
    numbers = list(dict.fromkeys(str(address[0]) for *_, address in told))
    number = next((n for n in numbers[:ADDRESSES] if _answers(n, port)), numbers[0])
    user, at, _ = parts.netloc.rpartition("@")
    where = f"[{number}]" if ":" in number else number
    return parts._replace(netloc=f"{user}{at}{where}:{port}").geturl()


def _answers(number: str, port: int) -> bool:
    """Whether anybody takes a connection there. A camera without IPv6 may have such a name."""
    try:
        socket.create_connection((number, port), REACH_S).close()
    except OSError:
        return False
    return True
