"""What an enforcer of segments can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, Setting

MAX_DROPS: Final = 10_000
"""Each some 300 bytes, written as a whole every second."""
STATE: Final = Path("/var/lib/framegate-segment")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings(Settings):
    """How an enforcer runs."""

    PROGRAM: ClassVar[str] = "segment"

    credentials: Annotated[
        Path,
        Setting(
            "Folder that framegate-controller enforcer-certificate wrote.",
            example=Path("/etc/framegate/segment"),
        ),
    ]
    controller: Annotated[
        str,
        Setting(
            "The controller's fleet port.", form=HOST_PORT, example="controller.example.net:8444"
        ),
    ]
    server_name: Annotated[
        str,
        Setting(
            "The controller's certificate name, controller.<fleet>.framegate.",
            example="controller.plant.framegate",
        ),
    ]
    state: Annotated[
        Path,
        Setting("Folder for the last policy, what was seen of the controller, reports and drops."),
    ] = STATE
    namespace: Annotated[
        Path | None,
        Setting(
            "The network namespace whose packets are filtered, by its file; default: its own.",
            example=Path("/run/netns/router"),
        ),
    ] = None
    hostapd: Annotated[
        Path | None,
        Setting(
            "Folder of hostapd's control sockets, one a port: 802.1X opens ports (dot1x = true).",
            example=Path("/run/hostapd"),
        ),
    ] = None
    switch_state: Annotated[
        Path | None,
        Setting(
            "File that tells a RADIUS server who is trusted now: framegate-segment vlan reads it.",
            example=Path("/run/framegate-segment/switch.json"),
        ),
    ] = None
    disconnect: Annotated[
        str,
        Setting(
            "A switch that is asked to end the session of whoever is cut (RFC 5176).",
            form=HOST_PORT,
            example="switch.example.net:3799",
        ),
    ] = ""
    disconnect_secret_file: Annotated[
        Path | None,
        Setting("File with the switch's secret.", example=Path("/etc/framegate/switch.secret")),
    ] = None
    kept_drops: Annotated[
        int,
        Setting(
            "Refused packets that are kept here, the latest of each kind.",
            unit="packets",
            least=10,
            most=MAX_DROPS,
        ),
    ] = 1_000
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False
