"""What a source's name says, where it is one that names a file, and whether it can be used."""

from __future__ import annotations

from pathlib import Path

from framegate.errors import Reason, Unavailable
from framegate.redaction import ENCODED, is_encoded, redacted
from framegate_host.secret_files import read_secret


def named_source(text: str) -> str:
    """`text`, or of address:FILE what the file says: an address with a password is in no argv.

    Raises Unavailable where there is no such file, and for an address whose password ends it for
    some readers, who would ask the network for a host that is a part of the password; Refused where
    everybody can read the file.
    """
    kind, _, name = text.partition(":")
    address = _in_file(Path(name)) if kind == "address" else text
    if not address.startswith("exec:") and not is_encoded(address):
        wanted, seen = f"percent-encoding in {redacted(address)}", "characters that end it early"
        raise Unavailable.of(Reason.USAGE, wanted, seen, ENCODED)
    return address


def _in_file(path: Path) -> str:
    try:
        return read_secret(path).decode()
    except (OSError, ValueError) as error:
        wanted = f"the address of a camera in {path}"
        raise Unavailable.of(Reason.USAGE, wanted, type(error).__name__) from error
