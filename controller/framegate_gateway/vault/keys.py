"""The vault's keys: one key-encryption key, sealed to the host's TPM and wrapped for an offline
recovery key; one key for each camera, day and outcome.

    vault.json   sealed blob of the TPM, recovery public key, the key-encryption key under it (HPKE,
    RFC 9180)
    keys/…       a day's key under the key-encryption key (AES-256-GCM, the names as associated
    data)

A copied disk has neither the TPM nor the recovery key. A forensic copy of an erased day's key file,
together with this TPM in this boot state, would still open that day: erasing overwrites the file,
and no file system promises more.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.wire import VaultBlob, VaultSecret
from framegate_host.private_files import private_folder, write_private
from framegate_host.process_memory import memory_shown

_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_INFO: Final = b"framegate/v1/vault-recovery"
RECOVERY_PREFIX: Final = "framegate-recovery-1."
SOCKET_TIMEOUT_S: Final = 15.0
"""A hardware TPM makes and loads two objects; that takes a second or two."""


@dataclass(frozen=True, slots=True, order=True)
class DayKey:
    """Which frames a key is for: `day` as YYYY-MM-DD (UTC), `outcome` because PASS and DEFECT are
    kept for different times.
    """

    device: str
    day: str
    outcome: str

    @property
    def stem(self) -> str:
        """File name without suffix."""
        return f"{self.device}_{self.day}_{self.outcome}"

    @classmethod
    def parse(cls, stem: str) -> DayKey:
        """The key a file is for. Raises Malformed."""
        match = re.fullmatch(r"([a-z0-9.-]{1,200})_(\d{4}-\d\d-\d\d)_([A-Z]{1,16})", stem)
        if match is None:
            raise Malformed.of(Reason.VAULT, "DEVICE_DAY_OUTCOME", ascii(stem[:80]))
        return cls(*match.groups())


class VaultKeys:
    """An open vault's keys. Made by `open_keys`, `found_keys` or `recover_keys`; the key-encryption
    key stays in memory.
    """

    def __init__(self, folder: Path, kek: bytes) -> None:
        self._folder, self._kek = folder / "keys", AESGCM(kek)
        private_folder(self._folder)
        self._open: dict[DayKey, AESGCM] = {}

    def get(self, key: DayKey, *, make: bool = False) -> AESGCM:
        """The cipher of a day's key; a new key where `make` says so and there is none. Raises
        Refused (VAULT) where it was erased or never was.
        """
        if key in self._open:
            return self._open[key]
        path = self._path(key)
        if path.exists():
            raw = path.read_bytes()
            try:
                secret = self._kek.decrypt(raw[:12], raw[12:], key.stem.encode())
            except (InvalidTag, ValueError) as error:
                raise Refused.of(
                    Reason.VAULT,
                    f"the key of {key.stem} under this vault's key",
                    "another, or a damaged one",
                ) from error
        elif make:
            secret, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
            write_private(path, nonce + self._kek.encrypt(nonce, secret, key.stem.encode()))
        else:
            raise Refused.of(
                Reason.VAULT,
                f"a key of {key.stem}",
                "none: erased, or past its time",
                "framegate data status",
            )
        cipher = AESGCM(secret)
        # the one writer keeps it and forgets it when it erases; a reader that kept it could outlive
        # an erasure
        if make:
            self._open[key] = cipher
        return cipher

    def erase(self, key: DayKey) -> bool:
        """Overwrite and remove a key: its frames are gone wherever copies of them lie. Whether
        there was one.
        """
        self._open.pop(key, None)
        path = self._path(key)
        if not path.exists():
            return False
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        return True

    def present(self) -> Iterator[DayKey]:
        """Every key there is."""
        for path in sorted(self._folder.glob("*.key")):
            yield DayKey.parse(path.stem)

    def _path(self, key: DayKey) -> Path:
        return self._folder / f"{DayKey.parse(key.stem).stem}.key"


def found_keys(folder: Path, agent_socket: Path) -> tuple[VaultKeys, str]:
    """A new vault in `folder`: its keys, and the recovery key as text, which is kept nowhere here.
    Raises Refused where there is one already.
    """
    path = folder / "vault.json"
    if path.exists():
        raise Refused.of(
            Reason.CONFLICT,
            f"no vault in {folder}",
            "one",
            "keep it; framegate data erase empties it",
        )
    private_folder(folder)
    kek, recovery = secrets.token_bytes(32), x25519.X25519PrivateKey.generate()
    wrapped = _SUITE.encrypt(kek, recovery.public_key(), _INFO)
    body = {
        "sealed": _b64(_seal(agent_socket, kek)),
        "recovery_public": _b64(recovery.public_key().public_bytes_raw()),
        "recovery_wrapped": _b64(wrapped),
    }
    write_private(path, json.dumps(body, indent=1).encode())
    text = RECOVERY_PREFIX + base64.urlsafe_b64encode(recovery.private_bytes_raw()).decode().rstrip(
        "="
    )
    return VaultKeys(folder, kek), text


def open_keys(folder: Path, agent_socket: Path) -> VaultKeys:
    """The keys of the vault in `folder`, unsealed by the host's TPM. Raises Unavailable or Refused
    (VAULT), saying why.
    """
    return VaultKeys(
        folder,
        _ask(
            agent_socket,
            VaultBlob(sealed=base64.b64decode(_load(folder)["sealed"]), reason="").marshal(),
        ),
    )


def recover_keys(folder: Path, agent_socket: Path, recovery_text: str) -> VaultKeys:
    """Open the vault by its recovery key and seal it to the host's TPM as it is now: after a
    firmware update, or on another host.
    """
    body, text = _load(folder), recovery_text.strip()
    if not text.startswith(RECOVERY_PREFIX):
        raise Malformed.of(
            Reason.USAGE,
            f"a recovery key that begins with {RECOVERY_PREFIX}",
            ascii(text[:24]),
            "framegate-gateway vault init wrote it",
        )
    try:
        raw = text.removeprefix(RECOVERY_PREFIX)
        private = x25519.X25519PrivateKey.from_private_bytes(
            base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
        )
        kek = _SUITE.decrypt(base64.b64decode(body["recovery_wrapped"]), private, _INFO)
    except (InvalidTag, ValueError) as error:
        raise Refused.of(
            Reason.VAULT, "the recovery key of this vault", "another, or a damaged one"
        ) from error
    write_private(
        folder / "vault.json",
        json.dumps({**body, "sealed": _b64(_seal(agent_socket, kek))}, indent=1).encode(),
    )
    return VaultKeys(folder, kek)


def _load(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "vault.json").read_text()))
    except FileNotFoundError as error:
        raise Unavailable.of(
            Reason.VAULT, f"a vault in {folder}", "none", "framegate-gateway vault init"
        ) from error
    except ValueError as error:
        raise Malformed.of(
            Reason.VAULT,
            "vault.json as it was written",
            type(error).__name__,
            "bring it back from a backup",
        ) from error


def _seal(agent_socket: Path, secret: bytes) -> bytes:
    answer = _exchange(agent_socket, VaultSecret(secret=secret).marshal())
    blob = VaultBlob.parse(answer)
    if not blob.sealed:
        raise Unavailable.of(Reason.VAULT, "a secret sealed to this host's TPM", blob.reason)
    return blob.sealed


def _ask(agent_socket: Path, request: bytes) -> bytes:
    answer = _exchange(agent_socket, request)
    try:
        return VaultSecret.parse(answer).secret
    except FramegateError:
        reason = VaultBlob.parse(answer).reason
        raise Refused.of(
            Reason.VAULT,
            "a vault that this host's TPM opens",
            reason,
            "after a firmware update: framegate-gateway vault recover --recovery-key FILE",
        ) from None


def _exchange(agent_socket: Path, record: bytes) -> bytes:
    """One question to the host's agent, on a connection of its own."""
    try:
        with memory_shown(), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(SOCKET_TIMEOUT_S)
            link.connect(str(agent_socket))
            link.sendall(struct.pack(">I", len(record)) + record)
            (size,) = struct.unpack(">I", _exactly(link, 4))
            return _exactly(link, min(size, 8192))
    except (OSError, struct.error) as error:
        raise Unavailable.of(
            Reason.VAULT,
            f"this host's agent at {agent_socket}",
            error,
            "framegate-agent run --gateway-socket …",
        ) from error


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        if not part:
            raise OSError("the agent closed the connection")
        data += part
    return data


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
