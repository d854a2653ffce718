"""Where a program's log goes: to standard error, for its service manager to keep."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import MappingProxyType

_NONE: Mapping[str, int] = MappingProxyType({})


def start_logging(*, verbose: bool, least: Mapping[str, int] = _NONE) -> None:
    """Log warnings, or where `verbose` what goes on; loggers in `least` only from there on."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for name, level in least.items():
        logging.getLogger(name).setLevel(level)
