"""Linux IMA measurement lists: parse, replay to PCR 10, judge against allowlists. Nothing in a list
is trusted until it replays to a quote.
"""

from framegate.ima.binary_list import cut_entries
from framegate.ima.entry import ImaEntry, ImaList
from framegate.ima.parse import looks_like_ima, parse_ima
from framegate.ima.replay import ImaPrefix, boot_aggregates, find_prefix, running_values

__all__ = [
    "ImaEntry",
    "ImaList",
    "ImaPrefix",
    "boot_aggregates",
    "cut_entries",
    "find_prefix",
    "looks_like_ima",
    "parse_ima",
    "running_values",
]
