"""Build the Debian packages into build/packages: `make deb`. With names, those alone. They are
linted by Debian's lintian, and none may be larger than packages.toml allows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final

from packaged.control import Package, pack
from packaged.environment import Build, fill, our_wheel
from packaged.specs import ROOT, held_beside, specs
from packaged.tree import lay

OUT: Final = ROOT / "build/packages"
LIST: Final = "packages.json"
"""In that folder; there only where nothing was wrong with what was built."""
LINTED: Final = ROOT / "build/linted"
"""SHA-256 of packages of which lintian said nothing: the same bytes are not asked about again."""


def main(names: list[str]) -> int:
    """0 where every package was built, has its size and nothing is wrong with it."""
    out = Path(os.environ.get("OUT", OUT))
    out.mkdir(parents=True, exist_ok=True)
    built = build_packages(names, out)
    for package in built:
        size, installed = package.packed / 1e6, package.installed / 1e6
        print(f"{package.file.name}: {size:.1f} MB, {installed:.0f} MB installed")
    problems = [*_too_large(built), *_linted(built)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        (out / LIST).unlink(missing_ok=True)  # what asks whether there are packages builds them
        return 1
    _list(out, built)
    return 0


def _too_large(built: list[Package]) -> Iterator[str]:
    every = specs()
    for package in built:
        most = every[package.name].most_mb
        if most and package.installed > most * 1e6:
            mb = package.installed / 1e6
            yield f"{package.file.name}: {mb:.2f} MB installed, at most {most}: what came along?"


def _linted(built: list[Package]) -> Iterator[str]:
    """What lintian says of bytes that it has not been content with before; nothing where it is not
    installed, which is said.
    """
    if shutil.which("lintian") is None:
        print("no lintian here: the packages are not linted", file=sys.stderr)
        return
    known = set(LINTED.read_text().split()) if LINTED.exists() else set()
    new = [package for package in built if package.sha256 not in known]
    with ThreadPoolExecutor(os.cpu_count()) as each:
        told = list(each.map(_said_of, new))
    known |= {package.sha256 for package, said in zip(new, told, strict=True) if not said}
    LINTED.parent.mkdir(parents=True, exist_ok=True)
    LINTED.write_text("".join(f"{digest}\n" for digest in sorted(known)))
    print(f"lintian: {len(new)} packages, {len(built) - len(new)} by bytes that it knew")
    yield from chain.from_iterable(told)


def _said_of(package: Package) -> list[str]:
    """What lintian says of it: a process of its own, on one core for half a minute."""
    argv = ["lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning"]
    done = subprocess.run([*argv, package.file], capture_output=True, text=True, check=False)
    said = done.stdout.splitlines() + done.stderr.splitlines()
    notes = [line for line in said if line.strip() and not line.startswith("N:")]
    return notes or ([f"{package.file.name}: lintian failed"] if done.returncode else [])


def _list(out: Path, built: list[Package]) -> None:
    """Every package that lies there, those of earlier builds too."""
    listed = out / LIST
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
        for older in out.glob("framegate-*.whl"):
            older.unlink()
        shutil.copy(wheel, out)  # for whoever installs by pip
        built = []
        for spec in chosen:
            tree = work / spec.name
            tree.mkdir()
            fill(build, spec, wheel, tree, without=held_beside(spec, every))
            lay(spec, tree, number, build.epoch)
            built.append(pack(build, spec, tree, number, out))
            shutil.rmtree(tree)
        return built


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
