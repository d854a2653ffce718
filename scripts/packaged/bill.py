"""The software bill of materials of a package: CycloneDX 1.6, JSON. Names, versions and hashes are
the pins', licences and the graph are what each distribution says of itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import PackageMetadata, metadata
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from packaged.closure import Pin, closure

SPEC: Final = "1.6"
_SPDX: Final = re.compile(r"[A-Za-z0-9.+() -]+")
_CLASSIFIED: Final = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""Trove classifiers that name one licence; others stand as they are."""


def bill(name: str, version: str, pins: Sequence[Pin]) -> str:
    """The bill of the package `name`; the same pins give the same bytes."""
    named = {pin.name: pin for pin in pins}
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'framegate:{name}:{version}')}",
        "version": 1,
        "metadata": {"component": _ours(name, version)},
        "components": [_component(pin) for pin in pins],
        "dependencies": [
            {"ref": f"{name}@{version}", "dependsOn": sorted(map(purl, pins))},
            *({"ref": purl(pin), "dependsOn": _below(pin, named)} for pin in pins),
        ],
    }
    return json.dumps(body, indent=1, sort_keys=True) + "\n"


def purl(pin: Pin) -> str:
    """A package URL."""
    return f"pkg:pypi/{pin.name}@{pin.version}"


def hashes_of(pin: Pin) -> list[str]:
    """SHA-256 of each of its files that may be installed, in hex."""
    return sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", pin.text))


def _ours(name: str, version: str) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"{name}@{version}",
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }


def _component(pin: Pin) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl(pin),
        "name": pin.name,
        "version": pin.version,
        "purl": purl(pin),
        "hashes": [{"alg": "SHA-256", "content": each} for each in hashes_of(pin)],
        "licenses": [_license(metadata(pin.name))],
    }


def _license(said: PackageMetadata) -> dict[str, Any]:
    """As the distribution says it, the newest way first."""
    if expression := said.get("License-Expression"):
        return {"expression": expression}
    for line in said.get_all("Classifier") or ():
        if line.startswith("License :: OSI Approved :: "):
            name = line.rpartition(" :: ")[2]
            spdx = _CLASSIFIED.get(name)
            return {"license": {"id": spdx} if spdx else {"name": name}}
    text = (said.get("License") or "unknown").splitlines()[0][:80]
    return {"license": {"name": text if _SPDX.fullmatch(text) else "see its files"}}


def _below(pin: Pin, named: dict[str, Pin]) -> list[str]:
    direct = closure((), pin.name) & named.keys()
    return sorted(purl(named[name]) for name in direct)
