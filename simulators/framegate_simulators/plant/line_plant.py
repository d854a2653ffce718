"""A plant with a line: two gateways, a camera triggered by the PLC, a cuttable link, an adapter
that drives MQTT and a Modbus PLC at once.
"""

from __future__ import annotations

import json
import shlex
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from framegate_host.private_files import private_folder
from framegate_operator.connection import load_context
from framegate_simulators.plant.conveyor import Conveyor
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.modbus_plc import ModbusPlc
from framegate_simulators.plant.mqtt_diverter import LineKeys, MqttDiverter
from framegate_simulators.plant.observer import Observer
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, UP_S, PlantError, free_port, wait_for
from framegate_simulators.plant.site import Site

LINE: Final = "press-7"
DEADLINE_MS: Final = 1_000
TRANSPORT_S: Final = 1.3
"""From trigger to diverter; the deadline lies well before it."""
TARGETS: Final = ("camera", "link", "gateway", "broker", "adapter")
"""What may die."""


@dataclass
class Outside:
    """What is known from outside: the PLC's counts, and which parts the signed verdicts vouch
    for.
    """

    parts_in: int
    let_through: int
    diverted: int
    bad_let_through: int
    uninspected: list[Part]

    @property
    def exact(self) -> bool:
        """Parts in = outcomes out, and nothing uninspected was let through."""
        return self.parts_in == self.let_through + self.diverted and not self.uninspected


