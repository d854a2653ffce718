"""Which cage a sink's process gets, and what of the machine and the network it needs for its kind.

What a collector answers is read by libraries of others; where code in such an answer takes the
process, it has the sink's own folder, the collector's port, and no more.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from framegate.registry.sink import SinkKind
from framegate_controller.sinks.credentials import Host
from framegate_controller.sinks.messages import SinkSetup
from framegate_host.cages import SINK_LIBRARY, SINK_LINES, SINK_NETWORK, Cage
from framegate_host.confinement import Paths, interpreter_paths, machine_paths

_HTTP_PORTS: Final = {"http": 80, "https": 443}
_TLS_FILES: Final = ("/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/etc/pki")
"""Public authorities, and OpenSSL's settings."""
_NAME_FILES: Final = (
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/run/systemd/resolve",
)
"""How names are looked up, by libraries that do it themselves."""


@dataclass(frozen=True, slots=True)
class CagedSink:
    """The cage, what it reaches, and the hosts whose names have to be looked up before it closes:
    in the cage `sink-network` there is no resolver.
    """

    cage: Cage
    paths: Paths
    ports: tuple[int, ...] = ()
    hosts: tuple[Host, ...] = field(default_factory=tuple)


def caged_sink(setup: SinkSetup) -> CagedSink:
    """The cage of a sink.

    TCP goes to the ports that its address names, and to no others: brokers that listen elsewhere
    are out of reach until the address has their ports too. To which host, no layer here can tell.
    """
    folder = Path(setup.folder)
    if setup.kind == SinkKind.STDOUT:
        return CagedSink(SINK_LINES, Paths(read=interpreter_paths()))
    if setup.kind == SinkKind.FILE:
        return CagedSink(SINK_LINES, Paths(read=interpreter_paths(), write=_there(folder)))
    hosts = hosts_of(setup.address)
    ports = tuple(dict.fromkeys(h.port for h in hosts))
    files: list[str | Path] = [*interpreter_paths(), *_TLS_FILES, *_verify_paths(), folder]
    by_library = setup.kind == SinkKind.KAFKA or (
        setup.kind == SinkKind.OTLP and "://" not in setup.address
    )
    if by_library:
        read = _there(*files, *_NAME_FILES, *machine_paths())
        return CagedSink(SINK_LIBRARY, Paths(read=read), ports)
    return CagedSink(SINK_NETWORK, Paths(read=_there(*files)), ports, hosts)


def hosts_of(address: str) -> tuple[Host, ...]:
    """Hosts and ports of a sink's address, which was checked when it was added."""
    if "://" in address:
        parts = urlsplit(address)
        return (Host(parts.hostname or "", parts.port or _HTTP_PORTS[parts.scheme]),)
    return tuple(Host.parse(a) for a in address.split(","))


def _verify_paths() -> list[str]:
    paths = ssl.get_default_verify_paths()
    return [p for p in (paths.cafile, paths.capath) if p]


def _there(*names: str | Path) -> tuple[Path, ...]:
    return tuple(path for path in dict.fromkeys(Path(name) for name in names) if path.exists())
