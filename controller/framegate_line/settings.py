"""What the adapter of a line can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from framegate.errors import Failure, FramegateError, Reason
from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, Form, Setting
from framegate_host.telemetry.listening import MetricsAt, MetricsTls, metrics_problems
from framegate_line.ledger_rows import Retention
from framegate_line.rules import MAX_DEADLINE_MS, Rules

MQTT: Final = "mqtt"
STANDARD: Final = "-"
MAX_DAYS: Final = 36_500
_OUTPUT: Final = Form(
    "mqtt, modbus:HOST:PORT or file:PATH", rf"mqtt|modbus:{HOST_PORT.pattern}|file:.+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings(Settings):
    """How the adapter of one line runs."""

    PROGRAM: ClassVar[str] = "line"

    line: Annotated[
        str,
        Setting(
            "Name of the line, as in its certificate.", variable="FRAMEGATE_LINE", example="press-7"
        ),
    ]
    camera: Annotated[
        tuple[str, ...],
        Setting(
            "Id of a camera that sees every part; a part passes only if all of them say PASS.",
            example=("camera.line-1.cam1",),
        ),
    ]
    deadline_ms: Annotated[
        int,
        Setting("From trigger to decision.", unit="ms", least=1, most=MAX_DEADLINE_MS),
    ] = 2000
    hold_ms: Annotated[
        int,
        Setting(
            "How long after its deadline a part may be on its way to the diverter.",
            unit="ms",
            least=0,
            most=MAX_DEADLINE_MS,
        ),
    ] = 10_000
    stop_after: Annotated[
        int,
        Setting("UNINSPECTED parts in a row that ask for a line stop.", unit="parts", least=1),
    ] = 3
    credentials: Annotated[
        Path,
        Setting(
            "Folder that framegate-controller line-certificate wrote.",
            example=Path("/etc/framegate/press-7"),
        ),
    ]
    broker: Annotated[
        str, Setting("MQTT broker.", form=HOST_PORT, example="broker.example.net:8883")
    ]
    broker_name: Annotated[
        str,
        Setting(
            "The broker's certificate name, broker.<fleet>.framegate.",
            example="broker.plant.framegate",
        ),
    ]
    ledger: Annotated[Path, Setting("The part ledger.")] = Path("/var/lib/framegate-line/ledger.db")
    ledger_days: Annotated[
        int,
        Setting("How long decided parts stay in it.", unit="days", least=1, most=MAX_DAYS),
    ] = 90
    ledger_quota: Annotated[
        int,
        Setting("How large it may grow; then the oldest decided parts go.", unit="MiB", least=16),
    ] = 1024
    triggers: Annotated[
        Literal["mqtt", "-"],
        Setting("Where parts are announced: the broker, or lines of JSON on standard input."),
    ] = MQTT
    output: Annotated[
        tuple[str, ...],
        Setting(
            "Where decisions go: mqtt, modbus:HOST:PORT or file:PATH.",
            form=_OUTPUT,
        ),
    ] = (MQTT,)
    metrics: MetricsAt = ""
    metrics_tls: MetricsTls = None
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False

    def problems(self) -> Iterator[Failure]:
        """The rules of a line: cameras of one zone, each once."""
        yield from metrics_problems(self, self.metrics, self.metrics_tls)
        if len(self._zones) != 1:
            wanted, seen = "--camera: ids camera.ZONE.NAME of one zone", ", ".join(self.camera)
            yield Failure(Reason.USAGE, wanted, seen or "none", "framegate camera list")
            return
        try:
            _ = self.rules
        except FramegateError as error:
            yield from error.failures

    @property
    def rules(self) -> Rules:
        """The line's rules. Raises Malformed."""
        zone = min(self._zones, default="")
        return Rules(self.line, zone, self.camera, self.deadline_ms, self.stop_after, self.hold_ms)

    @property
    def retention(self) -> Retention:
        """What the ledger keeps."""
        return Retention(self.ledger_days * 86_400_000, self.ledger_quota * 2**20)

    @property
    def _zones(self) -> frozenset[str]:
        return frozenset(c.split(".")[1] if c.count(".") == 2 else c for c in self.camera)
