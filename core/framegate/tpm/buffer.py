"""A strict big-endian reader and the TPM2B form, for bytes that an attacker may have made."""

from __future__ import annotations

import struct
from typing import Any

from framegate.errors import Malformed, Reason
from framegate.tpm.constants import Alg


class Buffer:
    """Reads `data` from the front; every short read is Malformed, with what was wanted and
    where.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = bytes(data), 0, what
        self.end_at = len(self.data)

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return self.end_at - self.at

    def take(self, size: int, name: str) -> bytes:
        """The next `size` bytes."""
        at = self.at
        end = at + size
        if end > self.end_at:
            raise Malformed.of(
                Reason.MALFORMED,
                f"{size} bytes for {name} at offset {at} of {self.what}",
                f"{self.left} left",
            )
        self.at = end
        return self.data[at:end]

    def u8(self, name: str) -> int:
        """One byte."""
        return self.take(1, name)[0]

    def u16(self, name: str) -> int:
        """Two bytes, big-endian."""
        return int.from_bytes(self.take(2, name), "big")

    def u32(self, name: str) -> int:
        """Four bytes, big-endian."""
        return int.from_bytes(self.take(4, name), "big")

    def u64(self, name: str) -> int:
        """Eight bytes, big-endian."""
        return int.from_bytes(self.take(8, name), "big")

    def members(self, shape: struct.Struct, name: str) -> tuple[Any, ...]:
        """The numbers of `shape`, which stand side by side: a structure at once, not each by
        itself.
        """
        return shape.unpack(self.take(shape.size, name))

    def tpm2b(self, name: str, most: int) -> bytes:
        """A TPM2B: 16-bit size, then that many bytes, at most `most`."""
        at = self.at + 2
        size = int.from_bytes(self.data[at - 2 : at], "big")
        end = at + size
        if size <= most and end <= self.end_at:
            self.at = end
            return self.data[at:end]
        size = self.u16(name)
        if size > most:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {most} bytes of {name}", size)
        return self.take(size, name)

    def alg(self, name: str, *allowed: Alg) -> Alg:
        """A TPM_ALG_ID out of `allowed`."""
        value = self.u16(name)
        for known in allowed:
            if known == value:
                return known
        raise Malformed.of(
            Reason.UNKNOWN_ALGORITHM,
            f"{name} of {'/'.join(a.name for a in allowed)}",
            f"0x{value:04x}",
        )

    def end(self) -> None:
        """Nothing may be left."""
        if self.left:
            raise Malformed.of(
                Reason.TRAILING_BYTES, f"{self.what} of {self.at} bytes", f"{self.left} bytes more"
            )


def tpm2b(data: bytes) -> bytes:
    """`data` as a TPM2B."""
    return struct.pack(">H", len(data)) + data
