"""Folders of images that somebody vouches for: which files with which digests, where from, who
approved them.

`dataset.json` says source and approver, `dataset.sig` is an OpenSSF model-signing signature over
every file of the folder, `dataset.json` among them. A changed, added or removed file is noticed
with or without the signer's key; who signed is known only with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.dsse import strict_json
from framegate.signed.model import bundle_digest, claimed_files, verify_model
from framegate.wire import sha256

MANIFEST: Final = "dataset.json"
SIGNATURE: Final = "dataset.sig"
MAX_FILES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is known of a folder of images. `sha256` is the digest of all its files; `signer` is ""
    where nobody vouches, "unverified" where a signature could not be checked.
    """

    sha256: str
    files: int
    source: str = ""
    approved_by: str = ""
    signer: str = ""


def file_digests(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but the signature, name to SHA-256. Raises Malformed (DATA_SET) for
    links and devices.
    """
    digests: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Malformed.of(
                Reason.DATA_SET,
                "files and folders alone",
                f"a link or device {ascii(name)[:120]}",
                "take it out",
            )
        if path.is_file() and name != SIGNATURE:
            digests[name] = sha256(path.read_bytes())
            if len(digests) > MAX_FILES:
                raise Malformed.of(Reason.DATA_SET, f"at most {MAX_FILES} files", "more")
    return digests


def check_folder(folder: Path, keys: Sequence[ec.EllipticCurvePublicKey] = ()) -> Provenance:
    """What the folder's manifest says, after it held.

    1. no manifest and no signature: an unsigned folder, unless `keys` demand one;
    2. the signature covers exactly the files there are;
    3. with `keys`, one of them signed it.

    Raises Malformed or Refused (DATA_SET, MODEL_SIGNATURE).
    """
    digests = file_digests(folder)
    whole = bundle_digest(digests).hex()
    if not (folder / SIGNATURE).exists():  # 1
        if keys or (folder / MANIFEST).exists():
            raise Refused.of(
                Reason.DATA_SET,
                f"a signed folder, with {SIGNATURE}",
                "none",
                "framegate-gateway data sign DIR --key KEY --source TEXT --approved-by NAME",
            )
        return Provenance(whole, len(digests))
    raw = (folder / SIGNATURE).read_bytes()
    if keys:
        signer = verify_model(raw, digests, keys=keys).signer  # 2, 3
    else:
        _same_files(raw, digests)  # 2
        signer = "unverified"
    body = strict_json((folder / MANIFEST).read_bytes())
    if type(body) is not dict or set(body) != {"source", "approved_by"}:
        raise Malformed.of(
            Reason.DATA_SET, f"{MANIFEST} with source and approved_by", ascii(body)[:80]
        )
    return Provenance(whole, len(digests), str(body["source"]), str(body["approved_by"]), signer)


def signed_files(
    folders: Sequence[Path], keys: Sequence[ec.EllipticCurvePublicKey]
) -> dict[Path, bytes] | None:
    """File to SHA-256 of folders that one of `keys` signed (`check_folder`); None without keys.
    Raises Malformed or Refused.
    """
    if not keys:
        return None
    digests: dict[Path, bytes] = {}
    for folder in folders:
        check_folder(folder, keys)
        digests |= {folder / name: digest for name, digest in file_digests(folder).items()}
    return digests


def _same_files(signature: bytes, digests: dict[str, bytes]) -> None:
    """Compare with what the signature claims, without knowing whose it is: an accident or a
    careless change shows here, a forger does not.
    """
    claimed = claimed_files(signature)
    different = sorted(n for n in {*claimed, *digests} if claimed.get(n) != digests.get(n))
    if different:
        what = (
            "is not in the manifest"
            if different[0] not in claimed
            else "is missing"
            if different[0] not in digests
            else "was changed"
        )
        raise Refused.of(
            Reason.DATA_SET,
            "the files that the manifest lists",
            f"{ascii(different[0])[:120]} {what}",
            "find out who changed it; sign the set again if it is right",
        )
