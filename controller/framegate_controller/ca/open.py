"""Make a fleet's keys, or open those of one that is there.

One root, one issuing CA for each kind of certificate, one key for each kind of signature.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate_controller.ca.files import FileKeys, read_passphrase
from framegate_controller.ca.generations import finish_switch, read_certificate, reread
from framegate_controller.ca.issue import issue_ca, issue_root, issue_signing
from framegate_controller.ca.keys import ISSUING, SIGNING, FleetKeys, KeyStore, SigningKey
from framegate_host.private_files import state_folder, write_private

_FACTORS = "factors"
"""Label of the key that seals operators' second factors."""


def open_key_store(location: str, folder: Path, passphrase: bytes) -> KeyStore:
    """The key store that `location` names.

    Empty for files in `folder`, `pkcs11:module=FILE;token=LABEL;pin-file=FILE`, or `tpm:TCTI`; the
    latter two are optional parts of the product, loaded where they are named. Raises Malformed,
    Unavailable.
    """
    kind, _, rest = location.partition(":")
    if not location:
        return FileKeys(folder, passphrase)
    if kind == "pkcs11":
        from framegate_controller.ca.pkcs11 import Pkcs11Keys  # noqa: PLC0415 - optional

        parts = dict(p.partition("=")[::2] for p in rest.split(";"))
        if set(parts) != {"module", "token", "pin-file"}:
            wanted = "pkcs11:module=FILE;token=LABEL;pin-file=FILE"
            raise Malformed.of(Reason.USAGE, wanted, ascii(location[:120]))
        return Pkcs11Keys(parts["module"], parts["token"], Path(parts["pin-file"]))
    if kind == "tpm" and rest:
        from framegate_controller.ca.tpm import TpmKeys  # noqa: PLC0415 - optional

        return TpmKeys(rest, folder)
    raise Malformed.of(Reason.USAGE, "pkcs11:… or tpm:TCTI", ascii(location[:80]))


def found_fleet(
    folder: Path, fleet: str, ca_keys: str = "", passphrase_file: Path | None = None
) -> FleetKeys:
    """Make a fleet's keys in `folder` (0700, keys 0600 and encrypted).

    `ca_keys` says where the CAs' private keys are held (`open_key_store`); `passphrase_file` what
    the files are encrypted with. Raises Refused where a fleet is there: keys are never overwritten.
    """
    if (folder / "root.pem").exists():
        hint = "use another --state folder, or keep this fleet"
        raise Refused.of(Reason.CONFLICT, f"no fleet in {folder}", "a root key", hint)
    state_folder(folder)
    passphrase = read_passphrase(folder, passphrase_file, make=True)
    key_store, files = open_key_store(ca_keys, folder, passphrase), FileKeys(folder, passphrase)
    now = datetime.now(UTC)
    root = issue_root(fleet, key_store.make("root"), now)
    write_private(folder / "root.pem", root.pem)
    for label in ISSUING:
        key = key_store.make(label)
        certified = SigningKey(key, issue_ca(root, fleet, label, key.public_key(), now))
        write_private(folder / f"{label}.pem", certified.pem)
    for label in SIGNING:
        key = files.make(label)
        certified = SigningKey(key, issue_signing(root, fleet, label, key.public_key(), now))
        write_private(folder / f"{label}.pem", certified.pem)
    files.make(_FACTORS)
    write_private(folder / "held", ca_keys.encode())
    write_private(folder / "fleet", fleet.encode())
    return load_fleet(folder, passphrase_file)


def found_beside(keys: FleetKeys, folder: Path, passphrase_file: Path | None = None) -> None:
    """Make the keys of another controller of the fleet in `folder`, encrypted with a passphrase of
    their own: issuing CAs of its own under the same root; root and signing keys as they are here.

    Raises Refused where a fleet is there, or where the CAs' keys are not in files: what a token
    holds it does not give away.
    """
    if (folder / "root.pem").exists():
        raise Refused.of(Reason.CONFLICT, f"no fleet in {folder}", "a root key", "name another")
    if (keys.folder / "held").read_text().strip():
        wanted = "CA keys in encrypted files, which can be copied"
        raise Refused.of(Reason.USAGE, wanted, keys.key_store.place)
    here = FileKeys(keys.folder, read_passphrase(keys.folder, passphrase_file))
    state_folder(folder)
    there = FileKeys(folder, read_passphrase(folder, None, make=True))
    there.keep(_FACTORS, here.load(_FACTORS))
    for label, known in {"root": keys.root, **keys.signing}.items():
        there.keep(label, known.key)
        write_private(folder / f"{label}.pem", known.pem)
    now = datetime.now(UTC)
    for label in ISSUING:
        key = there.make(label)
        own = SigningKey(key, issue_ca(keys.root, keys.fleet, label, key.public_key(), now))
        write_private(folder / f"{label}.pem", own.pem)
    write_private(folder / "held", b"")
    write_private(folder / "fleet", keys.fleet.encode())


def load_fleet(folder: Path, passphrase_file: Path | None = None) -> FleetKeys:
    """The fleet's keys in `folder`.

    Raises Unavailable where there is none or its key store is away, Refused where others can read a
    key.
    """
    if not (folder / "fleet").exists():
        state = folder.parent  # what --state names; a new fleet makes its keys in there
        new = f"a new one: framegate-controller init --state {shlex.quote(str(state))}"
        hint = f"--state DIR where it is elsewhere; {new}"
        raise Unavailable.of(Reason.UNAVAILABLE, f"a fleet in {state}", "none", hint)
    passphrase = read_passphrase(folder, passphrase_file)
    named = key_store_of(folder)
    key_store, files = open_key_store(named, folder, passphrase), FileKeys(folder, passphrase)
    for label in ISSUING:
        finish_switch(folder, label, key_store)
    issuing = {n: SigningKey(key_store.load(n), read_certificate(folder, n)) for n in ISSUING}
    signing = {n: SigningKey(files.load(n), read_certificate(folder, n)) for n in SIGNING}
    keys = FleetKeys(
        fleet=(folder / "fleet").read_text().strip(),
        root=SigningKey(key_store.load("root"), read_certificate(folder, "root")),
        issuing=MappingProxyType(issuing),
        signing=MappingProxyType(signing),
        factor_key=_factor_key(files.load(_FACTORS)),
        key_store=key_store,
        folder=folder,
    )
    return reread(keys)  # finds the generations that come and those that are gone


def key_store_of(folder: Path) -> str:
    """Where the CAs' private keys of the fleet in `folder` are, as `open_key_store` is told; empty
    for files.
    """
    held = folder / "held"
    return held.read_text().strip() if held.exists() else ""


def _factor_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    number = key.private_numbers().private_value.to_bytes(32, "big")
    return HKDF(hashes.SHA256(), 32, None, b"framegate/v1/factors").derive(number)
