"""One entry of an IMA measurement list, the list, and how a list is refused."""

from __future__ import annotations

from typing import Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.tpm.constants import Alg

MAX_IMA_ENTRIES: Final = 200_000
"""A full desktop measured with the kernel's tcb policy reaches some 50,000; with the 4 MiB of a
chunk this bounds time and memory.
"""


class ImaEntry(NamedTuple):
    """One entry. `data` is what the template hash covers; `path` the raw bytes of the name;
    `digest` of the file's content under `algorithm`.

    `violation`: the kernel saw the file open for writing while measured; such an entry has a zero
    template hash and says nothing of content. A tuple, because lists have tens of thousands.
    """

    pcr: int
    template_hash: bytes
    template: str
    data: bytes
    algorithm: str
    digest: bytes
    path: bytes
    signature: bytes
    buffer: bytes
    violation: bool


class ImaList(NamedTuple):
    """A parsed list: `width` is the algorithm of its template hashes; `padding` bytes after the
    last entry (a newline some tools leave).
    """

    entries: tuple[ImaEntry, ...]
    width: Alg
    padding: int


def malformed(at: int, expected: str, actual: object) -> Malformed:
    """The refusal of a list (IMA_MALFORMED), with the place where reading stopped."""
    return Malformed.of(
        Reason.IMA_MALFORMED,
        expected,
        f"{actual} at offset {at}",
        "read the list again from /sys/kernel/security/ima",
    )
