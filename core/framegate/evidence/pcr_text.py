"""The text that TPM tools print of PCR values: a bank, and below it a line for each PCR.

Source: tpm2-tools, lib/pcr.c (`pcr_print_values`) and tools/tpm2_eventlog.c; systemd-analyze(1),
pcrs; Linux, Documentation/ABI/stable/sysfs-class-tpm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from framegate.byte_order_mark import as_utf8
from framegate.evidence.pcr_tables import bank_called, no_pcr_file, put_value
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg

_BANK_LINE: Final = re.compile(
    r"\s*(?:Bank(?:/Algorithm)?: ?)?(?:TPM_ALG_)?([A-Za-z][A-Za-z0-9_-]{2,15})"
    r" ?(?:\(0x[0-9a-fA-F]+\))? ?:?\s*"
)
_HEAD_LINE: Final = re.compile(r"NR +NAME +([A-Z0-9_-]{3,16})\s*")
"""What systemd-analyze pcrs begins with."""
_VALUE_LINE: Final = re.compile(
    r"\s*[\"']?(?:PCR[-_ \[]?)?(\d{1,2})\]?[\"']? *(?:: *| [a-z][a-z0-9-]* +| - +)"
    r"[\"']?(?:0x)?((?:[0-9A-Fa-f]{2} ?)+)[\"']?\s*",
    re.IGNORECASE,
)
_KERNEL_LINE: Final = re.compile(
    r"(?:\S*/)?pcr-([a-z0-9_-]{3,16})/(\d{1,2}): *((?:[0-9A-Fa-f]{2})+)\s*", re.IGNORECASE
)
"""A file below /sys/class/tpm/tpm0 and what it holds, as grep prints them."""
_FILE_LINE: Final = re.compile(r"==> ((?:\S*/)?\d{1,2}) <==\s*")
"""The file's name as head and tail print it; the value is on the next line."""
_HEX_LINE: Final = re.compile(r"\s*(?:[0-9A-Fa-f]{2})+\s*")
_OTHER_LINE: Final = re.compile(
    r"\s*(?:quoted|signature|alg|sig|pcrs|calcDigest|selected-pcrs)\s*:.*"
    r"|\s*- sha\S+\s*:.*|\s*#.*|\s*---\s*|\s*"
    r"|(?:WARN(?:ING)?|INFO|TRACE|DEBUG)[: ].*|\S*[@:]\S*[#$>](?: .*)?"
)
"""What tpm2_quote prints around the values, what a TSS library warns of, and a prompt."""
_EVENT_LOG: Final = re.compile(rb"(?:---\s+)?version: *\d+\s+events:")
_SECTION: Final = b"\npcrs:"
MAX_TEXT_BYTES: Final = 8 * 1024 * 1024
"""The text that tpm2_eventlog makes of a log of 2 MiB; the values stand at its end."""


def values_of(raw: bytes) -> bytes:
    """`raw` without a byte order mark, in UTF-8; of tpm2_eventlog's text the values at its end
    alone, which are those that the log replays to.
    """
    text = as_utf8(raw)
    plain = text if text.isascii() else raw  # values in binary may begin with a mark's bytes
    if len(plain) <= MAX_TEXT_BYTES and _EVENT_LOG.match(plain):
        _, section, values = plain.rpartition(_SECTION)
        return section.lstrip() + values
    return plain


def read_text(raw: bytes) -> dict[str, dict[int, bytes]] | None:
    """Lines of a bank and of values below it; without a bank, the width tells it. Banks that
    Framegate does not know are left out. None where it is no such text. Raises Malformed (USAGE)
    where it has values of such a bank alone.
    """
    try:
        lines = raw.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return None
    table, bank, known = dict[str, dict[int, bytes]](), Alg.NULL, True
    called, stranger = "", ""
    for line in _files_as_lines(lines):
        value = _VALUE_LINE.fullmatch(line)
        named = _HEAD_LINE.fullmatch(line) or _BANK_LINE.fullmatch(line)
        kernel = _KERNEL_LINE.fullmatch(line)
        if kernel is not None:
            told = bank_called(kernel[1])
            if told.known:
                put_value(table, told.bank, int(kernel[2]), bytes.fromhex(kernel[3]))
        elif value is not None:
            digest = bytes.fromhex(value[2])
            of = bank if bank != Alg.NULL else _by_width(len(digest))
            if known and of is not None:
                put_value(table, of, int(value[1]), digest)
            elif not known:
                stranger = called
        elif _OTHER_LINE.fullmatch(line) is None:
            if named is None:
                return None
            called = named[1]
            bank, known = bank_called(called)
    if stranger and not table:
        raise no_pcr_file(f"values of {stranger} alone, a bank that Framegate does not know")
    return table or None


def _files_as_lines(lines: Iterable[str]) -> Iterator[str]:
    """What head and tail print of the kernel's files as grep does: name and value on one line."""
    file = ""
    for line in lines:
        named = _FILE_LINE.fullmatch(line)
        if named is not None:
            file = named[1]
        elif file and _HEX_LINE.fullmatch(line):
            yield f"{file}: {line.strip()}"
            file = ""
        else:
            yield line


def _by_width(size: int) -> Alg | None:
    return next((b for b in HASH_NAME if DIGEST_SIZE[b] == size), None)
