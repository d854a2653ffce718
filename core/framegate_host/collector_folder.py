"""Credentials for a collector of events (a SIEM, a broker): files in a folder.

    ca.pem       whom to trust, where it is not a public authority
    client.pem   a certificate and its key, where the collector wants one
    token        what goes with every request

A secret is in no command line, and in no registry.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate.registry.sink import LOCAL
from framegate_host.secret_files import read_secret

MAX_TOKEN: Final = 8_192
"""Bytes of a token: JWTs have some thousand."""


@dataclass(frozen=True, slots=True)
class CollectorFolder:
    """What lies in a collector's folder; without one public authorities are trusted."""

    folder: Path | None

    @property
    def ca(self) -> Path | None:
        """Whom to trust; None for public authorities."""
        return self._there("ca.pem")

    @property
    def client(self) -> Path | None:
        """Our certificate and key. Raises Unavailable where everybody can read them (N192)."""
        path = self._there("client.pem")
        if path is not None:
            _secret(path, "a certificate and its key")
        return path

    def token(self) -> str:
        """What goes with every request; empty where there is none. Raises Unavailable."""
        path = self._there("token")
        if path is None:
            return ""
        wanted = f"a token of one line, at most {MAX_TOKEN} bytes"
        try:
            text = _secret(path, wanted)[: MAX_TOKEN + 1].decode("ascii")
        except ValueError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, wanted, f"it cannot be read: {type(error).__name__}", str(path)
            ) from error
        if len(text) > MAX_TOKEN or not text.isprintable():
            raise Unavailable.of(Reason.UNAVAILABLE, wanted, f"{len(text)} bytes", str(path))
        return text

    def plain(self, host: str) -> bool:
        """Whether it goes in plain text: to this machine alone, and where no `ca.pem` lies."""
        return host in LOCAL and self.ca is None

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, to whom `ca.pem` vouches for. Raises Unavailable."""
        try:
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.client is not None:
                context.load_cert_chain(str(self.client))
        except (OSError, ValueError) as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "a ca.pem and client.pem of use", error, str(self.folder)
            ) from error
        return context

    def _there(self, name: str) -> Path | None:
        path = self.folder / name if self.folder is not None else None
        return path if path is not None and path.is_file() else None


def _secret(path: Path, wanted: str) -> bytes:
    try:
        return read_secret(path)
    except Refused as error:
        raise Unavailable(error.failures) from error
    except OSError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, wanted, f"it cannot be read: {type(error).__name__}", str(path)
        ) from error