class LinePlant:
    """A running line in `plant`. Use as a context manager inside the plant's."""

    def __init__(
        self,
        plant: Plant,
        *,
        rate: float = 5.0,
        gateway_options: tuple[object, ...] = (),
        line_options: tuple[object, ...] = (),
    ) -> None:
        self.plant, self.rate = plant, rate
        self._gateway_options, self._line_options = gateway_options, line_options
        self.camera: Site
        self.gateways: list[Site] = []
        self.wire = free_port()

    def __enter__(self) -> LinePlant:
        p = self.plant
        p.found_fleet()
        p.start_controller()
        p.start_broker()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        self.gateways = [p.add_machine(name, "gateway") for name in ("gw1", "gw2")]
        self.camera = p.add_machine("cam1")
        for site in (*self.gateways, self.camera):
            p.join(site, p.invite(site))
        p.write_golden([1])
        for gateway in self.gateways:
            p.start_agent(gateway)
        for gateway in self.gateways:
            wait_for("the agents' sockets", p.agent_socket(gateway).exists)
            recovery = p.folder / f"{gateway.name}.recovery"
            p.command(
                "framegate-gateway",
                "vault",
                "init",
                "--agent-socket",
                p.agent_socket(gateway),
                "--state",
                gateway.machine.folder / "gateway",
                "--recovery-key-out",
                recovery,
            )
            p.start_link(gateway)
            self.start_gateway(gateway)
        self.start_camera()
        self.plc = ModbusPlc()
        self._adapter_arguments: tuple[object, ...] = (
            "--output",
            "mqtt",
            "--output",
            f"modbus:127.0.0.1:{self.plc.port}",
            "--deadline-ms",
            DEADLINE_MS,
            "--hold-ms",
            3000,
            "--stop-after",
            5,
            *self._line_options,
        )
        p.lines.append(f"{LINE}")
        p.write_broker_acl()
        self.start_adapter()
        self.diverter = MqttDiverter(LINE, LineKeys(p.line_keys(f"{LINE}-plc")), p.broker_port)
        operator = operator_keys(self.plant)
        self.observer = Observer(
            operator.client("observer"), operator.authorities, operator.root, p.broker_port
        )
        self.conveyor = Conveyor(
            (self.diverter, self.plc),
            self.diverter.trigger,
            (self.wire,),
            rate=self.rate,
            transport_s=TRANSPORT_S,
        )
        wait_for("the camera to have a gateway", self.streaming, UP_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.conveyor.finish()
        self.diverter.close()
        self.plc.close()
        self.observer.close()

    @property
    def cameras(self) -> tuple[str, ...]:
        """Ids of the cameras that see every part."""
        return (f"camera.line-1.{self.camera.name}",)

    def start_camera(self) -> None:
        """The camera's agent, photographing by trigger."""
        self.plant.start_agent(
            self.camera,
            "--source",
            f"exec:{SIM} camera --design 1 --trigger {shlex.quote(str(self.wire))}",
        )

    def start_gateway(self, gateway: Site) -> None:
        """A gateway that cameras reach through its link."""
        link = (
            self.plant.start_link(gateway)
            if f"link-{gateway.name}" not in self.plant.running
            else self.plant.link_port(gateway)
        )
        self.plant.start_gateway(
            gateway,
            "--advertise",
            f"127.0.0.1:{link}",
            "--export-to",
            "quality",
            "--export-quota",
            "2",
            *self._gateway_options,
        )

    def start_adapter(self) -> None:
        """The line adapter."""
        self.plant.start_line(LINE, [self.camera], *self._adapter_arguments)

    def streaming(self) -> bool:
        """Whether the camera has a gateway and its trigger wire is connected."""
        return _listens(self.wire) and any(
            s["gateway"] for s in self.camera.status().get("streams", [])
        )

    def serving(self) -> Site:
        """The gateway that has the camera's stream now."""
        host = next(
            (s["gateway"] for s in self.camera.status().get("streams", []) if s["gateway"]), ""
        )
        return next((g for g in self.gateways if host.endswith(f".{g.name}")), self.gateways[0])

    def kill(self, target: str) -> str:
        """kill -9 one thing and start it again at once, as its supervisor would; says what it
        was.
        """
        p = self.plant
        if target == "camera":
            p.stop("agent-cam1", signal.SIGKILL)
            self.start_camera()
            return "agent of cam1"
        if target == "broker":
            p.stop("broker", signal.SIGKILL)
            p.restart_broker()
            return "mosquitto"
        if target == "adapter":
            p.stop(f"line-{LINE}", signal.SIGKILL)
            self.start_adapter()
            return "framegate-line"
        gateway = self.serving()
        if target == "link":
            p.stop(f"link-{gateway.name}", signal.SIGKILL)
            p.start_link(gateway)
            return f"link to {gateway.name}"
        p.stop(f"gateway-{gateway.name}", signal.SIGKILL)
        self.start_gateway(gateway)
        return f"gateway on {gateway.name}"

    def outside(self, since: int = 0) -> Outside:
        """The counts over parts from index `since` on; waits a moment for verdicts that are still
        on their way to the observer.
        """
        parts = [p for p in self.conveyor.parts[since:] if p.let_through is not None]
        end = time.monotonic() + 2.0
        while True:
            missing = [
                p for p in parts if p.let_through and not self.observer.passed(p, self.cameras)
            ]
            if not missing or time.monotonic() > end:
                break
            time.sleep(0.05)
        through = [p for p in parts if p.let_through]
        return Outside(
            len(parts),
            len(through),
            len(parts) - len(through),
            sum(not p.good for p in through),
            missing,
        )

    def ledger(self) -> dict[str, Any]:
        """framegate-line status."""
        done = self.plant.command(
            "framegate-line",
            "status",
            "--line",
            LINE,
            "--ledger",
            self.plant.ledger(LINE),
            "-o",
            "json",
        )
        return dict(json.loads(done.stdout))

    def healed(self, timeout_s: float = 40) -> None:
        """Let parts in until good ones pass again, without anybody's help. PlantError where none
        does.
        """
        end = time.monotonic() + timeout_s
        while True:
            before = len(self.conveyor.parts)
            self.conveyor.run(4)
            if any(p.let_through for p in self.conveyor.parts[before:]):
                return
            if time.monotonic() > end:
                raise PlantError(f"no part passes {timeout_s:g} s after the last kill")


def operator_keys(plant: Plant) -> LineKeys:
    """The first operator's credentials, as a client of the broker takes them."""
    folder = private_folder(plant.folder / "observer")
    context = load_context(plant.context)
    for name, data in (
        ("line.key", context.key),
        ("line.pem", context.certificate),
        ("root.pem", context.root),
        ("authorities.pem", context.authorities),
    ):
        (folder / name).write_bytes(data)
    return LineKeys(folder)


def _listens(port: int) -> bool:
    """Whether a program has this UDP port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
