"""Device certificates issued a second."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from framegate.evidence.appraise import appraise
from framegate.evidence.verify import verify_evidence
from framegate.identity.names import DeviceId
from framegate.profile.model import parse_profile
from framegate_controller.ca.issue import issue_device
from framegate_controller.ca.open import found_fleet
from framegate_simulators.bench.verify import attested, per_second
from framegate_simulators.fixtures.gateway import CAMERA
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.tpm import TpmMaker


def bench_issue() -> dict[str, Any]:
    """Device certificates issued for an affirming result, a second."""
    folder = Path(tempfile.mkdtemp(prefix="fg-bench-"))
    fleet, forge = (
        found_fleet(folder / "keys", "plant"),
        Forge(TpmMaker.found(), Firmware("simulated-camera")),
    )
    profile = parse_profile(
        profile_toml(replace(forge.firmware, ima=False), "simulated-camera").encode()
    )
    result = appraise(verify_evidence(*attested(forge, tuple(range(10)))), profile, None)
    now = datetime.now(UTC)
    return {
        "certificates_per_s": round(
            per_second(
                lambda: issue_device(fleet, DeviceId(CAMERA), result, timedelta(minutes=3), now),
                300,
            )
        )
    }
