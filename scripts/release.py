"""A release's papers beside its packages in build/packages: `make release`.

Bills of materials, reference values, and provenance over all of them; signed where KEY names the
project's private key, else the statement lies there unsigned, and that is said.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from framegate.signed.release import (
    SIGNED_NAME,
    UNSIGNED_NAME,
    Provenance,
    sign_release,
    statement_of,
)
from framegate_host.key_files import read_private_key
from packaged.bill import bill, hashes_of, purl
from packaged.closure import Pin, pinned
from packaged.reference_values import allowlist_of
from packaged.specs import ROOT, held_beside, specs

OUT: Final = ROOT / "build/packages"


def main() -> int:
    """0 where everything was written."""
    out, number = Path(os.environ.get("OUT", OUT)), version("framegate")
    packages = sorted(out.glob("*.deb"))
    if not packages:
        print(f"{out}: no packages; run make deb", file=sys.stderr)
        return 1
    used: dict[str, Pin] = {}
    every = specs()
    for package in packages:
        spec = every[package.name.split("_")[0]]
        pins = pinned(spec.extras, ROOT / "requirements.txt", held_beside(spec, every))
        used |= {pin.name: pin for pin in pins}
        (out / f"{spec.name}.cdx.json").write_text(bill(spec.name, number, pins))
        (out / f"{spec.name}.allowlist").write_bytes(allowlist_of(package))
    files = {
        path.name: hashlib.sha256(path.read_bytes()).digest()
        for pattern in ("*.deb", "*.whl", "*.cdx.json", "*.allowlist")
        for path in out.glob(pattern)
    }
    materials = {purl(pin): each for pin in used.values() for each in hashes_of(pin)[:1]}
    release = Provenance(number, _commit(), materials, files)
    key = os.environ.get("KEY", "")
    if not key:
        print("no KEY: the release has its papers and no signature", file=sys.stderr)
        (out / UNSIGNED_NAME).write_bytes(statement_of(release))
        return 0
    (out / UNSIGNED_NAME).unlink(missing_ok=True)
    (out / SIGNED_NAME).write_bytes(sign_release(release, read_private_key(Path(key))))
    print(f"{out / SIGNED_NAME}: {len(files)} files of {number}, commit {release.commit[:12]}")
    return 0


def _commit() -> str:
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return told.stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
