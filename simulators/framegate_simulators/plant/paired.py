"""A simulated plant with two controllers on one PostgreSQL database."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Final

from framegate_simulators.fixtures.access import write_secret
from framegate_simulators.fixtures.postgres import LocalPostgres
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import free_port

DATABASE: Final = "plant"
SECOND: Final = "controller-2"


class PairedPlant(Plant):
    """Two controllers, `controller` and `controller-2`; machines and people have the addresses of
    both.
    """

    def __init__(
        self, server: LocalPostgres, *, interval_s: float = 4.0, folder: Path | None = None
    ) -> None:
        super().__init__(interval_s=interval_s, folder=folder)
        self.server, self.store = server, server.create(DATABASE)
        self.second_join, self.second_fleet = free_port(), free_port()

    def found_pair(self) -> None:
        """Found the fleet in the database, and make the second controller's folder."""
        self.found_fleet(
            "--store",
            self.store,
            "--join-address",
            f"127.0.0.1:{self.join_port},127.0.0.1:{self.second_join}",
            "--fleet-address",
            f"127.0.0.1:{self.fleet_port},127.0.0.1:{self.second_fleet}",
        )
        folder = self.folder / SECOND
        first = self.folder / "controller"
        self.command("framegate-controller", "add-controller", folder, "--state", first)

    def start_first(self) -> None:
        """Start the first controller, or start it again."""
        self.start_controller("--peer", f"127.0.0.1:{self.second_join}:{self.second_fleet}")

    def start_second(self) -> None:
        """Start the second controller, or start it again."""
        ready = self.folder / f"{SECOND}-ready.json"
        ready.unlink(missing_ok=True)
        self.start(
            SECOND,
            "framegate-controller",
            "run",
            "--state",
            self.folder / SECOND,
            "--name",
            SECOND,
            "--join-port",
            self.second_join,
            "--fleet-port",
            self.second_fleet,
            "--peer",
            f"127.0.0.1:{self.join_port}:{self.fleet_port}",
            "--attest-interval",
            self.interval_s,
            "--ready-file",
            ready,
            "-v",
        )
        self.wait_until_up(SECOND, ready.exists)

    def kill(self, name: str) -> None:
        """kill -9 a controller."""
        self.stop(name, signal.SIGKILL)

    def only(self, *, first: bool) -> Path:
        """A context of the signed-in operator that knows one controller alone."""
        body = json.loads(self.context.read_text())
        join, fleet = (
            (self.join_port, self.fleet_port) if first else (self.second_join, self.second_fleet)
        )
        body |= {"join_address": f"127.0.0.1:{join}", "fleet_address": f"127.0.0.1:{fleet}"}
        name = f"{self.context.stem}-{'first' if first else 'second'}.json"
        return write_secret(self.context.with_name(name), json.dumps(body))
