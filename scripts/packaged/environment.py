"""A private environment of one package, made without the network's or the clock's say in its bytes:
hash-pinned wheels, our own code out of our wheel, compiled files whose source nobody has to ask.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaged.closure import Pin, pinned
from packaged.specs import ROOT, Spec

PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
BUILD: Final = ("--no-deps", "--no-build-isolation")
SOURCE_ONLY: Final = frozenset({"tpm2-pytss", "landlockpy"})
"""Without wheels for this machine: built here, and no folder's name is left in them."""
NEEDLESS: Final = frozenset({"tests", "test", "include"})
"""Folders of packages that nothing imports when it runs."""


@dataclass(frozen=True, slots=True)
class Build:
    """Where a build happens: `wheels` are shared by its packages, `epoch` is the time of every file
    in seconds, `work` is scratch.
    """

    work: Path
    wheels: Path
    epoch: int

    @property
    def environment(self) -> dict[str, str]:
        """For every program that a build runs: nothing of this machine, user or moment."""
        flags = (
            f"-O2 -g0 -ffile-prefix-map={self.work}=/build -fdebug-prefix-map={self.work}=/build"
        )
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": os.environ.get("HOME", "/nonexistent"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "PYTHONHASHSEED": "0",
            "CFLAGS": flags,
            "LDSHARED": "gcc -shared -Wl,-z,relro -Wl,--build-id=none",  # no path to this Python
            "TMPDIR": str(self.work),
        }


def run(build: Build, *argv: str | Path, cwd: Path = ROOT) -> None:
    """Run a program; what it says is shown where it fails. Raises SystemExit."""
    done = subprocess.run(
        [str(a) for a in argv],
        check=False,
        cwd=cwd,
        env=build.environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        raise SystemExit(f"{' '.join(map(str, argv[:6]))} ended with {done.returncode}")


def our_wheel(build: Build) -> Path:
    """The wheel of this checkout."""
    run(build, sys.executable, "-m", "pip", "wheel", "-q", *BUILD, "-w", build.wheels, ".")
    return next(build.wheels.glob("framegate-*.whl"))


def fill(build: Build, spec: Spec, wheel: Path, into: Path, without: Sequence[str] = ()) -> None:
    """Make the environment of `spec` below the folder `into`, which becomes /."""
    home = into / spec.home
    packages = home / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    every = pinned(spec.extras, ROOT / "requirements.txt")
    needed = [pin for pin in every if pin.name not in without]
    _install(build, needed, packages)
    if not spec.beside:
        _interpreter(home)
    if spec.code:
        _own_code(wheel, spec, packages)
    _drop_needless(packages)
    for program in spec.programs:
        _program(home, spec, program)
    run(
        build,
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "-j",
        "1",
        "-s",
        into,
        "-p",
        "/",
        "--invalidation-mode",
        "unchecked-hash",
        packages,
    )


def _install(build: Build, needed: Sequence[Pin], packages: Path) -> None:
    """pip looks at every hash, of what it takes as it is and of what is built from source."""
    if not needed:
        return
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    listed = build.work / f"{packages.parents[2].name}.txt"
    listed.write_text("".join(pin.text for pin in needed if pin.name not in SOURCE_ONLY))
    run(
        build,
        *pip,
        "install",
        "-q",
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-compile",
        "--target",
        packages,
        "-r",
        listed,
    )
    for pin in (p for p in needed if p.name in SOURCE_ONLY):
        built = list(build.wheels.glob(f"{pin.name.replace('-', '_')}-{pin.version}-*.whl"))
        if not built:
            listed.write_text(pin.text)
            run(
                build,
                *pip,
                "wheel",
                "-q",
                "--no-deps",
                "--no-cache-dir",
                "--require-hashes",
                "-w",
                build.wheels,
                "-r",
                listed,
            )
            built = list(build.wheels.glob(f"{pin.name.replace('-', '_')}-{pin.version}-*.whl"))
        run(
            build,
            *pip,
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--no-compile",
            "--target",
            packages,
            built[0],
        )


def _drop_needless(packages: Path) -> None:
    shutil.rmtree(packages / "bin", ignore_errors=True)  # other people's programs
    for folder in sorted(packages.glob("*/**/")):
        if folder.name in NEEDLESS and folder.is_dir():
            shutil.rmtree(folder)
    for suffix in ("*.pyi", "*.pxd", "*.c", "*.h", "*.pyx"):
        for file in packages.rglob(suffix):
            file.unlink()
    for record in packages.glob("*.dist-info/direct_url.json"):
        record.unlink()  # it names a folder of this build
    for record in packages.glob("*.dist-info/RECORD"):
        record.unlink()  # of files that are not all here; dpkg knows them, and IMA's allowlist
    for requested in packages.glob("*.dist-info/REQUESTED"):
        requested.unlink()


def _interpreter(home: Path) -> None:
    """An environment is two files: what `python -m venv` writes besides names this build."""
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"/usr/bin/{PYTHON}")
    version = ".".join(map(str, sys.version_info[:2]))
    config = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n"
    (home / "pyvenv.cfg").write_text(config)


def _own_code(wheel: Path, spec: Spec, packages: Path) -> None:
    """Of our wheel, the packages that this one runs, and what says which version they are."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            top = name.split("/")[0]
            about = top.endswith(".dist-info") and not name.endswith(("RECORD", "entry_points.txt"))
            if top in spec.code or about:
                archive.extract(name, packages)


def _program(home: Path, spec: Spec, name: str) -> None:
    """-I: neither the folder it is started in nor a variable of whoever starts it brings code."""
    constant = {"framegate": "OPERATOR"}.get(name, name.removeprefix("framegate-").upper())
    script = home / "bin" / name
    script.write_text(
        f"#!/{spec.home}/bin/python3 -I\n"
        f"from framegate_host.programs import {constant}\n\n{constant}.run()\n"
    )
    script.chmod(0o755)
