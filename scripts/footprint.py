"""Write docs/reference/footprint.md: what the packages of the last `make deb` hold, what each unit
is exposed to, and what the last `make units-test` and `make image` measured. `make release` calls
it; the page is committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import exposure
from made.markdown import code, table

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/reference/footprint.md"
BUILT: Final = ROOT / "build/packages"
UNITS_SEEN: Final = ROOT / "build/units/starts.json"
IMAGES_SEEN: Final = ROOT / "build/images/seen.json"


def main() -> int:
    """0 where the page was written."""
    packages = sorted(BUILT.glob("framegate-*.deb"))
    if not packages:
        print(f"{BUILT}: no packages; run make deb", file=sys.stderr)
        return 1
    sizes = [_sizes(package) for package in packages]
    levels = [(e.name, f"{e.level:.1f}") for e in exposure.exposures()]
    parts = [
        "# Footprint",
        "Made by `scripts/footprint.py` from the packages of a build; do not edit.",
        "## Packages",
        "Megabytes (10^6 bytes), as downloaded and on the disk, Debian's own packages not counted.",
        table(("package", "packed", "installed"), sizes).rstrip(),
        "## Units",
        f"`systemd-analyze security`, of ten; `make check` allows {exposure.MOST}.",
        table(("unit", "exposure"), levels).rstrip(),
        *_starts(),
        *_images(),
    ]
    PAGE.write_text("\n\n".join(parts) + "\n", "utf-8")
    return 0


def _as_it_stands(title: str, command: str) -> list[str]:
    """A section of the page that this build has not measured: what another has counts on."""
    print(f"{PAGE.name}: {title} as they were, for want of a {command} here", file=sys.stderr)
    sections = PAGE.read_text("utf-8").rstrip().split("\n\n## ") if PAGE.exists() else []
    return [f"## {section}" for section in sections if section.startswith(f"{title}\n")]


def _starts() -> list[str]:
    if not UNITS_SEEN.exists():
        return _as_it_stands("Starts", "make units-test")
    seconds = json.loads(UNITS_SEEN.read_text())
    rows = [(code(f"framegate-{unit}"), f"{s:.1f}") for unit, s in sorted(seconds.items())]
    return [
        "## Starts",
        "Seconds from `systemctl start` until the service says that it serves, the first time on\n"
        "a new machine, in a container on two cores that did other things too (`make units-test`).",
        table(("service", "seconds"), rows).rstrip(),
    ]


def _images() -> list[str]:
    if not IMAGES_SEEN.exists():
        return _as_it_stands("Images", "make image")
    seen = json.loads(IMAGES_SEEN.read_text())
    rows = [(code(f"framegate-{n}"), f"{b / 1e6:.0f}") for n, b in sorted(seen["bytes"].items())]
    return [
        "## Images",
        "Megabytes on the disk, Debian beneath them counted in each (`make image`).",
        table(("image", "size"), rows).rstrip(),
    ]


def _sizes(package: Path) -> tuple[str, ...]:
    told = subprocess.run(
        ["dpkg-deb", "-f", package, "Installed-Size"], check=True, capture_output=True, text=True
    )
    packed, installed = package.stat().st_size / 1e6, int(told.stdout) * 1024 / 1e6
    return code(package.name.split("_")[0]), f"{packed:.0f}", f"{installed:.0f}"


if __name__ == "__main__":
    raise SystemExit(main())
