"""A simulated plant on loopback: real controller, gateway, broker and agents as processes, each
machine with its own swtpm.

The demonstration, the benchmark and the integration tests all use this one; every act goes through
the commands that people use.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.access import PASSWORD, write_secret
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.machine import Machine
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.plant.operators import OPERATOR, Operators
from framegate_simulators.plant.orderly_end import EndsInOrder
from framegate_simulators.plant.processes import (
    PlantError,
    Processes,
    answers,
    free_port,
    wait_for,
)
from framegate_simulators.plant.site import Site


class Plant(EndsInOrder, Processes, Operators):
    """A fleet, called `plant` where nothing else is said, in a temporary folder. Use as a context
    manager: leaving it stops every process and removes the folder, also where it is told to end. A
    `folder` of the caller's own is left as it is.
    """

    def __init__(
        self,
        *,
        interval_s: float = 4.0,
        logs: Path | None = None,
        folder: Path | None = None,
        fleet: str = "plant",
    ) -> None:
        self._temporary = folder is None
        # short: Unix sockets have 107 bytes
        folder = folder or Path(tempfile.mkdtemp(prefix="fg-"))
        Processes.__init__(self, logs or folder / "logs")
        Operators.__init__(self, folder)
        self.interval_s, self.fleet = interval_s, fleet
        self.maker = TpmMaker.load_or_found(self.folder / "maker")
        self.sites: dict[str, Site] = {}
        self.join_port, self.fleet_port, self.broker_port = (free_port() for _ in range(3))
        self._link_ports: dict[str, int] = {}
        self._controller_extra: list[str] = []
        self._line_extra: dict[str, list[str]] = {}
        self._gateway_ports: dict[str, tuple[int, int]] = {}
        self.lines: list[str] = []
        self.golden = self.folder / "golden"
        self.golden.mkdir()

    def close(self) -> None:
        """Stop everything and remove a temporary folder."""
        for site in self.sites.values():
            self.stop_agent(site)
        self.stop_all()
        for site in self.sites.values():
            with contextlib.suppress(Exception):
                site.machine.power_cut()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def found_fleet(self, *extra: object) -> None:
        """framegate-controller init, and the firmware profiles of the simulated machines; `extra`
        are further arguments of init.
        """
        state = self.folder / "controller"
        password = write_secret(self.folder / "password", PASSWORD + "\n")
        addresses = [
            "--join-address",
            f"127.0.0.1:{self.join_port}",
            "--fleet-address",
            f"127.0.0.1:{self.fleet_port}",
        ]
        argv = [
            "init",
            "--state",
            state,
            "--fleet",
            self.fleet,
            "--operator",
            OPERATOR,
            "--context",
            self.context,
            *addresses,
            "--password-file",
            password,
            "-o",
            "json",
            *extra,
        ]
        founder = json.loads(self.command("framegate-controller", *argv).stdout)
        self.authenticators[OPERATOR] = founder["totp_uri"]
        self.recovery_codes = list(founder["recovery_codes"])
        for model in ("simulated-camera", "simulated-gateway"):
            file = self.folder / f"{model}.toml"
            file.write_text(profile_toml(Firmware(model), model))
            allowlist = self.folder / f"{model}.allowlist"
            allowlist.write_bytes(allowlist_of(model, Firmware(model).release))
            self.command(
                "framegate-controller",
                "profile",
                "add",
                file,
                "--allowlist",
                allowlist,
                "--state",
                state,
            )
        (self.folder / "maker.pem").write_bytes(self.maker.pem())

    @property
    def controller_options(self) -> tuple[str, ...]:
        """What the controller was started with beyond folder and ports."""
        return tuple(self._controller_extra)

    def start_controller(self, *extra: object) -> None:
        """Start the controller, again on the same ports; `extra` arguments are kept for later."""
        if extra:
            self._controller_extra = [str(e) for e in extra]
        ready = self.folder / "controller-ready.json"
        ready.unlink(missing_ok=True)
        argv = [
            "run",
            "--state",
            self.folder / "controller",
            "--join-port",
            self.join_port,
            "--fleet-port",
            self.fleet_port,
        ]
        self.start(
            "controller",
            "framegate-controller",
            *argv,
            "--attest-interval",
            self.interval_s,
            "--ready-file",
            ready,
            "-v",
            *self._controller_extra,
        )
        self.wait_until_up("controller", ready.exists)
        if not self.signed_in:
            self.sign_in(OPERATOR)
            self.signed_in = True

    def start_broker(self) -> None:
        """Start mosquitto with the configuration and the access list that Framegate makes for it;
        operators read.
        """
        folder = self.folder / "broker"
        self.command(
            "framegate-controller",
            "server-certificate",
            "broker",
            "--out",
            folder,
            "--state",
            self.folder / "controller",
        )
        self.write_broker_acl()
        self.framegate(
            "broker",
            "config",
            "--folder",
            folder,
            "--acl",
            folder / "acl",
            "--listen",
            f"127.0.0.1:{self.broker_port}",
            "--out",
            folder / "mosquitto.conf",
            *(("--user", "root") if os.geteuid() == 0 else ()),
        )
        self.restart_broker()

    def mosquitto(self) -> str:
        """The path of the broker's program. PlantError where it is not installed."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise PlantError("mosquitto is not installed: apt-get install mosquitto")
        return program

    def write_broker_acl(self) -> None:
        """Make the broker's access list anew from the registry, and have a running broker read
        it.
        """
        folder = self.folder / "broker"
        readers = [a for name in self.lines for a in ("--line", name)]
        self.framegate(
            "broker", "acl", "--out", folder / "acl", "--reader", f"operator.{OPERATOR}", *readers
        )
        if "broker" in self.running:
            self.process("broker").send_signal(signal.SIGHUP)

    def add_machine(
        self, name: str, kind: str = "camera", *, firmware: Firmware | None = None, ek: str = "p256"
    ) -> Site:
        """Deliver a machine and power it on."""
        machine = Machine(
            self.folder / name, self.maker, firmware or Firmware(f"simulated-{kind}"), ek=ek
        )
        machine.power_on()
        site = Site(machine, kind, name)
        self.sites[name] = site
        return site

    def invite(self, site: Site, *, bind: bool = True) -> Path:
        """Ask for a ticket, bound to the machine's EK by default; returns the ticket's file."""
        ticket = self.folder / f"{site.name}.ticket"
        extra: list[object] = []
        if bind:
            shown = self.command(
                "framegate-agent", "ek", "--tcti", site.machine.tcti, "-o", "json"
            ).stdout
            extra = ["--ek-hash", json.loads(shown)["ek_sha256"]]
        self.framegate(
            site.kind,
            "invite",
            site.name,
            "--profile",
            f"simulated-{site.kind}",
            "--out",
            ticket,
            *extra,
        )
        return ticket

    def join(
        self, site: Site, ticket: Path, *, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """framegate-agent join on the machine."""
        done = self.command(
            "framegate-agent", "join", ticket, *self.agent_arguments(site), check=check
        )
        if "broker" in self.running:
            self.write_broker_acl()
        return done

    def start_agent(self, site: Site, *source: object) -> None:
        """framegate-agent run on the machine; `source` is kept for the next start."""
        if source:
            site.source = [str(s) for s in source]
        (site.disk / "status.json").unlink(missing_ok=True)
        hosts = site.kind in {"gateway", "backend"}
        extra = ["--gateway-socket", self.agent_socket(site)] if hosts else []
        site.agent = self.start(
            f"agent-{site.name}",
            "framegate-agent",
            "run",
            *self.agent_arguments(site),
            *extra,
            *site.source,
        )

    def stop_agent(self, site: Site) -> None:
        """Stop the machine's agent, if it runs."""
        if site.agent is not None:
            self.stop(f"agent-{site.name}")
            site.agent = None

    def start_gateway(self, site: Site, *extra: object, golden: list[Path] | None = None) -> None:
        """framegate-gateway run on the machine; `extra` are further arguments."""
        port, operator_port = self.gateway_ports(site)
        argv: list[object] = [
            "run",
            "--agent-socket",
            self.agent_socket(site),
            "--port",
            port,
            "--operator-port",
            operator_port,
            "--state",
            site.machine.folder / "gateway",
            *extra,
        ]
        for folder in golden or [self.golden]:
            argv += ["--golden", folder]
        if "broker" in self.running:
            argv += [
                "--broker",
                f"127.0.0.1:{self.broker_port}",
                "--broker-name",
                f"broker.{self.fleet}.framegate",
            ]
        self.start(f"gateway-{site.name}", "framegate-gateway", *argv, "-v")

    def gateway_ports(self, site: Site) -> tuple[int, int]:
        """Frames and operators' port of the gateway on this machine; the same at every start."""
        return self._gateway_ports.setdefault(site.name, (free_port(), free_port()))

    def start_link(self, site: Site) -> int:
        """A TCP link in front of the frames port of the gateway on `site`; returns its port, the
        same at every start. Kill it to cut the link.
        """
        port = self._link_ports.setdefault(site.name, free_port())
        self.start(
            f"link-{site.name}",
            "framegate-sim",
            "link",
            "--listen",
            port,
            "--to",
            self.gateway_ports(site)[0],
        )
        wait_for(f"the link to {site.name}", lambda: answers(port))
        return port

    def link_port(self, site: Site) -> int:
        """The port of the link to the gateway on `site`."""
        return self._link_ports[site.name]

    def line_keys(self, name: str) -> Path:
        """Credentials of a line adapter or PLC bridge."""
        folder = self.folder / f"line-{name}"
        if not folder.exists():
            self.command(
                "framegate-controller",
                "line-certificate",
                name,
                "--out",
                folder,
                "--state",
                self.folder / "controller",
            )
        return folder

    def start_line(self, name: str, cameras: list[Site], *extra: object) -> None:
        """framegate-line run for the line `name`; `extra` are further arguments, kept for the next
        start.
        """
        if name not in self.lines:
            self.lines.append(name)
            self.write_broker_acl()
        if extra:
            self._line_extra[name] = [str(e) for e in extra]
        argv: list[object] = ["run", "--line", name, "--credentials", self.line_keys(name)]
        argv += ["--ledger", self.ledger(name), "-v"]
        for camera in cameras:
            argv += ["--camera", f"camera.line-1.{camera.name}"]
        argv += [
            "--broker",
            f"127.0.0.1:{self.broker_port}",
            "--broker-name",
            f"broker.{self.fleet}.framegate",
            *self._line_extra.get(name, []),
        ]
        self.start(f"line-{name}", "framegate-line", *argv)

    def ledger(self, name: str) -> Path:
        """The part ledger of a line."""
        return self.folder / f"ledger-{name}" / "ledger.db"

    def restart_broker(self) -> None:
        """Start mosquitto again after it was killed."""
        self.start("broker", self.mosquitto(), "-c", self.folder / "broker" / "mosquitto.conf")
        self.wait_until_up("broker", lambda: answers(self.broker_port))

    def agent_socket(self, site: Site) -> Path:
        """Where the agent of a gateway's host listens."""
        return site.machine.folder / "agent.sock"

    def write_golden(self, designs: list[int]) -> None:
        """Golden images of drawn designs for the gateway."""
        write_golden(self.golden, designs)

    def state_of(self, site: Site) -> str:
        """The device's state by the controller."""
        return str(self.ask(site.kind, "show", site.name)["state"])

    def agent_arguments(self, site: Site) -> list[object]:
        """Where an agent finds its state, the machine's TPM and its logs."""
        return [
            "--state",
            site.disk,
            "--tcti",
            site.machine.tcti,
            "--boot-log",
            site.machine.boot_log_path,
            "--ima",
            site.machine.ima_path,
        ]
