"""A sink's credentials: files in a folder of its own on the controller's host.

    ca.pem       whom to trust, where it is not a public authority
    client.pem   a certificate and its key, where the sink wants one
    token        what goes with every request

Whoever adds a sink names no file: they could have any file of the host sent away.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from framegate.errors import Refused
from framegate.registry.sink import LOCAL
from framegate_controller.sinks.delivery import SinkFailed
from framegate_host.secret_files import read_secret

MAX_TOKEN = 8_192
"""Bytes of a token: JWTs have some thousand."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What lies in a sink's folder."""

    folder: Path

    @property
    def ca(self) -> Path | None:
        """Whom to trust; None for public authorities."""
        return self._there("ca.pem")

    @property
    def client(self) -> Path | None:
        """Our certificate and key. Raises SinkFailed where everybody can read them."""
        path = self._there("client.pem")
        if path is not None:
            _secret(path)
        return path

    def token(self) -> str:
        """What goes with every request; empty where there is none. Raises SinkFailed."""
        path = self._there("token")
        if path is None:
            return ""
        try:
            text = _secret(path)[: MAX_TOKEN + 1].decode("ascii")
        except ValueError as error:
            raise SinkFailed(f"the token cannot be read: {type(error).__name__}") from error
        if len(text) > MAX_TOKEN or not text.isprintable():
            raise SinkFailed(f"expected a token of one line, at most {MAX_TOKEN} bytes")
        return text

    def plain(self, host: str) -> bool:
        """Whether it goes in plain text: to this machine alone, and where no `ca.pem` lies."""
        return host in LOCAL and self.ca is None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, to whom `ca.pem` vouches for. Raises SinkFailed."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.client is not None:
                context.load_cert_chain(str(self.client))
        except (OSError, ValueError) as error:
            raise SinkFailed(f"ca.pem or client.pem cannot be used: {error}") from error
        return context

    def _there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


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


def _secret(path: Path) -> bytes:
    try:
        return read_secret(path)
    except Refused as error:
        raise SinkFailed(str(error.failures[0])) from error
    except OSError as error:
        raise SinkFailed(f"{path.name} cannot be read: {type(error).__name__}") from error
