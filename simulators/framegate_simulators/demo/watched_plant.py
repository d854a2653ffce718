"""The plant of the demonstration of those who watch: what is set up, what people do in it, and what
is asked of whoever watches.
"""

from __future__ import annotations

import json
import shutil
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_host.private_files import private_folder
from framegate_simulators.demo.cast import Cast
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import SIM, wait_for
from framegate_simulators.plant.prometheus import Monitoring
from framegate_simulators.plant.site import Site
from framegate_simulators.plant.syslog_collector import SyslogServer, start_syslog

PATIENCE_S: Final = 90.0
RATE: Final = 2
BURST: Final = 5
"""Exports in an hour, from which on the rule `exports` speaks."""
SINK: Final = "soc"
PLAYBOOK: Final = "hold"


class WatchedPlant:
    """Three cameras and a gateway, a syslog server and Prometheus; anna founds, sara and sven are
    security. PlantError where anything fails.
    """

    def __init__(self, plant: Plant, console: Terminal) -> None:
        plant.metrics = {}
        self.plant, self.cast = plant, Cast(plant, console)
        self.monitoring = Monitoring(plant)
        self.syslog: SyslogServer

    def begin(self) -> str:
        """Fleet, sink, machines, people, Prometheus."""
        p = self.plant
        p.found_fleet()
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        self._add_sink()
        self._add_gateway()
        for number in (1, 2, 3):
            site = p.add_machine(f"cam{number}")
            p.join(site, p.invite(site))
            p.start_agent(site, "--source", self.source(number))
            self.cast.cameras.append(site)
        wait_for(
            "verdicts of all cameras",
            lambda: all(self.cast.inspected(c) for c in self.cast.cameras),
            PATIENCE_S,
        )
        self.cast.who["sara"] = p.add_person("sara", "security")
        self.cast.who["sven"] = self.cast.added_by_two("sven", "security")
        programs = self.monitoring.start(p.folder / "prometheus")
        return (
            f"syslog: {self.syslog.program}; metrics of {programs} programs: {self.monitoring.what}"
        )

    def _add_sink(self) -> None:
        """While anna is alone: later it takes two."""
        p = self.plant
        self.syslog = start_syslog(p, p.folder / "syslog")
        credentials = private_folder(p.folder / "controller" / "sinks" / SINK)
        shutil.copy(self.syslog.ca, credentials / "ca.pem")
        address = f"127.0.0.1:{self.syslog.port}"
        p.framegate("siem", "add", SINK, "--kind", "syslog", "--address", address)
        p.framegate("siem", "test", SINK)

    def _add_gateway(self) -> None:
        p = self.plant
        gateway: Site = p.add_machine("gw1", "gateway")
        p.join(gateway, p.invite(gateway))
        p.write_golden([1, 2, 3])
        p.start_agent(gateway)
        wait_for("the agent's socket", lambda: p.agent_socket(gateway).exists(), PATIENCE_S)
        p.command(
            "framegate-gateway",
            "vault",
            "init",
            "--agent-socket",
            p.agent_socket(gateway),
            "--state",
            gateway.machine.folder / "gateway",
            "--recovery-key-out",
            p.folder / "gw1.recovery",
        )
        p.start_gateway(gateway, "--export-to", "quality", "--export-quota", BURST)

    def source(self, number: int) -> str:
        """A camera's drawn boards, as its agent is told."""
        drawn = f"--design {number} --first {number * 1000} --rate {RATE}"
        return f"exec:{SIM} camera {drawn}"

    def by_two(self, *argv: object) -> str:
        """sara asks, sven approves, sara does it; the request's id."""
        request = self.cast.request(self.cast.refused(*argv, who="sara"))
        self.plant.framegate("access", "approve", request, who=self.cast.who["sven"])
        self.plant.framegate(*argv, who=self.cast.who["sara"])
        return request

    def exportable(self) -> list[str]:
        """Verdict ids of inspected frames, once there are enough whose receipts are logged."""
        rows = self.plant.ask("verdict", "list", "--limit", "40", "--camera", "camera.line-1.cam1")
        ids = [str(r["verdict_id"]) for r in rows if r["outcome"] != "UNINSPECTED"][-BURST:]
        if len(ids) < BURST:
            return []
        shown = self.plant.framegate("receipt", "show", ids[0], check=False)
        return ids if shown.returncode == 0 else []

    def noticed(self) -> str:
        """What the rule `exports` said of sara; empty while it said nothing."""
        entries = self.entries("behaviour-noticed")
        return next((e["detail"] for e in entries if "exports: sara" in e["detail"]), "")

    def steps(self, name: str, state: str) -> list[dict[str, Any]]:
        """What the playbook did about a camera; all of it, once the last of it is so."""
        rows = self.plant.ask("playbook", "history", PLAYBOOK)
        own = [r for r in rows if r["target"].endswith(f".{name}")]
        if not own or any(r["state"] != state for r in own):
            return []
        return sorted(own, key=lambda r: int(r["step"]))

    def entries(self, event: str) -> list[dict[str, Any]]:
        """Events of one kind, the newest first."""
        rows = self.plant.ask("events", "--limit", "500")
        return [r for r in rows if r["event"] == event]

    def guesses_told(self) -> int:
        """How many guesses the SIEM was told of, those that were recorded together counted each."""
        return sum(
            _members(e).get("count", 1)
            for e in self.syslog.events()
            if e["metadata"]["event_code"] == "sign-in-failed"
        )

    def verified(self) -> str:
        """What `siem verify` says of all that came, once it holds; else empty."""
        argv = ("siem", "verify", self.syslog.out, "-o", "json")
        done = self.plant.framegate(*argv, check=False)
        if done.returncode:
            return ""
        return f"siem verify: {json.loads(done.stdout)['entries']} entries, none missing or altered"


def _members(event: dict[str, Any]) -> dict[str, Any]:
    """Members of the entry that an event carries as it was logged."""
    members: dict[str, Any] = json.loads(event["raw_data"]).get("members", {})
    return members
