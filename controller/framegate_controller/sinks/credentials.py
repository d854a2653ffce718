"""A sink's credentials: files in a folder of its own on the controller's host.

Whoever adds a sink names no file: they could have any file of the host sent away.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from framegate.errors import Unavailable
from framegate_controller.sinks.delivery import SinkFailed
from framegate_host.collector_folder import CollectorFolder


class Credentials(CollectorFolder):
    """What lies in a sink's folder. What is wrong with it is a failure of the sink, which another
    time may be mended.
    """

    __slots__ = ()

    @property
    def client(self) -> Path | None:
        """As of every collector. Raises SinkFailed."""
        with _failing():
            return CollectorFolder.client.fget(self)  # type: ignore[attr-defined,no-any-return]

    def token(self) -> str:
        """As of every collector. Raises SinkFailed."""
        with _failing():
            return CollectorFolder.token(self)

    def context(self) -> ssl.SSLContext:
        """As of every collector. Raises SinkFailed."""
        with _failing():
            return CollectorFolder.context(self)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:
        raise SinkFailed(str(error)) from error


@dataclass(frozen=True, slots=True)
class Host:
    """A host and port."""

    name: str
    port: int

    @classmethod
    def parse(cls, address: str) -> Host:
        """Of `host:port`, which was checked when the sink was added."""
        parts = urlsplit(f"//{address}")
        return cls(parts.hostname or "", parts.port or 0)
