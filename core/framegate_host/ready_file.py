"""The file that tells whoever waits for it that a program serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from framegate_host.private_files import write_public


def write_ready(path: Path, body: dict[str, Any]) -> None:
    """Tell whoever waits for `path` that a program serves, and at which addresses, as JSON.

    Other users' programs may wait for it, and the addresses are no secret.
    """
    write_public(path, json.dumps(body).encode())
