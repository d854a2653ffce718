"""Digests of template data, remembered: a fleet's machines measure the same files, and each shows
them again after every boot.

A digest depends on nothing but the bytes it is of, and the bytes are what it is remembered by: who
fills the memory with data of his own makes others' be computed anew, and never be wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

REMEMBERED_DIGESTS: Final = 65_536
"""In each algorithm; then all are forgotten. Some six lists of a whole distribution, and some 20
MiB.
"""
REMEMBERED_DATA: Final = 512
"""Bytes of the longest data whose digest is remembered: paths are shorter, and what a machine may
put into a verifier's memory stays below 64 MiB.
"""


class TemplateDigests:
    """Digests in one algorithm: `new` makes one, as hashlib's constructors do."""

    def __init__(self, new: Callable[[bytes], Any]) -> None:
        self._new, self._known = new, dict[bytes, bytes]()

    def of(self, datas: Sequence[bytes]) -> list[bytes]:
        """The digest of each of `datas`."""
        known = list(map(self._known.get, datas))
        if None not in known:
            return known  # type: ignore[return-value]  # it has just been looked
        new = self._new
        digests = [new(d).digest() if k is None else k for d, k in zip(datas, known, strict=True)]
        self._remember(datas, digests)
        return digests

    def forget(self) -> None:
        """Begin with an empty memory."""
        self._known = {}

    def _remember(self, datas: Sequence[bytes], digests: Sequence[bytes]) -> None:
        fresh = {
            data: digest
            for data, digest in zip(datas, digests, strict=True)
            if len(data) <= REMEMBERED_DATA
        }
        if len(self._known) + len(fresh) > REMEMBERED_DIGESTS:
            self._known = {}
        if len(fresh) <= REMEMBERED_DIGESTS:
            self._known.update(fresh)


_BY_NAME: Final = {
    name: TemplateDigests(new)
    for name, new in (
        ("sha1", hashlib.sha1),
        ("sha256", hashlib.sha256),
        ("sha384", hashlib.sha384),
        ("sha512", hashlib.sha512),
    )
}


def template_digests(algorithm: str, datas: Sequence[bytes]) -> list[bytes]:
    """The digest of each of `datas` under `algorithm`, by hashlib's name."""
    known = _BY_NAME.get(algorithm)
    if known is None:  # SM3, where the host's library has it
        return [hashlib.new(algorithm, data).digest() for data in datas]
    return known.of(datas)


def forget_digests() -> None:
    """Empty the memory: for measuring what a list costs that is seen for the first time."""
    for each in _BY_NAME.values():
        each.forget()
