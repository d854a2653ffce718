"""The TCG boot event log: parse, replay, structure."""

from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent, BootLog, parse_boot_log
from framegate.eventlog.replay import replay
from framegate.eventlog.structure import edited_after_measuring, structural_failures

__all__ = [
    "BootEvent",
    "BootLog",
    "EventType",
    "edited_after_measuring",
    "parse_boot_log",
    "replay",
    "structural_failures",
]
