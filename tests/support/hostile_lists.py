"""Measurement lists of every form, and lists with one lie in them."""

import gzip
import hashlib
import random
import struct
from collections.abc import Iterator
from typing import Any

from support.paths import VECTORS


def entry(
    path: bytes,
    *,
    template: bytes = b"ima-ng",
    algorithm: bytes = b"sha256",
    signature: bytes = b"",
    width: str = "sha1",
    pcr: int = 10,
    violation: bool = False,
    content: bytes | None = None,
) -> bytes:
    """One entry as a kernel writes it; the file's content is its name where none is given."""
    held = path if content is None else content
    digest = hashlib.new(algorithm.decode().rpartition(":")[2], held).digest()
    fields = [algorithm + b":\0" + (bytes(len(digest)) if violation else digest), path + b"\0"]
    fields += [signature] if template in {b"ima-sig", b"ima-sigv2", b"ima-buf"} else []
    body = b"".join(struct.pack("<I", len(f)) + f for f in fields)
    shown = hashlib.new(width, body).digest()
    head = struct.pack("<I", pcr) + (bytes(len(shown)) if violation else shown)
    return head + struct.pack("<I", len(template)) + template + struct.pack("<I", len(body)) + body


def names(count: int) -> list[bytes]:
    return [b"/usr/lib/part%d/library-%d.so" % (n % 7, n) for n in range(count)]


def with_a_lie(rng: random.Random) -> bytes:
    """A list of plain entries with one among them that is hashed as it is, and is not well formed
    in one or two ways, or is and says something else.
    """
    lies = rng.sample(range(9), rng.choice((1, 1, 2)))

    def chosen(number: int, usual: Any, *others: Any) -> Any:
        return rng.choice(others) if number in lies else usual

    good = [entry(n, template=rng.choice((b"ima-ng", b"ima-sig"))) for n in names(12)]
    template = chosen(0, b"ima-ng", b"ima-sig", b"ima-ngv2", b"ima-ng\0", b"d-ng|n-ng", b"ima-buf")
    digest = chosen(1, hashlib.sha256(b"x").digest(), bytes(32), bytes(31), bytes(33), b"")
    name = chosen(2, b"/x\0", b"/x", b"/x\0\0", b"/x\0y\0", b"\0", b"", b"/" * 70_000 + b"\0")
    head = chosen(3, b"sha256:\0", b"sha256\0", b"sha256::\0", b"sha1:\0", b"SHA256:\0")
    last = chosen(4, [b""] if template == b"ima-sig" else [], [], [b""], [b"\3\2"], [b"", b""])
    fields = [head + digest, name, *last]
    sizes = [len(f) for f in fields]
    sizes[rng.randrange(len(sizes))] += chosen(5, 0, 1, -1, 4)
    body = b"".join(struct.pack("<I", n % 2**32) + f for n, f in zip(sizes, fields, strict=True))
    size = len(body) + chosen(6, 0, 1, -1, 4, 70_000)
    covered = chosen(7, body, body[: max(0, size)], b"")
    shown = chosen(8, hashlib.sha1(covered, usedforsecurity=False).digest(), bytes(20))
    lie = struct.pack("<I", chosen(8, 10, 11, 0, 255)) + shown
    lie += struct.pack("<I", len(template)) + template + struct.pack("<I", size) + body
    at = rng.randrange(13)
    return b"".join((*good[:at], lie, *good[at:]))


def lists() -> Iterator[tuple[str, bytes]]:
    """Measurement lists of every form."""
    first, files = entry(b"boot_aggregate"), names(60)
    yield "plain", first + b"".join(map(entry, files))
    yield "sha256", b"".join(entry(f, width="sha256") for f in files[:30])
    yield "sha384", b"".join(entry(f, width="sha384") for f in files[:30])
    yield "sig", first + b"".join(entry(f, template=b"ima-sig") for f in files)
    kinds = [
        {},
        {"template": b"ima-sig", "signature": b"\3\2\4" + bytes(6)},
        {"violation": True},
        {"template": b"ima-sig"},
        {"algorithm": b"sha1"},
        {"template": b"ima-buf", "signature": b"ro quiet"},
        {"pcr": 11},
        {"template": b"ima-sigv2", "algorithm": b"verity:sha256"},
        {"template": b"ima-ngv2", "algorithm": b"ima:sha256"},
        {"algorithm": b"sha512"},
        {"template": b"ima-sig", "violation": True},
    ]
    yield "mixed", first + b"".join(entry(f, **kinds[n % 11]) for n, f in enumerate(files))
    odd = [
        b"",
        b"a b",
        b"/x\n10 y",
        b"/\xff\xfe",
        b"/opt/../x",
        b"*",
        b"boot_aggregate",
        b"/" * 600,
    ]
    yield (
        "names",
        first + b"".join(entry(n, template=t) for n in odd for t in (b"ima-ng", b"ima-sig")),
    )
    vm = gzip.decompress((VECTORS / "vm/ima.gz").read_bytes())
    yield "vm", vm[: len(vm) // 8]
    yield (
        "ascii",
        b"".join(
            b"10 %s ima-ng sha256:%s %s\n"
            % (
                entry(f)[4:24].hex().encode(),
                hashlib.sha256(f).hexdigest().encode(),
                f,
            )
            for f in files[:20]
        ),
    )
    for kept in sorted((VECTORS / "corpus/ima").iterdir()):
        yield f"kept-{kept.name}", kept.read_bytes()
