"""What 802.1X costs at a port: a key that a software TPM keeps, a real hostapd and supplicant, and
the request that ends a session again (RFC 5176).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate_simulators.plant.dot1x import Claim, TpmToken, eapol_start, missing
from framegate_simulators.plant.dot1x_door import DYNAMIC, PATIENCE_S, Door
from framegate_simulators.plant.namespaces import Network
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.segment_site import CAM1

OWN: Final = ("p-cam1", "02:00:00:00:01:0b")
NAME: Final = "cam1"


@dataclass(frozen=True, slots=True)
class DoorFigures:
    """Milliseconds, the worst of all rounds: from EAPOL-Start to the element in the packet filter,
    from the Disconnect-Request to its acknowledgement, and until the packet filter was read back
    without the element. `why` says why there are none.
    """

    admitted_ms: float = math.nan
    ended_ms: float = math.nan
    shut_ms: float = math.nan
    why: str = ""


def doors(folder: Path, times: int) -> DoorFigures:
    """Let a machine in and end its session, `times` times; each a whole EAP-TLS."""
    if why := missing(tpm=True):
        return DoorFigures(why=why)
    rounds = [_round(folder / str(number)) for number in range(times)]
    return DoorFigures(
        max(r.admitted_ms for r in rounds),
        max(r.ended_ms for r in rounds),
        max(r.shut_ms for r in rounds),
    )


def _round(folder: Path) -> DoorFigures:
    with Network() as network, Door(network, folder, (OWN[0],), DYNAMIC) as door:
        token = TpmToken(door.programs)
        door.claim(NAME, Claim(CAM1, door.ca.issue(NAME, token.public), token=token))
        said = door.programs.folder / f"wpa-{NAME}.log"
        wait_for("the supplicant", lambda: "Associated" in said.read_text(), PATIENCE_S)
        begun = time.monotonic()
        eapol_start(network, NAME)
        door.until(lambda: bool(door.in_kernel()))
        admitted_ms = (time.monotonic() - begun) * 1000
        begun = time.monotonic()
        ended_ms = door.disconnect(OWN[1])
        door.until(lambda: not door.in_kernel())
        return DoorFigures(admitted_ms, ended_ms, (time.monotonic() - begun) * 1000)
