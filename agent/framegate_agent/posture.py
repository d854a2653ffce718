"""The agent's own word about its machine."""

from __future__ import annotations

import hashlib
import platform
import re
import time
from functools import lru_cache
from pathlib import Path

from framegate.posture import Posture
from framegate_agent import VERSION


def collect_posture() -> Posture:
    """The facts of this moment."""
    release = _os_release()
    return Posture(
        agent_version=VERSION, agent_sha256=agent_digest(), os_id=release.get("ID", "unknown"), os_version=release.get("VERSION_ID", "unknown"),
        kernel=platform.release(), architecture=platform.machine(), uptime_s=int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        reboot_pending=Path("/run/reboot-required").exists(),
    )  # fmt: skip


def _os_release() -> dict[str, str]:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return {}
    return {k: v.strip('"') for k, v in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)}


@lru_cache(maxsize=1)
def agent_digest() -> str:
    """SHA-256 over the agent's own Python files, in path order."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.relative_to(Path(__file__).parent).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
