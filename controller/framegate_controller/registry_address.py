"""Where a registry is kept: a file of SQLite in the controller's folder, or PostgreSQL."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from framegate.errors import Failure, Reason
from framegate.redaction import clipped
from framegate.signed.backup import REGISTRY

SCHEME: Final = "postgresql"
OPTIONS: Final = frozenset(
    {
        "host",
        "port",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "requirepeer",
        "target_session_attrs",
    }
)
"""Of libpq's options those that say whom to reach and how to believe them. What else there is,
Framegate sets itself, and a password stands in a file.
"""
_EXAMPLE: Final = "postgresql://framegate@db.example.net/framegate?sslmode=verify-full"


@dataclass(frozen=True, slots=True)
class StoreAt:
    """A controller's folder; the address of its database, empty for the file in the folder; and the
    file of its password, None where the database asks for none.
    """

    state: Path
    address: str = ""
    password_file: Path | None = None

    @property
    def file(self) -> Path:
        """The file in the folder, whether or not it is the registry."""
        return self.state / REGISTRY

    @property
    def shared(self) -> bool:
        """Whether several controllers may run on it."""
        return bool(self.address)

    def __str__(self) -> str:
        return self.address.partition("?")[0] if self.address else str(self.file)


def address_problems(address: str) -> list[Failure]:
    """What is wrong with the address of a database, nothing where it is empty.

    1. a database's name, one that libpq reads; 2. no option but those of `OPTIONS`; 3. another
    machine is believed by its certificate's name alone: the record, tickets and people's factors go
    there.
    """
    if not address:
        return []
    try:
        url = urlsplit(address)
        options = parse_qs(url.query, strict_parsing=bool(url.query))
    except ValueError as error:
        return [Failure(Reason.USAGE, f"--store as {_EXAMPLE}", clipped(str(error), 80))]
    problems = []
    if url.scheme != SCHEME or not url.path.strip("/"):  # 1
        problems.append(
            Failure(Reason.USAGE, f"--store as {_EXAMPLE}", clipped(ascii(address), 80))
        )
    strange = sorted(set(options) - OPTIONS)
    if strange:  # 2
        hint = "a password: --store-password-file FILE" if "password" in strange else ""
        wanted = f"of options in --store: {', '.join(sorted(OPTIONS))}"
        problems.append(Failure(Reason.USAGE, wanted, ", ".join(strange)[:80], hint))
    away = [h for h in _hosts(url.netloc, options) if not _is_here(h)]
    if away and options.get("sslmode") != ["verify-full"]:  # 3
        hint = "sslmode=verify-full&sslrootcert=FILE, the CA of the database's certificate"
        wanted = "sslmode=verify-full in --store, for a database on another machine"
        problems.append(
            Failure(Reason.USAGE, wanted, options.get("sslmode", ["none"])[0][:40], hint)
        )
    return problems


def _hosts(netloc: str, options: dict[str, list[str]]) -> list[str]:
    """Every host that an address names; libpq takes several, one after the other."""
    beside = [h for each in options.get("host", []) for h in each.split(",")]
    named = [h for h in netloc.rpartition("@")[2].split(",") if h]
    return beside or [_without_port(h) for h in named]


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_here(host: str) -> bool:
    """A socket of this machine, or its loopback."""
    if not host or host.startswith(("/", "%2F", "%2f", "@")) or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
