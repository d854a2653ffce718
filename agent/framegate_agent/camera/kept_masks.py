"""The masks that an agent keeps, for a command that takes pictures without it."""

from __future__ import annotations

import os
from pathlib import Path

from framegate.identity.certificates import from_ms
from framegate.signed.mask import verify_masks
from framegate_agent.camera.capture import Capture
from framegate_agent.state import StateFile
from framegate_agent.trusted_clock import TrustedClock


def hold_masks(capture: Capture, folder: Path) -> None:
    """Have `capture` blank what the masks in the state `folder` cover, verified as the agent does
    at its start. A folder that is not there, or of a machine that has not joined, has none. Raises
    what reading and verifying them say: a masked region is in no picture.
    """
    if not os.path.lexists(folder):
        return
    file = StateFile(folder)
    envelope = file.load_masks()
    if not envelope:
        return
    state = file.load()
    now = from_ms(TrustedClock(state.seen_ms).now_ms())
    capture.set_masks(
        verify_masks(
            envelope, state.device, 0, state.authority_certificates, state.root_certificate, now
        )
    )
