"""Parse an IMA measurement list, binary or ASCII, of any template, with template hashes of any
bank's width.
"""

from __future__ import annotations

from framegate.byte_order_mark import as_utf8
from framegate.ima.ascii_list import begins_entry, parse_ascii
from framegate.ima.binary_list import parse_binary, read_binary, template_width
from framegate.ima.entry import ImaList, malformed


def parse_ima(data: bytes) -> ImaList:
    """The list in `data`, binary or ASCII, also in UTF-16, as Windows tools redirect it. The width
    of its template hashes is found out, not told.

    Every template hash is recomputed in its own algorithm. Raises Malformed (IMA_MALFORMED): a hash
    that does not match (N60), unknown templates or algorithms, sizes past the end, digests of the
    wrong width, more than `MAX_IMA_ENTRIES`. An empty list is malformed too.
    """
    data = as_utf8(data)
    if not data.strip(b"\n\0"):
        raise malformed(0, "an IMA measurement list", "padding only" if data else "nothing")
    width = template_width(data)
    if width:
        return read_binary(data, width)
    first = data.lstrip(b"\r\n")[:1]  # a PCR's number, with a space before it or none
    return parse_ascii(data) if first.isdigit() or first == b" " else parse_binary(data)


def looks_like_ima(data: bytes) -> bool:
    """Whether `data` begins as a measurement list does, of whatever template: a guess, for telling
    kinds of files apart.
    """
    return begins_entry(as_utf8(data[:1024]).lstrip(b"\r\n")) or bool(template_width(data))
