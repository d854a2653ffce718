"""Where private keys of the fleet are held: encrypted files, a PKCS#11 token, a TPM. Whoever signs does not know the difference."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate_host.private_files import write_private

PASSPHRASE_ENV: Final = "FRAMEGATE_KEY_PASSPHRASE_FILE"  # noqa: S105 - names a file
MIN_PASSPHRASE: Final = 16


class Keyring(Protocol):
    """Holds P-256 private keys by label."""

    words: str
    """Where, for people."""

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """A new key. Raises Refused where the label is taken."""

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """The key. Raises Unavailable."""

    def rename(self, label: str, new: str) -> None:
        """Give a key another label; what had that label is destroyed."""


class FileKeyring:
    """PKCS#8 files, encrypted with a passphrase that is read from a file of its own."""

    def __init__(self, folder: Path, passphrase: bytes) -> None:
        self._folder, self._passphrase = folder, passphrase
        beside = folder / "passphrase"
        self.words = "encrypted file" + (", its passphrase beside it" if beside.exists() else "")

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `Keyring`."""
        if (self._folder / f"{label}.key").exists():
            raise Refused.of(Reason.CONFLICT, f"no key {label}", "one", "keys are never overwritten")
        key = ec.generate_private_key(ec.SECP256R1())
        encryption = serialization.BestAvailableEncryption(self._passphrase)
        write_private(self._folder / f"{label}.key", key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
        return key

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """See `Keyring`. Raises Refused where others can read the file, or the passphrase is another."""
        path = self._folder / f"{label}.key"
        try:
            mode = path.stat().st_mode & 0o077
        except OSError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, f"the key {path}", error.strerror or error, "this fleet was made by an earlier version, or its folder is not whole: restore it"
            ) from error
        if mode:
            raise Refused.of(Reason.CONFLICT, f"{path} readable by its owner alone", oct(path.stat().st_mode & 0o777), f"chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), self._passphrase)
        except (ValueError, TypeError) as error:
            raise Refused.of(Reason.CONFLICT, f"{path} encrypted with the passphrase given", str(error)[:80], f"--passphrase-file FILE or {PASSPHRASE_ENV}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Refused.of(Reason.CONFLICT, f"an EC key in {path}", type(key).__name__)
        return key

    def rename(self, label: str, new: str) -> None:
        """See `Keyring`."""
        (self._folder / f"{label}.key").replace(self._folder / f"{new}.key")


def open_keyring(held: str, folder: Path, passphrase: bytes) -> Keyring:
    """The keyring that `held` names: empty for files in `folder`, `pkcs11:module=FILE;token=LABEL;pin-file=FILE`, or `tpm:TCTI`. Raises Malformed, Unavailable."""
    kind, _, rest = held.partition(":")
    if not held:
        return FileKeyring(folder, passphrase)
    if kind == "pkcs11":
        from framegate_controller.ca.pkcs11_keys import Pkcs11Keyring

        parts = dict(p.partition("=")[::2] for p in rest.split(";"))
        if set(parts) != {"module", "token", "pin-file"}:
            raise Malformed.of(Reason.USAGE, "pkcs11:module=FILE;token=LABEL;pin-file=FILE", ascii(held[:120]))
        return Pkcs11Keyring(parts["module"], parts["token"], Path(parts["pin-file"]))
    if kind == "tpm" and rest:
        from framegate_controller.ca.tpm_keys import TpmKeyring

        return TpmKeyring(rest, folder)
    raise Malformed.of(Reason.USAGE, "pkcs11:… or tpm:TCTI", ascii(held[:80]))


def read_passphrase(folder: Path, file: Path | None, *, make: bool = False) -> bytes:
    """What key files are encrypted with: out of `file`, the file that the environment names, or `passphrase` in `folder`, which `make` creates.

    Raises Unavailable where there is none, Refused where others can read it.
    """
    named = file or (Path(os.environ[PASSPHRASE_ENV]) if os.environ.get(PASSPHRASE_ENV) else None)
    path = named or folder / "passphrase"
    if make and not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    try:
        mode, passphrase = path.stat().st_mode & 0o077, path.read_bytes().strip()
    except OSError as error:
        raise Unavailable.of(Reason.UNAVAILABLE, f"the keys' passphrase in {path}", error.strerror or error, f"--passphrase-file FILE or {PASSPHRASE_ENV}") from error
    if mode:
        raise Refused.of(Reason.CONFLICT, f"{path} readable by its owner alone", oct(path.stat().st_mode & 0o777), f"chmod 600 {path}")
    if len(passphrase) < MIN_PASSPHRASE:
        raise Refused.of(Reason.USAGE, f"a passphrase of at least {MIN_PASSPHRASE} bytes in {path}", len(passphrase))
    return passphrase
