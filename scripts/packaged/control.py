"""A tree becomes a .deb (deb(5), deb-control(5)): the same tree the same bytes."""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaged.environment import Build, run
from packaged.specs import MAINTAINER, Spec

NEXT: Final = (sys.version_info.major, sys.version_info.minor + 1)
HERE: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON: Final = f"python3 (>= {HERE}~), python3 (<< {NEXT[0]}.{NEXT[1]}~)"


_DATA: Final = frozenset({"control", "conffiles", "md5sums"})
"""What lies beside the scripts of a package and is none."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was built. `packed` and `installed` are bytes."""

    name: str
    file: Path
    packed: int
    installed: int
    sha256: str


def pack(build: Build, spec: Spec, tree: Path, version: str, into: Path) -> Package:
    """Write the package of `tree` into the folder `into`."""
    files = sorted(p for p in tree.rglob("*") if p.is_file() and not p.is_symlink())
    installed = sum(f.stat().st_size for f in files)
    about = tree / "DEBIAN"
    about.mkdir()
    (about / "control").write_text(_control(spec, version, installed))
    (about / "md5sums").write_text("".join(_md5_line(f, tree) for f in files))
    conffiles = [
        f"/{f.relative_to(tree)}\n" for f in files if f.relative_to(tree).parts[0] == "etc"
    ]
    if conffiles:
        (about / "conffiles").write_text("".join(conffiles))
    for name, text in _scripts(spec).items():
        (about / name).write_text(text)
        (about / name).chmod(0o755)
    _same_times_and_modes(tree, build.epoch)
    file = into / f"{spec.name}_{version}_{_architecture()}.deb"
    # gzip: one thread's work, the same bytes on every machine; xz splits by its number of threads
    run(build, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z6", "--build", tree, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Package(spec.name, file, file.stat().st_size, installed, digest)


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def _control(spec: Spec, version: str, installed: int) -> str:
    depends = [PYTHON, "libc6", "libstdc++6", *spec.depends]
    if spec.user:
        depends += ["systemd | systemd-standalone-sysusers"]
    if spec.beside:
        depends = [f"{spec.beside} (= {version})", "libc6", "libstdc++6", *spec.depends]
    text = "\n".join(f" {line}" for line in textwrap.dedent(spec.text).strip().splitlines())
    lines = [
        f"Package: {spec.name}",
        f"Version: {version}",
        f"Architecture: {_architecture()}",
        f"Maintainer: {MAINTAINER}",
        f"Installed-Size: {-(-installed // 1024)}",
        f"Depends: {', '.join(depends)}",
        *([f"Recommends: {', '.join(spec.recommends)}"] if spec.recommends else []),
        "Section: misc",
        "Priority: optional",
        f"Description: {spec.about}",
        text,
    ]
    return "\n".join(lines) + "\n"


def _scripts(spec: Spec) -> dict[str, str]:
    """What dpkg runs. A service is enabled and waits for its first settings; an upgrade starts one
    that runs anew.
    """
    if not spec.user:
        return _beside_scripts(spec)
    unit = f"{spec.unit}.service"
    return {
        "postinst": f"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    systemd-sysusers {spec.user}.conf
{_require_user(spec)}
    systemd-tmpfiles --create {spec.user}.conf || true
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper unmask {unit} >/dev/null || true
        if deb-systemd-helper --quiet was-enabled {unit}; then
            deb-systemd-helper enable {unit} >/dev/null || true
        fi
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
        if [ -n "$2" ]; then systemctl try-restart {unit} || true; fi
    fi
fi
""",
        "prerm": f"""#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop {unit} || true; fi
""",
        "postrm": f"""#!/bin/sh
set -e
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge {unit} >/dev/null || true
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
# keys, registry and receipts stay where they are: removing a program deletes no evidence
""",
    }


def _require_user(spec: Spec) -> str:
    """That the number is this user's and nobody can sign in as it. What was there before keeps its
    number and its shell, and IMA rules and settings name numbers: another user of that number would
    be taken for the service, and nobody would measure what the service reads.
    """
    return f"""\
    holder=$(getent passwd {spec.uid} | cut -d: -f1)
    shell=$(getent passwd {spec.user} | cut -d: -f7)
    if [ -n "$holder" ] && [ "$holder" != {spec.user} ]; then
        echo "{spec.name}: expected the number {spec.uid} for {spec.user}, seen: of $holder;" \\
            "give it free, userdel {spec.user}, then dpkg --configure {spec.name}" >&2
        exit 1
    fi
    case "$shell" in
    */nologin | */false) ;;
    *)
        echo "{spec.name}: expected {spec.user} without a shell, seen: ${{shell:-none}};" \\
            "usermod --shell /usr/sbin/nologin {spec.user}, then dpkg --configure {spec.name}" >&2
        exit 1
        ;;
    esac"""


def _beside_scripts(spec: Spec) -> dict[str, str]:
    """Of a package that changes another's unit: what it changes counts from that one's next start
    on.
    """
    if not spec.dropins:
        return {}
    joined = f"systemd-sysusers {spec.name}.conf" if spec.joins else ":"
    read = "if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi\n"
    return {
        "postinst": f"""#!/bin/sh
set -e
if [ "$1" = configure ]; then
    {joined}
fi
{read}""",
        "postrm": f"#!/bin/sh\nset -e\n{read}",
    }


def _same_times_and_modes(tree: Path, epoch: int) -> None:
    """Modes by kind, not by the umask of who built it; the time of the source for every file."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if not path.is_symlink():
            runs = path.is_dir() or path.parent.name in {"bin", "DEBIAN"}
            runs = runs and path.name not in _DATA
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(tree, (epoch, epoch))


def _md5_line(file: Path, tree: Path) -> str:
    digest = hashlib.md5(file.read_bytes())  # noqa: S324 - what dpkg --verify reads
    return f"{digest.hexdigest()}  {file.relative_to(tree)}\n"
