"""Generations of issuing CAs on disk, and their owner in a running controller.

`<label>.pem` is the present one, `<label>.next.pem` the coming one, `<label>.old-<ms>.pem` one that
stopped signing then. What lies on disk is what there is: a restart finds it, and so does `reread`.
No transaction takes back what these functions do, so every step can be done again, or be gone on
from.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import MappingProxyType

from cryptography import x509

from framegate.errors import Unavailable
from framegate.identity.certificates import from_ms
from framegate.machines.ca import GenerationState
from framegate_controller.ca.issue import issue_ca, issue_signing
from framegate_controller.ca.keys import FleetKeys, Generation, KeyStore, SigningKey
from framegate_host.private_files import write_private


class FolderKeyRing:
    """Holds one process's keys, as they lay in their folder when last read; see `KeyRing`."""

    def __init__(self, keys: FleetKeys) -> None:
        self._keys, self._lock = keys, Lock()

    @property
    def keys(self) -> FleetKeys:
        """See `KeyRing.keys`."""
        return self._keys

    def refresh(self) -> FleetKeys:
        """See `KeyRing.refresh`."""
        with self._lock:  # of two who read, the later one's is kept
            self._keys = reread(self._keys)
            return self._keys

    def meet(self, beside: tuple[x509.Certificate, ...]) -> bool:
        """See `KeyRing.meet`."""
        with self._lock:
            changed = set(beside) != set(self._keys.beside)
            if changed:
                self._keys = replace(self._keys, beside=beside)
            return changed


def reread(keys: FleetKeys) -> FleetKeys:
    """`keys` as they lie in their folder now; the same value where nothing changed.

    A private key is loaded only where its certificate is another.
    """
    issuing = {n: _present(keys, n, k) for n, k in keys.issuing.items()}
    coming = {n: key for n in issuing if (key := _coming(keys, n)) is not None}
    signing = {n: _signing(keys.folder, n, k) for n, k in keys.signing.items()}
    gone = [g for n in issuing for g in _gone(keys.folder, n)]
    # a switch that stopped half way left the present certificate among those that are gone
    present = {k.certificate for k in issuing.values()}
    current = replace(
        keys,
        issuing=MappingProxyType(issuing),
        coming=MappingProxyType(coming),
        signing=MappingProxyType(signing),
        gone=tuple(g for g in gone if g.certificate not in present),
    )
    return keys if current == keys else current


def read_certificate(folder: Path, label: str) -> x509.Certificate:
    """The certificate under `label`."""
    return x509.load_pem_x509_certificate((folder / f"{label}.pem").read_bytes())


def make_coming(keys: FleetKeys, label: str, now: datetime) -> Generation:
    """A new key under `<label>.next`, certified by the root. Raises Refused where one is there."""
    key = keys.key_store.make(f"{label}.next")
    signing_key = SigningKey(key, issue_ca(keys.root, keys.fleet, label, key.public_key(), now))
    write_private(keys.folder / f"{label}.next.pem", signing_key.pem)
    return Generation(
        label=label, certificate=signing_key.certificate, state=GenerationState.COMING
    )


def switch(keys: FleetKeys, label: str, at_ms: int) -> None:
    """The coming generation takes the present one's place, whose private key is destroyed.

    1. the old certificate is kept, as what it signed still lives; 2. the new key takes the label;
    3. the new certificate does. Whoever dies before 3 goes on from there with `finish_switch`.
    """
    old = keys.issuing[label]
    if not any(g.certificate == old.certificate for g in _gone(keys.folder, label)):  # 1
        write_private(keys.folder / f"{label}.old-{at_ms}.pem", old.pem)
    if not finish_switch(keys.folder, label, keys.key_store):
        keys.key_store.rename(f"{label}.next", label)  # 2: the old private key is gone from here on
        _take_place(keys.folder, label)  # 3


def finish_switch(folder: Path, label: str, key_store: KeyStore) -> bool:
    """Go on with a switch that ended between its key and its certificate; whether there was one."""
    if not _next(folder, label).exists():
        return False
    try:
        present = key_store.load(label)
    except Unavailable:  # a token that lost the old key and had not yet renamed the new one
        key_store.rename(f"{label}.next", label)
        present = key_store.load(label)
    if present.public_key() != read_certificate(folder, f"{label}.next").public_key():
        return False
    _take_place(folder, label)
    return True


def forget(keys: FleetKeys, generation: Generation) -> None:
    """A gone generation's certificate is forgotten: nothing it signed can be alive."""
    path = keys.folder / f"{generation.label}.old-{generation.gone_ms}.pem"
    path.unlink(missing_ok=True)


def certify_signing(keys: FleetKeys, label: str, at_ms: int) -> x509.Certificate:
    """A new certificate for the signing key `label`, in the old one's place.

    What was signed carries its own. It begins where the old one did: one made by a clock that was a
    year ahead would count for nobody until then.
    """
    key, since = keys.signing[label].key, keys.signing[label].certificate.not_valid_before_utc
    made = issue_signing(keys.root, keys.fleet, label, key.public_key(), from_ms(at_ms), since)
    signing_key = SigningKey(key, made)
    write_private(keys.folder / f"{label}.pem", signing_key.pem)
    return signing_key.certificate


def _present(keys: FleetKeys, label: str, known: SigningKey) -> SigningKey:
    certificate = read_certificate(keys.folder, label)
    return (
        known
        if certificate == known.certificate
        else SigningKey(keys.key_store.load(label), certificate)
    )


def _signing(folder: Path, label: str, known: SigningKey) -> SigningKey:
    certificate = read_certificate(folder, label)
    return known if certificate == known.certificate else SigningKey(known.key, certificate)


def _coming(keys: FleetKeys, label: str) -> SigningKey | None:
    if not _next(keys.folder, label).exists():
        return None
    certificate, known = read_certificate(keys.folder, f"{label}.next"), keys.coming.get(label)
    if known is not None and known.certificate == certificate:
        return known
    return SigningKey(keys.key_store.load(f"{label}.next"), certificate)


def _gone(folder: Path, label: str) -> list[Generation]:
    paths = sorted(folder.glob(f"{label}.old-*.pem"))
    return [
        Generation(
            label=label,
            certificate=x509.load_pem_x509_certificate(path.read_bytes()),
            state=GenerationState.GONE,
            gone_ms=int(path.stem.rsplit("-", 1)[1]),
        )
        for path in paths
    ]


def _next(folder: Path, label: str) -> Path:
    return folder / f"{label}.next.pem"


def _take_place(folder: Path, label: str) -> None:
    _next(folder, label).replace(folder / f"{label}.pem")
