"""Digests of template data, remembered: a fleet's machines measure the same files, and each shows
them again after every boot.

What is remembered of some bytes depends on them alone, and they are what it is remembered by: who
fills the memory with data of his own makes others' be computed anew, and never be wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

_V = TypeVar("_V")
REMEMBERED: Final = 65_536
"""Data in each algorithm; then all of it is forgotten. Some six lists of a whole distribution."""
REMEMBERED_BYTES: Final = 512
"""Of the longest data that is remembered. Names are shorter, and what a machine may put into a
verifier's memory stays below 64 MiB in each algorithm.
"""
_DIGESTS: Final = {name: dict[bytes, bytes]() for name in ("sha1", "sha256", "sha384", "sha512")}


def template_digests(algorithm: str, datas: Sequence[bytes]) -> list[bytes]:
    """The digest of each of `datas` under `algorithm`, one of Python's own by hashlib's name."""
    memory, new = _DIGESTS[algorithm], getattr(hashlib, algorithm)
    known = list(map(memory.get, datas))
    if None not in known:
        return [digest for digest in known if digest is not None]
    digests = [new(d).digest() if k is None else k for d, k in zip(datas, known, strict=True)]
    remember(memory, dict(zip(datas, digests, strict=True)))
    return digests


def remember(memory: dict[bytes, _V], more: Mapping[bytes, _V]) -> None:
    """Put `more` into `memory`, within its bounds."""
    fresh = {key: value for key, value in more.items() if len(key) <= REMEMBERED_BYTES}
    if len(memory) + len(fresh) > REMEMBERED:
        memory.clear()
    if len(fresh) <= REMEMBERED:
        memory.update(fresh)


def forget_digests() -> None:
    """Empty the memory: for measuring what data costs that is seen for the first time."""
    for memory in _DIGESTS.values():
        memory.clear()
