"""The next version of a package: the one at hand with a higher number and one line more of code."""

import shutil
import subprocess
import sys
from pathlib import Path

NEXT = "0.1.0+next"
CHANGED = "opt/framegate/agent/lib/python3*/site-packages/framegate_agent/__init__.py"


def next_of(deb: Path, into: Path) -> Path:
    """Write the next version of `deb` into the folder `into`."""
    name = deb.name.split("_")[0]
    tree = into / name
    shutil.rmtree(tree, ignore_errors=True)
    _run("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN/control"
    version = next(x for x in control.read_text().splitlines() if x.startswith("Version: "))
    old = version.removeprefix("Version: ")
    control.write_text(
        control.read_text()
        .replace(version, f"Version: {NEXT}")
        .replace(f"framegate-agent (= {old})", f"framegate-agent (= {NEXT})")
    )
    for source in tree.glob(CHANGED):
        source.write_text(source.read_text() + "NEXT = True\n")
        _run(
            sys.executable,
            "-m",
            "compileall",
            "-q",
            "-f",
            "-o",
            "0",
            "--invalidation-mode",
            "unchecked-hash",
            "-d",
            f"/{source.parent.relative_to(tree)}",
            source,
        )
    file = into / f"{name}_{NEXT}_amd64.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, file)
    shutil.rmtree(tree)
    return file


def _run(*argv: object) -> None:
    done = subprocess.run([str(a) for a in argv], check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
