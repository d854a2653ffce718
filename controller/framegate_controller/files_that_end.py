"""Files on a controller's host that end by themselves: revocation lists, credentials of sinks,
certificates of its listener for metrics, the provider's CA. Somebody brings the next one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError
from framegate_controller.revocation_files import read_revocation_lists
from framegate_host.certificate_end import Life
from framegate_host.telemetry.listener_certificates import CERTIFICATES

SINKS: Final = "sinks"
"""In the controller's own folder: one for each sink, with its credentials."""


@dataclass(frozen=True, slots=True)
class OtherEnd:
    """Something that ends at `ends_ms`, in words, and what to do before; `begins_ms` as well."""

    name: str
    begins_ms: int
    ends_ms: int
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesAt:
    """Where they lie: a controller's settings."""

    state: Path
    revocations: Sequence[Path] = ()
    metrics_tls: Path | None = None
    oidc_ca: Path | None = None

    def ends(self, sinks: Sequence[str]) -> tuple[OtherEnd, ...]:
        """Of every file that is there and can be read; `sinks` are the names of those that the
        registry has. What cannot be read is told by whoever uses it. Blocks.
        """
        return (*self._lists(), *self._certificates(sinks))

    def _lists(self) -> Iterator[OtherEnd]:
        for path in self.revocations:
            try:
                (read,) = read_revocation_lists([path])
                begins, ends = read.last_update_utc, read.next_update_utc
            except (FramegateError, ValueError):
                continue
            if ends is not None:  # one without an end is refused whenever it is asked
                name = f"the revocation list {path.name} of {read.issuer.rfc4514_string()}"
                do = f"put the maker's present list to {shlex.quote(str(path))}"
                yield OtherEnd(name, _ms(begins), _ms(ends), do)

    def _certificates(self, sinks: Sequence[str]) -> Iterator[OtherEnd]:
        for sink in sinks:
            for file, whose in (("client.pem", "certificate to"), ("ca.pem", "authority of")):
                path = self.state / SINKS / sink / file
                yield from _end(f"the {whose} the sink {sink}", path)
        if self.metrics_tls is not None:
            for name, whose in CERTIFICATES.items():
                path = self.metrics_tls / f"{name}.pem"
                yield from _end(f"{whose} (controller)", path, "; restart the controller")
        if self.oidc_ca is not None:
            yield from _end("the OpenID provider's authority", self.oidc_ca)


def _end(name: str, path: Path, then: str = "") -> Iterator[OtherEnd]:
    try:
        life = Life.soonest(path)
    except (OSError, ValueError):
        return
    do = f"bring the next one to {shlex.quote(str(path))}{then}"
    yield OtherEnd(name, _ms(life.begins), _ms(life.ends), do)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
