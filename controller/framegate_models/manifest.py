"""Signing a folder of images: whoever vouches for them says where they are from and who approved
them.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused
from framegate.signed.model import bundle_digest, key_words, sign_model
from framegate_gateway.inference.signed_folder import (
    MANIFEST,
    SIGNATURE,
    Provenance,
    file_digests,
)
from framegate_host.private_files import write_public


def sign_folder(
    folder: Path, key: ec.EllipticCurvePrivateKey, source: str, approved_by: str
) -> Provenance:
    """Write manifest and signature into `folder`."""
    if not source or not approved_by:
        raise Refused.of(
            Reason.DATA_SET,
            "where the data is from and who approved it",
            "neither or one",
            "--source TEXT --approved-by NAME",
        )
    told = json.dumps({"source": source, "approved_by": approved_by}, indent=1)
    write_public(folder / MANIFEST, told.encode() + b"\n")
    digests = file_digests(folder)
    signature = sign_model(folder.resolve().name or "dataset", digests, key)
    write_public(folder / SIGNATURE, signature)
    return Provenance(
        bundle_digest(digests).hex(), len(digests), source, approved_by, key_words(key.public_key())
    )
