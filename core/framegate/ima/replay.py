"""Replay an IMA list to the value of its PCR, and find the prefix of it that a quote covers.

The list is read after the quote, so it may be ahead of it (N62); what counts is the one prefix
whose PCR value was quoted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from framegate.errors import EvidenceRejected, Failure, Reason
from framegate.ima.entry import IMA_PCR, ImaEntries, ImaEntry, ImaList
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg

MAX_AHEAD: Final = 4096
"""Entries a list may be ahead of its quote: a machine that starts a few thousand programs between
quote and reading is attested again.
"""


class ImaPrefix(NamedTuple):
    """What a controller has verified of a machine's list: how many entries and violations, and PCR
    10 after them, in one boot and one bank.
    """

    entries: int
    violations: int
    value: bytes
    reset_count: int
    restart_count: int


def running_values(
    measured: ImaList, bank: Alg, start: bytes, *, pcr: int = IMA_PCR, padded_sha1: bool = False
) -> list[bytes]:
    """`pcr` after 0, 1, … all entries: one value more than entries; template hashes are recomputed
    in `bank`, never taken from the list (N60).

    An entry that says another PCR leaves the value as it was. A violation extends all ones.
    `padded_sha1`: kernels before 5.8 extend every bank with the SHA-1 template hash and zeros.
    """
    new, value = getattr(hashlib, HASH_NAME[bank]), start
    extended = _extended(measured, bank, pcr, padded_sha1)
    if all(extended):  # nearly every list: a test less for each of its entries
        return [start, *[value := new(value + digest).digest() for digest in extended]]
    return [start, *[value := new(value + d).digest() if d else value for d in extended]]


def _extended(measured: ImaList, bank: Alg, pcr: int, padded_sha1: bool) -> list[bytes]:
    """What each entry extends `pcr` by; nothing where it is extended elsewhere."""
    entries, size = measured.entries, DIGEST_SIZE[bank]

    new = getattr(hashlib, HASH_NAME[bank])
    if padded_sha1:
        new = partial(hashlib.sha1, usedforsecurity=False)

    def digest(data: bytes) -> bytes:
        extends: bytes = new(data).digest()
        return extends.ljust(size, b"\0")

    if pcr != IMA_PCR:
        extended = [b""] * len(entries)
    elif padded_sha1 or bank != Alg.SHA256:
        extended = [digest(data) for data in entries.datas]
    else:  # computed by whoever read the list
        extended = list(entries.sha256s)
    for number, entry in entries.special.items():
        if entry.pcr != pcr:
            extended[number] = b""
        elif entry.violation:
            extended[number] = b"\xff" * size
        elif pcr != IMA_PCR:
            extended[number] = digest(entry.data)
    return extended


def require_one_pcr(entries: Sequence[ImaEntry], before: int = 0) -> None:
    """Raises EvidenceRejected (IMA_MALFORMED) that names the first entry which an IMA rule with
    pcr= had extended elsewhere: files measured there are outside of what PCR 10 covers. `before`
    entries stand before these.
    """
    listed = ImaEntries.of(entries)
    if listed.pcrs <= {IMA_PCR}:
        return
    number, other = next((before + n, e.pcr) for n, e in listed.special.items() if e.pcr != IMA_PCR)
    raise EvidenceRejected(
        [
            Failure(
                Reason.IMA_MALFORMED,
                f"entries extended into PCR {IMA_PCR}",
                f"entry {number} was extended into PCR {other}, not {IMA_PCR}",
                f"take pcr={other} out of the IMA policy: profiles judge what PCR {IMA_PCR} holds",
            )
        ]
    )


def find_prefix(values: Sequence[bytes], covers: Callable[[bytes], bool]) -> int:
    """How many entries the quote covers: the longest prefix for whose PCR value `covers` is true,
    at most `MAX_AHEAD` back from the end.

    Raises EvidenceRejected (IMA_REPLAY).
    """
    for count in range(len(values) - 1, max(-1, len(values) - 2 - MAX_AHEAD), -1):
        if covers(values[count]):
            return count
    raise EvidenceRejected(
        [
            Failure(
                Reason.IMA_REPLAY,
                f"a prefix, at most {MAX_AHEAD} entries short, that replays to the quoted PCR"
                f" {IMA_PCR}",
                f"none in {len(values) - 1} entries",
                "the list is not the whole story since boot: shortened, altered, or of another"
                " boot",
            )
        ]
    )


def boot_aggregates(pcrs: Mapping[int, bytes], algorithm: str) -> frozenset[bytes]:
    """What `boot_aggregate` may be, from verified boot PCRs of the same algorithm: over PCR 0 to 7,
    and over 0 to 9 for kernels that do so (N64).
    """
    sums = []
    for last in (7, 9):
        if all(p in pcrs for p in range(last + 1)):
            sums.append(hashlib.new(algorithm, b"".join(pcrs[p] for p in range(last + 1))).digest())
    return frozenset(sums)


def count_violations(entries: Iterable[ImaEntry]) -> int:
    """How many entries are violations."""
    return ImaEntries.of(entries).violations
