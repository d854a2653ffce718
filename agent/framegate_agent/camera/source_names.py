"""What a source's name says, where it is one that names a file, and whether it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason, Unavailable
from framegate.redaction import ENCODED, is_encoded, redacted
from framegate_host.secret_files import read_secret

PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""What may be read over the network, and where it listens where the address does not say."""
KINDS: Final = ("folder", "video", "device", "exec", "address", *PORTS)


def require_kind(source: str) -> None:
    """Raises Malformed (USAGE) where `source` is of no kind that there is: no waiting helps."""
    kind, colon, _ = source.partition(":")
    if colon and kind in KINDS:
        return
    path = Path(source)  # its kind was forgotten
    meant = "folder:" if path.is_dir() else "device:" if path.is_char_device() else "video:"
    raise Malformed.of(
        Reason.USAGE,
        f"folder:, video:, device:, exec:, address: or one of {', '.join(PORTS)}",
        ascii(kind)[:40],
        f"did you mean {meant}{source}?" if path.exists() else "",
    )


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
