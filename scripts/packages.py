"""Build the Debian packages into build/packages: `make deb`. With names, those alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

from packaged.closure import closure
from packaged.control import Package, pack
from packaged.environment import Build, fill, our_wheel
from packaged.specs import ROOT, Spec, specs
from packaged.tree import lay

OUT: Final = ROOT / "build/packages"


def main(names: list[str]) -> int:
    """0 where every package was built."""
    out = Path(os.environ.get("OUT", OUT))
    out.mkdir(parents=True, exist_ok=True)
    built = build_packages(names, out)
    for package in built:
        size, installed = package.packed / 1e6, package.installed / 1e6
        print(f"{package.file.name}: {size:.1f} MB, {installed:.0f} MB installed")
    _list(out, built)
    return 0


def _list(out: Path, built: list[Package]) -> None:
    """Every package that lies there, those of earlier builds too."""
    listed = out / "packages.json"
    before = json.loads(listed.read_text()) if listed.exists() else []
    every = {p["name"]: p for p in before if (out / p["file"]).exists()}
    every |= {p.name: {**asdict(p), "file": p.file.name} for p in built}
    rows = [every[name] for name in sorted(every)]
    listed.write_text(json.dumps(rows, indent=1) + "\n")
    (out / "SHA256SUMS").write_text("".join(f"{p['sha256']}  {p['file']}\n" for p in rows))


def build_packages(names: list[str], out: Path) -> list[Package]:
    """Build these packages, or all, into `out`. Every file has the time of the last commit."""
    every, number = specs(), version("framegate")
    chosen = [every[name] for name in names] or list(every.values())
    with tempfile.TemporaryDirectory(prefix="framegate-packages-") as scratch:
        work = Path(scratch)
        build = Build(work, work / "wheels", _epoch())
        build.wheels.mkdir()
        wheel = our_wheel(build)
        built = []
        for spec in chosen:
            tree = work / spec.name
            tree.mkdir()
            fill(build, spec, wheel, tree, without=_there(spec, every))
            lay(spec, tree, number, build.epoch)
            built.append(pack(build, spec, tree, number, out))
            shutil.rmtree(tree)
        return built


def _there(spec: Spec, every: dict[str, Spec]) -> tuple[str, ...]:
    """What the package has that this one stands beside."""
    return tuple(sorted(closure(every[spec.beside].extras))) if spec.beside else ()


def _epoch() -> int:
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    told = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(told.stdout)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
