"""A small factory network in network namespaces of this host: a router with a bridge of guarded
ports, and routed links. Needs root. The wires are veth pairs; nothing of it reaches a real network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from framegate_segment.netlink.namespace import Namespace
from framegate_simulators.plant.processes import PlantError, wait_for

FOLDER: Final = Path("/run/netns")
PREFIX: Final = "fgsim"
CARRIER_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A host on a wire of its own: its name, the router's port, its network's and its own number,
    and whether the port is one of the bridge's.
    """

    host: str
    port: str
    network: int
    number: int
    bridged: bool = False

    @property
    def mac(self) -> str:
        """Its MAC address, locally administered."""
        return f"02:00:00:00:{self.network:02x}:{self.number:02x}"

    @property
    def address(self) -> str:
        """Its IPv4 address."""
        return f"10.10.{self.network}.{self.number}"

    @property
    def address6(self) -> str:
        """Its IPv6 address."""
        return f"fd10:{self.network}::{self.number}"


BRIDGE: Final = "brc"
WIRES: Final = (
    Wire(host="cam1", port="p-cam1", network=1, number=11, bridged=True),
    Wire(host="cam2", port="p-cam2", network=1, number=12, bridged=True),
    Wire(host="cam3", port="p-cam3", network=1, number=13, bridged=True),
    Wire(host="cam4", port="p-cam4", network=1, number=14, bridged=True),
    Wire(host="intr", port="p-intr", network=1, number=66, bridged=True),
    Wire(host="gw", port="p-gw", network=2, number=10),
    Wire(host="ctl", port="p-ctl", network=3, number=10),
    Wire(host="plc", port="p-plc", network=4, number=10),
)
ROUTER: Final = "router"


def unavailable() -> str:
    """Why namespaces cannot be made here; empty where they can."""
    if os.geteuid():
        return "needs root: network namespaces are made"
    missing = [p for p in ("ip", "nft") if shutil.which(p, path=_PATH) is None]
    if missing:
        return f"needs {' and '.join(missing)}: apt-get install iproute2 nftables"
    name = f"{PREFIX}{os.getpid()}try"
    made = _ip("netns", "add", name, check=False)
    _ip("netns", "del", name, check=False)
    return "" if made.returncode == 0 else f"no network namespaces here: {made.stderr.strip()}"


_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"


class Network:
    """The namespaces of one factory. A context manager: leaving it takes them away."""

    def __init__(self, wires: Sequence[Wire] = WIRES) -> None:
        self._prefix, self.wires = f"{PREFIX}{os.getpid()}", {w.host: w for w in wires}

    def __enter__(self) -> Network:
        try:
            self._build()
            wait_for("the carriers of all wires", self._carried, CARRIER_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the namespaces away, and the wires with them."""
        for host in (ROUTER, *self.wires):
            _ip("netns", "del", self.name(host), check=False)

    def name(self, host: str) -> str:
        """A host's namespace, as ip-netns calls it."""
        return f"{self._prefix}-{host}"

    def file(self, host: str) -> Path:
        """The file of a host's namespace."""
        return FOLDER / self.name(host)

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """The calling thread is on `host` until the end of the block."""
        with Namespace(self.file(host)).entered():
            yield

    def run(self, host: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program on a host. Raises PlantError where it fails."""
        return _run("ip", "netns", "exec", self.name(host), *argv, check=check)

    def _build(self) -> None:
        for host in (ROUTER, *self.wires):
            _ip("netns", "add", self.name(host))
            with self.at(host):  # addresses of two ends of a wire are nobody else's
                for which in ("all", "default"):
                    (Path("/proc/sys/net/ipv6/conf") / which / "accept_dad").write_text("0")
        router = self.name(ROUTER)
        inside = ["link add " + BRIDGE + " address 02:00:00:00:01:01 type bridge"]
        for wire in self.wires.values():
            name = self.name(wire.host)
            pair = ("link", "add", wire.port, "netns", router, "type", "veth")
            _ip(*pair, "peer", "name", "eth0", "netns", name)
            self._host(wire)
            if wire.bridged:
                inside.append(f"link set {wire.port} master {BRIDGE}")
            inside.append(f"link set {wire.port} up")
        inside.append(f"link set {BRIDGE} up")
        for port, network in {
            (BRIDGE if w.bridged else w.port, w.network) for w in self.wires.values()
        }:
            inside.append(f"addr add 10.10.{network}.1/24 dev {port}")
            inside.append(f"addr add fd10:{network}::1/64 dev {port} nodad")
        self._batch(ROUTER, inside)
        with self.at(ROUTER):
            for file in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                (Path("/proc/sys/net") / file).write_text("1")
            for name_ in ("iptables", "ip6tables", "arptables"):
                with suppress(OSError):
                    (Path("/proc/sys/net/bridge") / f"bridge-nf-call-{name_}").write_text("0")

    def _carried(self) -> bool:
        """Whether every port of the router has its carrier, of which the kernel tells late."""
        shown = self.run(
            ROUTER, "cat", *(f"/sys/class/net/{w.port}/operstate" for w in self.wires.values())
        )
        return set(shown.stdout.split()) == {"up"}

    def _host(self, wire: Wire) -> None:
        self._batch(
            wire.host,
            [
                f"link set eth0 address {wire.mac}",
                "link set lo up",
                "link set eth0 up",
                f"addr add {wire.address}/24 dev eth0",
                f"addr add {wire.address6}/64 dev eth0 nodad",
                f"route add default via 10.10.{wire.network}.1",
                f"-6 route add default via fd10:{wire.network}::1",
            ],
        )

    def _batch(self, host: str, lines: Sequence[str]) -> None:
        plain = [line for line in lines if not line.startswith("-6 ")]
        six = [line.removeprefix("-6 ") for line in lines if line.startswith("-6 ")]
        for family, chosen in (("-4", plain), ("-6", six)):
            if chosen:
                argv = ["ip", "-n", self.name(host), *(["-6"] if family == "-6" else [])]
                _run(*argv, "-batch", "-", feed="\n".join(chosen) + "\n")


def _ip(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _run("ip", *argv, check=check)


def _run(*argv: str, check: bool = True, feed: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv,
        input=feed,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{_PATH}:{os.environ.get('PATH', '')}"},
    )
    if check and done.returncode:
        raise PlantError(f"{' '.join(argv)[:120]}: {done.stderr.strip()[:300]}")
    return done
