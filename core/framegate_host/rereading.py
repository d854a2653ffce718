"""Settings that are read again while a program runs: `systemctl reload`, SIGHUP."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import FramegateError
from framegate_host.logs import set_verbose
from framegate_host.setting_records import Settings
from framegate_host.settings import Given, resolve

log = logging.getLogger(__name__)
_LIVE: Final[Mapping[str, Callable[[Any], None]]] = MappingProxyType({"verbose": set_verbose})
"""Settings that hold at once, and how. All others are of what is built at the start: ports, keys,
children.
"""


class Rereader:
    """Reads the settings of a running program again, as they were given: the flags that were typed,
    the variables that it was started with, the file as it is now.
    """

    def __init__(self, record: type[Settings], given: Given) -> None:
        self._record, self._given = record, given
        self._holds: Settings = resolve(record, given).settings()

    def read_again(self) -> None:
        """Put in force what can be while the program runs, and say what waits for the next start.
        Settings that are wrong change nothing, and are told.
        """
        try:
            now = resolve(self._record, self._given).settings()
        except FramegateError as error:
            log.error("the settings are wrong, those of before hold: %s", error)
            return
        changed = [
            member.name
            for member in dataclasses.fields(now)
            if getattr(now, member.name) != getattr(self._holds, member.name)
        ]
        for name in changed:
            if name in _LIVE:
                _LIVE[name](getattr(now, name))
        waiting = [name for name in changed if name not in _LIVE]
        if waiting:
            log.warning("settings that hold from the next start on: %s", ", ".join(waiting))
        live = {name: getattr(now, name) for name in changed if name in _LIVE}
        self._holds = dataclasses.replace(self._holds, **live)
