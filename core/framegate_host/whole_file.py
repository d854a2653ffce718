"""Files that are always whole: written beside their place, then put into it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`; a reader, or a crash, sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def write_ready(path: Path, body: dict[str, Any]) -> None:
    """Tell whoever waits for `path` that a program serves, and at which addresses, as JSON."""
    write_whole(path, json.dumps(body).encode())
