"""docs/guides/operators/install.md, *Several hosts*: its machines by their names and addresses, its
table of ports, and its packet filter as it stands. In network namespaces of this host; as root.
"""

import json
import os
import re
import shlex
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import cv2
import pytest

from framegate_segment.netlink.namespace import Namespace
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import part_type, write_golden
from framegate_simulators.plant.namespaces import unavailable
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, wait_for
from support.paths import ROOT

pytestmark = pytest.mark.plants
PAGE = (ROOT / "docs/guides/operators/install.md").read_text()
DESK, STRANGER = "desk.plant.example", "stranger.example"
"""An operator's machine, and one outside of the plant's addresses."""
DESIGN, NO_S = 3, 1.0
CLOSED = """table inet host {{
  chain input {{
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iif lo accept
    {accept}
  }}
}}
"""


def machines() -> dict[str, str]:
    """The page's machines: name to address."""
    rows = re.findall(r"^\| (\S+\.plant\.example) \| (10\.[0-9.]+) \|", PAGE, re.M)
    return dict(rows) | {DESK: "10.20.2.5", STRANGER: "10.30.0.9"}


def settings_of(name: str) -> dict[str, str]:
    """What the page says a machine's settings are, by name."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \|.*\| ([^|]+) \|$", PAGE, re.M)
    given = dict(re.findall(r'`(\w+) = "([^"]+)"`', row))
    return given | ({"advertise": name} if "`advertise` its name" in row else {})


def ports() -> set[str]:
    """The ports of the page's table that this rehearsal needs open, each by its text."""
    return set(re.findall(r"\| (\d+)/tcp", PAGE))


def packet_filter() -> str:
    """The page's own."""
    (text,) = re.findall(r"^    table inet framegate \{\n.*?^    \}\n", PAGE, re.M | re.S)
    return text


class Hosts(Plant):
    """A plant whose programs run each on its machine."""

    def __init__(self, stack: ExitStack) -> None:
        super().__init__(interval_s=30.0)  # certificates outlive a busy moment of this machine
        stack.enter_context(self)
        self._prefix, self._at = f"fghost{os.getpid()}", machines()
        self._names = self.folder / "hosts"
        lines = [f"{address} {name}" for name, address in self._at.items()]
        self._names.write_text("127.0.0.1 localhost\n" + "\n".join(lines) + "\n")
        # names by this file alone, as in a plant whose name server does not answer
        server = self._names.with_name(f"{self._names.name}.server")
        server.write_text(f"nameserver {self._at[STRANGER]}\n")
        stack.callback(self._unwire)
        self._wire()
        with self.on(STRANGER):
            self.name_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.name_server.bind((self._at[STRANGER], 53))
        stack.callback(self.name_server.close)
        self.join_port, self.fleet_port = 7443, 7444
        self._gateway_ports["gw1"] = (7445, 7446)

    def namespace(self, name: str) -> str:
        return f"{self._prefix}-{name.partition('.')[0]}"

    @contextmanager
    def on(self, name: str):
        with Namespace(Path("/run/netns") / self.namespace(name)).entered():
            yield

    def filtered(self, name: str, rules: str) -> None:
        argv = ["ip", "netns", "exec", self.namespace(name), "nft", "-f", "-"]
        subprocess.run(argv, input=rules, text=True, check=True)

    def start(self, name, program, *argv):
        place = name.rpartition("-")[2]
        return super().start(name, self._there(f"{place}.plant.example", program), *argv)

    def command(self, program, *argv, **more):
        place = DESK
        if program != "framegate":
            place = "controller.plant.example"
            if program == "framegate-agent":
                (site,) = {s for s in ("gw1", "cam1") if any(f"/{s}" in str(a) for a in argv)}
                place = f"{site}.plant.example"
        return super().command(self._there(place, program), *argv, **more)

    def _there(self, place: str, program: str) -> str:
        """A program of ours as that machine has it, which knows the plant's names."""
        file = self.folder / f"at-{place}-{program}"
        if not file.exists():
            known = (
                f"mount --bind {self._names} /etc/hosts"
                f' && mount --bind {self._names}.server /etc/resolv.conf && exec "$@"'
            )
            argv = ["ip", "netns", "exec", self.namespace(place), "sh", "-c", known, "sh"]
            file.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} {BIN / program} "$@"\n')
            file.chmod(0o700)
        return str(file)

    def _wire(self) -> None:
        switch = self.namespace("switch")
        lines = [f"netns add {switch}", f"-n {switch} link add name plant0 type bridge"]
        lines.append(f"-n {switch} link set plant0 up")
        for number, (name, address) in enumerate(self._at.items()):
            own = self.namespace(name)
            lines += [
                f"netns add {own}",
                f"link add p{number} netns {switch} type veth peer name eth0 netns {own}",
                f"-n {switch} link set p{number} master plant0",
                f"-n {switch} link set p{number} up",
                f"-n {own} link set lo up",
                f"-n {own} link set eth0 up",
                f"-n {own} addr add {address}/8 dev eth0",
            ]
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)

    def _unwire(self) -> None:
        for name in ("switch", *self._at):
            argv = ["ip", "netns", "del", self.namespace(name)]
            subprocess.run(argv, check=False, capture_output=True)


