"""A Debian with systemd in a folder, booted: with our packages in it, or bare, as a machine is on
which somebody follows a guide. `make units-test`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
HOST = (*BARE, "iproute2", "nftables")
"""A bare machine on a network, with a firewall."""
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
    _carry(release, root)
    return _booted(root, script, "")


def boot_plant(
    release: Path, script: str, hosts: Mapping[str, str], carried: Sequence[Path]
) -> dict[str, dict]:
    """Bare Debians beside each other, with the folder `release` in each, on one switch that leads
    nowhere else. `hosts` are their names and addresses (with the network's length), which each has
    in /etc/hosts; what `script` saw on each, given its name and its address. /stick is what people
    carry from one to the other, the files `carried` from the beginning.
    """
    switch, stick = f"fgunits{os.getpid()}", BUILD / "stick"
    shutil.rmtree(stick, ignore_errors=True)
    stick.mkdir(parents=True)
    for file in carried:
        shutil.copy(file, stick)
    known = "".join(f"{a.partition('/')[0]} {name}\n" for name, a in hosts.items())
    roots = {name: _copied("hosts", HOST, name) for name in hosts}
    for root in roots.values():
        _carry(release, root)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n" + known)
    subprocess.run(["ip", "netns", "add", switch], check=True)
    try:
        # the network alone: ip netns exec would take /sys/fs/cgroup away
        inside = ["nsenter", f"--net=/run/netns/{switch}"]
        for line in ("add name plant0 type bridge", "set plant0 up"):
            subprocess.run([*inside, "ip", "link", *line.split()], check=True)
        more = ("--network-bridge=plant0", f"--bind={stick}:/stick", "--resolv-conf=off")
        with ThreadPoolExecutor(len(hosts)) as each:
            came = {
                name: each.submit(
                    _booted, roots[name], script, f"{name} {address}", name, inside, more
                )
                for name, address in hosts.items()
            }
            return {name: told.result() for name, told in came.items()}
    finally:
        subprocess.run(["ip", "netns", "del", switch], check=False)


def _carry(release: Path, root: Path) -> None:
    shutil.copytree(release, root / "srv/release")
    (root / "srv/release").chmod(0o755)


def package(name: str) -> Path:
    """The package framegate-`name` of the last `make deb`."""
    return next((ROOT / "build/packages").glob(f"framegate-{name}_*.deb"))


def _copied(kind: str, debian, name: str = "") -> Path:
    system, root, lab = _system(kind, debian), BUILD / f"root{name}", BUILD / f"lab{name}"
    for old in (root, lab):
        shutil.rmtree(old, ignore_errors=True)
    lab.mkdir()
    subprocess.run(["cp", "-a", system, root], check=True)
    return root


def _booted(
    root: Path, script: str, steps: str, name: str = "", before=(), network=("--private-network",)
) -> dict:
    """What `script` wrote in a container that was booted, by whatever stands `before` its command.
    Raises where it wrote nothing.
    """
    lab = BUILD / f"lab{name}"
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
                *before,
                "systemd-nspawn",
                "-q",
                "-D",
                root,
                "--register=no",
                "--keep-unit",
                "--boot",
                "--console=pipe",
                *network,
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
