"""Private keys in encrypted files, and the passphrase that they are encrypted with."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused, Unavailable
from framegate_host.private_files import write_private

PASSPHRASE_HINT: Final = "--passphrase-file FILE or FRAMEGATE_KEY_PASSPHRASE_FILE"  # noqa: S105
MIN_PASSPHRASE: Final = 16
"""Bytes; PKCS#8's key derivation slows a guesser down, and no more than that."""
_OTHERS: Final = 0o077
"""Permissions of anybody but the owner."""


class FileKeys:
    """Keys in PKCS#8 files, encrypted with a passphrase; see `KeyStore`."""

    def __init__(self, folder: Path, passphrase: bytes) -> None:
        self._folder, self._passphrase = folder, passphrase
        beside = folder / "passphrase"
        self.place = "encrypted file" + (", its passphrase beside it" if beside.exists() else "")

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`."""
        path = self._path(label)
        if path.exists():
            raise Refused.of(
                Reason.CONFLICT, f"no key {label}", "one", "keys are never overwritten"
            )
        key = ec.generate_private_key(ec.SECP256R1())
        self.keep(label, key)
        return key

    def keep(self, label: str, key: ec.EllipticCurvePrivateKey) -> None:
        """Write a key that comes from elsewhere."""
        encryption = serialization.BestAvailableEncryption(self._passphrase)
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_private(self._path(label), key.private_bytes(pem, pkcs8, encryption))

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `KeyStore`.

        Raises Refused where others can read the file, or the passphrase is another.
        """
        path = self._path(label)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            older = (
                "this fleet was made by an earlier version, or its folder is not whole: restore it"
            )
            raise Unavailable.of(
                Reason.UNAVAILABLE, f"the key {path}", error.strerror or error, older
            ) from error
        _require_owners_alone(path, mode)
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self._passphrase)
        except (ValueError, TypeError) as error:
            wanted = f"{path} encrypted with the passphrase given"
            hint = PASSPHRASE_HINT
            raise Refused.of(Reason.CONFLICT, wanted, str(error)[:80], hint) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Refused.of(Reason.CONFLICT, f"an EC key in {path}", type(key).__name__)
        return key

    def rename(self, label: str, new: str) -> None:
        """See `KeyStore`."""
        self._path(label).replace(self._path(new))

    def _path(self, label: str) -> Path:
        return self._folder / f"{label}.key"


def read_passphrase(folder: Path, file: Path | None, *, make: bool = False) -> bytes:
    """What key files are encrypted with.

    Out of `file`, else of `passphrase` in `folder`, which `make` creates. Raises Unavailable where
    there is none, Refused where others can read it.
    """
    path = file or folder / "passphrase"
    if make and not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    try:
        mode, passphrase = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        hint = PASSPHRASE_HINT
        wanted = f"the keys' passphrase in {path}"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, error.strerror or error, hint) from error
    _require_owners_alone(path, mode)
    if len(passphrase) < MIN_PASSPHRASE:
        wanted = f"a passphrase of at least {MIN_PASSPHRASE} bytes in {path}"
        raise Refused.of(Reason.USAGE, wanted, len(passphrase))
    return passphrase


def _require_owners_alone(path: Path, mode: int) -> None:
    if mode & _OTHERS:
        wanted = f"{path} readable by its owner alone"
        raise Refused.of(Reason.CONFLICT, wanted, f"mode {mode & 0o777:o}", f"chmod 600 {path}")