def reached(hosts: Hosts, who: str, name: str, port: int) -> bool:
    with hosts.on(who):
        try:
            socket.create_connection((machines()[name], port), NO_S).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    if why := unavailable():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("camera")
    with ExitStack() as stack:
        plant = Hosts(stack)
        controller, gateway_at = "controller.plant.example", "gw1.plant.example"
        plant.filtered(controller, packet_filter())
        gateways = "ip saddr 10.20.1.0/24 tcp dport 7445 accept; ip saddr 10.20.2.5 tcp dport 7446"
        plant.filtered(gateway_at, CLOSED.format(accept=f"{gateways} accept"))
        plant.filtered("cam1.plant.example", CLOSED.format(accept=""))
        addresses = (
            "--join-address",
            f"{controller}:7443",
            "--fleet-address",
            f"{controller}:7444",
        )
        plant.found_fleet(*addresses)
        plant.start_controller(*flags(controller))
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem")
        golden = folder / "golden"
        golden.mkdir()
        write_golden(golden, [DESIGN])
        gateway, camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
        for site in (gateway, camera):
            plant.join(site, plant.invite(site))
        plant.start_agent(gateway)
        plant.start_gateway(gateway, *flags(gateway_at), golden=[golden])
        for number in range(2):
            board = draw_board(number, design=DESIGN, defects=number % 2, clean_capture=True)
            cv2.imwrite(str(folder / f"board-{number}.png"), board.frame)
        source = ("--source", f"folder:{folder}", "--part-type", part_type(DESIGN))
        plant.start_agent(camera, *source, "--repeat", "--rate", "1")
        yield plant


def flags(name: str) -> list[str]:
    """A machine's settings of the page, as flags."""
    return [word for key, value in settings_of(name).items() for word in (f"--{key}", value)]


def test_the_page_names_what_is_rehearsed():
    assert set(machines()) > {"controller.plant.example", "gw1.plant.example", "cam1.plant.example"}
    assert settings_of("controller.plant.example") == {
        "host": "0.0.0.0",
        "advertise": "controller.plant.example",
    }
    assert settings_of("gw1.plant.example")["advertise"] == "gw1.plant.example"
    assert {"7443", "7444", "7445", "7446"} <= ports()


def test_frames_come_through_and_the_operator_reads_their_verdicts_by_name(hosts):
    """With nothing open but what the page opens: the controller's filter is the page's own, and
    nobody calls the camera.
    """

    def verdicts():
        told = hosts.framegate("verdict", "list", "--camera", "cam1", "-o", "json", check=False)
        if told.returncode not in {0, 6}:  # no gateway has shown itself yet
            return []
        rows = json.loads(told.stdout)
        return rows["verdicts"] if isinstance(rows, dict) else rows

    with hosts.explained():
        rows = wait_for("a verdict, asked for by name", verdicts, 240.0)
    assert {r["outcome"].upper() for r in rows} <= {"PASS", "DEFECT"}
    for name in ("gw1", "cam1"):
        assert hosts.state_of(hosts.sites[name]) == "trusted"


@pytest.mark.parametrize(
    ("who", "name", "port", "open_"),
    [
        (DESK, "controller.plant.example", 7443, True),
        (DESK, "controller.plant.example", 7444, True),
        (DESK, "gw1.plant.example", 7446, True),
        ("cam1.plant.example", "gw1.plant.example", 7445, True),
        (STRANGER, "controller.plant.example", 7443, False),
        (STRANGER, "controller.plant.example", 7444, False),
        (STRANGER, "gw1.plant.example", 7445, False),
        ("cam1.plant.example", "gw1.plant.example", 7446, False),
        (DESK, "gw1.plant.example", 7445, False),
    ],
    ids=str,
)
def test_only_the_tables_ways_are_open(hosts, who, name, port, open_):
    if open_:  # a gateway opens its ports once its host vouches for it
        wait_for(f"port {port}", lambda: reached(hosts, who, name, port), 240.0)
    else:
        assert not reached(hosts, who, name, port)


def test_what_the_pages_filter_does_not_name_is_closed(hosts):
    with hosts.on("controller.plant.example"):
        listening = socket.create_server(("0.0.0.0", 9464))
    with listening:
        assert not reached(hosts, DESK, "controller.plant.example", 9464)


def test_no_name_server_is_asked_for_what_the_hosts_file_knows(hosts):
    """One that is silent would hold up every connection for 12 s."""
    hosts.name_server.setblocking(False)
    asked = []
    with suppress(BlockingIOError):
        while True:
            asked.append(hosts.name_server.recv(512))
    assert [query for query in asked if b"plant" in query] == []
