"""What the web console can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from framegate.errors import Failure, Reason
from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, Setting
from framegate_host.telemetry.listening import is_loopback

MAX_SESSIONS: Final = 4096
"""Each costs a channel and some kilobytes: some hundred megabytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings(Settings):
    """How the web console runs."""

    PROGRAM: ClassVar[str] = "console"

    context: Annotated[
        Path,
        Setting(
            "File that says where the fleet is, as framegate-controller init wrote it; a session "
            "in it is not used.",
            there="file",
            example=Path("/etc/framegate/fleet.json"),
        ),
    ]
    listen: Annotated[
        str,
        Setting("Where browsers come to; beyond loopback only with --tls.", form=HOST_PORT),
    ] = "127.0.0.1:8090"
    name: Annotated[
        tuple[str, ...],
        Setting(
            "Name or name:port by which browsers call it; any other is refused. On loopback "
            "localhost and 127.0.0.1 are known.",
            example=("console.plant.framegate",),
        ),
    ] = ()
    tls: Annotated[
        Path | None,
        Setting(
            "Folder with console.pem and console.key: the plant's own certificate for these names.",
            there="folder",
            example=Path("/etc/framegate/console"),
        ),
    ] = None
    wall: Annotated[
        Path | None,
        Setting(
            "Context of a viewer who is signed in: what the wall board shows to everybody. "
            "Default: no wall board.",
            example=Path("/var/lib/framegate-console/wall.json"),
        ),
    ] = None
    sessions: Annotated[
        int, Setting("How many people may be signed in here at once.", least=1, most=MAX_SESSIONS)
    ] = 256
    language: Annotated[
        Literal["en", "de"], Setting("Language where a browser asks for none that is here.")
    ] = "en"
    ready_file: Annotated[
        Path | None, Setting("Write the address here once it serves, for whoever waits.")
    ] = None
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False

    def problems(self) -> Iterator[Failure]:
        """Beyond loopback it takes TLS, and a name to be called by."""
        if self.tls is None and not is_loopback(self.listen):
            hint = "listen on 127.0.0.1, or give a folder with the plant's certificate"
            yield self.beside("tls", f"--listen {self.listen}", hint)
        if not is_loopback(self.listen) and not self.name:
            hint = "the name in its certificate: --name console.plant.framegate"
            yield self.beside("name", f"--listen {self.listen}", hint)
        for name in self.name:
            if "/" in name or "*" in name or not name:
                yield Failure(Reason.USAGE, "--name: a host, or host:port", ascii(name[:80]))

    @property
    def hosts(self) -> frozenset[str]:
        """Every `Host` that is answered, lower case."""
        port = self.listen.rpartition(":")[2]
        names = {n.lower() for n in self.name}
        names |= {f"{n}:{port}" for n in names if ":" not in n}
        if is_loopback(self.listen):
            names |= {f"{n}:{port}" for n in ("localhost", "127.0.0.1", "[::1]")}
        return frozenset(names)
