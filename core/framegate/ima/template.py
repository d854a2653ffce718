"""What the data of an IMA entry holds: templates, their fields, and the hash over them.

Source: Linux Documentation/security/IMA-templates.rst and ima_template_lib.c.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from framegate.ima.entry import ImaEntry, malformed
from framegate.tpm.constants import Alg

MAX_TEMPLATE_BYTES: Final = 64 * 1024
"""A path of 4 KiB, a signature of 1 KiB, a measured buffer (kexec command line, keys) of some KiB.
"""
MAX_TEMPLATE_NAME: Final = 256
"""Every field there is, joined, has some 110 bytes; the kernel takes 15 fields of 16."""
MAX_FIELDS: Final = 15
"""TEMPLATE_NUM_FIELDS_MAX of security/integrity/ima/ima_template.c."""
OLD_NAME_BYTES: Final = 256
WIDTHS: Final = {20: Alg.SHA1, 32: Alg.SHA256, 48: Alg.SHA384, 64: Alg.SHA512}
_HASHES: Final = {
    "sha1": 20,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
    "sha224": 28,
    "md5": 16,
    "sm3_256": 32,
    "sm3": 32,
    "sm3-256": 32,
    "rmd160": 20,
    "wp512": 64,
    "streebog256": 32,
    "streebog512": 64,
    "sha3-256": 32,
    "sha3-384": 48,
    "sha3-512": 64,
}
TEMPLATES: Final = {
    "ima": ("d", "n"),
    "ima-ng": ("d-ng", "n-ng"),
    "ima-sig": ("d-ng", "n-ng", "sig"),
    "ima-buf": ("d-ng", "n-ng", "buf"),
    "ima-modsig": ("d-ng", "n-ng", "sig", "d-modsig", "modsig"),
    "ima-ngv2": ("d-ngv2", "n-ng"),
    "ima-sigv2": ("d-ngv2", "n-ng", "sig"),
    "evm-sig": (
        "d-ng",
        "n-ng",
        "evmsig",
        "xattrnames",
        "xattrlengths",
        "xattrvalues",
        "iuid",
        "igid",
        "imode",
    ),
}
"""Template name to its fields. Any other name is read as a list of fields joined by `|`, as
ima_template_fmt= makes them.
"""
FIELDS: Final = frozenset(f for fields in TEMPLATES.values() for f in fields)
"""Every field that a kernel has (IMA-templates.rst), in any list and order."""
NAMES: Final = frozenset({"n", "n-ng"})
TYPED_DIGEST: Final = "d-ngv2"
VERITY: Final = "verity:"
"""Type in front of an fs-verity digest: the root of a tree over the file, no hash of it."""


class TemplateHash:
    """The hash that made the list's template hashes: told by their width, except that SM3 is as
    wide as SHA-256 and shows at the first entry.
    """

    def __init__(self, width: int) -> None:
        self.width, self.algorithm, self._sure = width, WIDTHS[width], False
        self.new: Callable[[bytes], Any] = getattr(hashlib, self.algorithm.name.lower())

    def matches(self, template_hash: bytes, body: bytes) -> bool:
        """Whether `template_hash` is that of `body`."""
        if self.new(body).digest() == template_hash:
            self.settle()
            return True
        if (
            not self._sure
            and self.algorithm == Alg.SHA256
            and "sm3" in hashlib.algorithms_available
            and hashlib.new("sm3", body).digest() == template_hash
        ):
            self.algorithm, self.new, self._sure = (
                Alg.SM3_256,
                lambda data: hashlib.new("sm3", data),
                True,
            )
            return True
        return False

    def settle(self) -> None:
        """An entry's hash was of this algorithm: no later one's is of another."""
        self._sure = True


def template_fields(name: bytes) -> tuple[str, ...] | None:
    """The fields of the template called `name`; None where it is unknown."""
    text = name.decode("ascii", "replace")
    if text in TEMPLATES:
        return TEMPLATES[text]
    parts = tuple(text.split("|"))
    known = set(parts) <= FIELDS and len(set(parts)) == len(parts) <= MAX_FIELDS
    return parts if known else None


def read_entry(
    pcr: int,
    template_hash: bytes,
    known: tuple[str, tuple[str, ...]],
    body: bytes,
    values: list[bytes],
    violation: bool,
    at: int,
) -> ImaEntry:
    """The entry whose template, name and fields, is `known`, from the fields' values; what a list
    of fields leaves out (a digest, a name) is empty. Raises Malformed.
    """
    by = dict(zip(known[1], values, strict=True))
    algorithm, digest = _digest(by, at, violation)
    signature = by.get("sig") or by.get("evmsig") or b""
    name = by.get("n-ng") or by.get("n")
    return ImaEntry(
        pcr,
        template_hash,
        known[0],
        body,
        algorithm,
        digest,
        read_name(name, at) if name is not None else b"",
        signature,
        by.get("buf", b""),
        violation,
    )


def _digest(by: Mapping[str, bytes], at: int, violation: bool) -> tuple[str, bytes]:
    """Algorithm and digest of the file, from the field that says most of them."""
    if TYPED_DIGEST in by:
        return read_digest(by[TYPED_DIGEST], at, violation, typed=True)
    if "d-ng" in by:
        return read_digest(by["d-ng"], at, violation)
    if "d" not in by:
        return "", b""
    algorithm = {20: "sha1", 16: "md5"}.get(len(by["d"]))
    if algorithm is None:
        raise malformed(at, "a digest of 20 or 16 bytes in field d", len(by["d"]))
    return algorithm, by["d"]


def read_digest(
    value: bytes, at: int, violation: bool, *, typed: bool = False
) -> tuple[str, bytes]:
    """`sha256:` NUL digest. `typed` (d-ngv2) asks for its type in front: `ima:sha256:`, which is a
    hash of the file as any other, or `verity:sha256:`, which keeps its type. Raises Malformed.
    """
    name, mark, digest = value.partition(b":\0")
    if not mark:
        raise malformed(at, "an algorithm and a digest", ascii(value[:20]))
    text = name.decode("ascii", "replace")
    kind, separator, algorithm = text.rpartition(":")
    if (kind + separator) not in ({"ima:", VERITY} if typed else {""}):
        wanted = "ima: or verity: before an algorithm" if typed else "an algorithm alone"
        raise malformed(at, wanted, f"{text[:20]!a}")
    size = _HASHES.get(algorithm)
    if size is None or (len(digest) != size and not (violation and not any(digest))):
        raise malformed(
            at, "a known file hash of its width", f"{text[:20]!a} of {len(digest)} bytes"
        )
    return (text if kind == "verity" else algorithm), digest


def read_name(value: bytes, at: int) -> bytes:
    """The name in a field, without its NUL. Raises Malformed."""
    if not value.endswith(b"\0") or b"\0" in value[:-1]:
        raise malformed(at, "a name closed by its only NUL", ascii(value[:40]))
    return value[:-1]


def kernel_name(name: bytes) -> bytes:
    """A file's name as the kernel measures it: every space is an underscore
    (ima_write_template_field_data).
    """
    return name.replace(b" ", b"_")
