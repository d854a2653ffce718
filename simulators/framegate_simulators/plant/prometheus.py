"""What a monitoring system knows of a plant: a Prometheus with the project's alert rules where
there is its program, else the programs' own pages.
"""

from __future__ import annotations

import json
import re
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from framegate_simulators.plant.processes import BIN, Processes, free_port, wait_for
from framegate_simulators.plant.scraping import scrape_config

RULES: Final = Path(__file__).parents[3] / "monitoring" / "alerts.yml"
EVERY_S: Final = 1
UP_S: Final = 60.0
ASK_S: Final = 15.0
_SAMPLE: Final = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.M)


class Monitoring:
    """Looks at the metrics of all daemons of `processes`, which show them."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._port = 0
        program = shutil.which("prometheus", path=f"{BIN}:/usr/local/bin:/usr/bin")
        self._program = program

    @property
    def what(self) -> str:
        """Who looks."""
        return "Prometheus" if self._program else "no Prometheus here: the pages are read directly"

    @property
    def alerts(self) -> bool:
        """Whether somebody evaluates alert rules."""
        return self._program is not None

    def start(self, folder: Path) -> int:
        """Scrape every daemon that was started so far; how many answer."""
        ports = self._processes.metrics or {}
        if self._program is None:
            wait_for("every page", lambda: all(_page(p) for p in ports.values()), UP_S)
            return len(ports)
        folder.mkdir(parents=True)
        config, self._port = folder / "prometheus.yml", free_port()
        config.write_text(scrape_config(ports, RULES, every=EVERY_S))
        self._processes.start(
            "prometheus",
            self._program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self._port}",
        )
        wait_for("Prometheus", lambda: _fetched(self._port, "/-/ready"), UP_S)
        wait_for("it to scrape all", lambda: self.value("sum", "up") == len(ports), UP_S)
        return len(ports)

    def value(self, how: str, metric: str, labels: str = "") -> float:
        """`how` (sum or max) of a metric's series with exactly these labels in them
        (`event="denied"`); 0 where there is none.
        """
        if self._program is None:
            return self._read(how, metric, labels)
        rows = self._asked(f"{how}({metric}{{{labels}}})")
        return float(rows[0]["value"][1]) if rows else 0.0

    def alert(self, name: str) -> str:
        """In which state an alert is: pending, firing, or empty."""
        rows = self._asked(f'ALERTS{{alertname="{name}"}}')
        states = {row["metric"]["alertstate"] for row in rows}
        return "firing" if "firing" in states else "pending" if states else ""

    def _asked(self, expression: str) -> list[dict[str, Any]]:
        body = _fetched(self._port, f"/api/v1/query?query={urllib.parse.quote(expression)}")
        rows: list[dict[str, Any]] = json.loads(body)["data"]["result"] if body else []
        return rows

    def _read(self, how: str, metric: str, labels: str) -> float:
        values = [
            float(value)
            for port in (self._processes.metrics or {}).values()
            for name, own, value in _SAMPLE.findall(_page(port))
            if name == metric and labels in own
        ]
        return (max(values) if how == "max" else sum(values)) if values else 0.0


def _page(port: int) -> str:
    return _fetched(port, "/metrics")


def _fetched(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ASK_S) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""
