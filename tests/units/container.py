"""A Debian with systemd in a folder, booted: with our packages in it, or bare, as a machine is on
which somebody follows a guide. `make units-test`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/units"
LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
"""What a container of this systemd would refuse, and a machine does not."""
BOOT_S = 1500
DEBIAN = (
    "python3",
    "ca-certificates",
    "systemd",
    "systemd-sysv",
    "dbus",
    "init-system-helpers",
    "libseccomp2",
    "libtss2-esys-3.0.2-0",
    "libtss2-fapi1",
    "libtss2-mu0",
    "libtss2-rc0",
    "libtss2-tctildr0",
    "libtss2-tcti-device0",
    "libtss2-tcti-swtpm0",
    "libstdc++6",
    "swtpm",
    "softhsm2",
    "mosquitto",
    "kmod",
    "udev",
)
BARE = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "kmod",
    "udev",
    # what a machine with a TPM has in hardware
    "swtpm",
    "libtss2-tcti-swtpm0",
)
"""Nothing of what our packages depend on, but for what they share with these."""
PACKAGES = ("operator", "agent", "controller", "gateway", "line", "console")
UNIT = """[Unit]
Description=What the test does
After=multi-user.target

[Service]
Type=oneshot
Environment=CHECKOUT={root}
ExecStart={python} {root}/tests/units/{script} /lab/seen.json {steps}
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/lab/out
StandardError=file:/lab/out

[Install]
WantedBy=multi-user.target
"""


def lacking() -> str:
    """Why no container can be booted here, in words; empty where one can."""
    if os.geteuid():
        return "only root boots a container"
    for program in ("mmdebstrap", "systemd-nspawn", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"{program} is not installed (mmdebstrap, systemd-container)"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        return "this machine allows no namespaces"
    return ""


def boot(packages=PACKAGES, steps="") -> dict:
    """Install packages, boot, let the lab do its `steps` (all); what it saw."""
    root = _copied("system", DEBIAN)
    debs = [package(name) for name in packages]
    for deb in debs:
        shutil.copy(deb, root / "var/cache" / deb.name)
    inside = [f"/var/cache/{deb.name}" for deb in debs]
    done = subprocess.run(
        ["chroot", root, "dpkg", "-i", *inside], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return _booted(root, "lab.py", steps)


def boot_bare(release: Path, script: str) -> dict:
    """A bare Debian with the folder `release` in it, and no network; what `script` saw."""
    root = _copied("bare", BARE)
    shutil.copytree(release, root / "srv/release")
    (root / "srv/release").chmod(0o755)
    return _booted(root, script, "")


def package(name: str) -> Path:
    """The package framegate-`name` of the last `make deb`."""
    return next((ROOT / "build/packages").glob(f"framegate-{name}_*.deb"))


def _copied(kind: str, debian) -> Path:
    system, root, lab = _system(kind, debian), BUILD / "root", BUILD / "lab"
    for old in (root, lab):
        shutil.rmtree(old, ignore_errors=True)
    lab.mkdir()
    subprocess.run(["cp", "-a", system, root], check=True)
    return root


def _booted(root: Path, script: str, steps: str) -> dict:
    """What `script` wrote in a container that was booted. Raises where it wrote nothing."""
    lab = BUILD / "lab"
    unit = UNIT.format(root=ROOT, python=sys.executable, script=script, steps=steps)
    (root / "etc/systemd/system/lab.service").write_text(unit)
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit in wanted.glob("framegate-*"):
        unit.unlink()  # the test starts them one after the other
    (wanted / "lab.service").symlink_to("/etc/systemd/system/lab.service")
    (root / "etc/machine-id").write_text("")
    with (lab / "console").open("wb") as console:
        subprocess.run(
            [
                "systemd-nspawn",
                "-q",
                "-D",
                root,
                "--register=no",
                "--keep-unit",
                "--boot",
                "--console=pipe",
                "--private-network",
                f"--bind-ro={ROOT}",
                f"--bind-ro={sys.base_prefix}",
                f"--bind={lab}:/lab",
                f"--system-call-filter={LANDLOCK}",
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            timeout=BOOT_S,
        )
    seen = lab / "seen.json"
    assert seen.exists(), (lab / "console").read_text()[-4000:]
    return json.loads(seen.read_text())


def _system(kind: str, debian) -> Path:
    """A bare Debian, made once for each list of its packages."""
    system, made_of = BUILD / kind, BUILD / f"{kind}.list"
    wanted = "\n".join(debian)
    if made_of.exists() and made_of.read_text() == wanted and system.exists():
        return system
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(system, ignore_errors=True)
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(debian)}",
            "bookworm",
            system,
        ],
        check=True,
    )
    made_of.write_text(wanted)
    return system
