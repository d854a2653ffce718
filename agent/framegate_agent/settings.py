"""What an agent can be told."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Final

from framegate.errors import Failure
from framegate.transparency.cosignature import Quorum
from framegate_host.cosigning import (
    CosignedWithin,
    Cosigners,
    RequireCosigned,
    cosigning_problems,
    quorum_of,
)
from framegate_host.payload_kinds import PACKAGE_NAME
from framegate_host.setting_records import Settings, declared
from framegate_host.setting_values import DIGEST, HOST_PORT, Setting
from framegate_host.telemetry.listening import (
    MetricsAt,
    MetricsTls,
    TracesTo,
    metrics_problems,
    traces_problems,
)

BOOT_LOG_PATH: Final = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
IMA_PATH: Final = Path("/sys/kernel/security/ima/binary_runtime_measurements")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings(Settings):
    """How an agent runs: on a camera's machine with sources, on a gateway's host with a socket."""

    PROGRAM: ClassVar[str] = "agent"
    KEPT: ClassVar[tuple[str, ...]] = ("tcti", "boot_log", "ima")
    """What `join` was told of the machine, for `run`, `doctor` and the others."""

    state: Annotated[Path, Setting("Folder of the agent's state.")] = Path(
        "/var/lib/framegate-agent"
    )
    tcti: Annotated[
        str,
        Setting(
            "TPM: device:/dev/tpmrm0, or swtpm:path=SOCKET for a simulated one.",
            variable="FRAMEGATE_TCTI",
        ),
    ] = "device:/dev/tpmrm0"
    boot_log: Annotated[
        Path, Setting("The firmware's event log.", variable="FRAMEGATE_BOOT_LOG")
    ] = BOOT_LOG_PATH
    ima: Annotated[
        Path, Setting("The kernel's IMA measurement list, binary.", variable="FRAMEGATE_IMA")
    ] = IMA_PATH
    ticket: Annotated[
        Path | None,
        Setting(
            "File of a ticket: a machine of no fleet joins with it first, one that has joined "
            "does not look at it.",
            example=Path("/etc/framegate/ticket"),
        ),
    ] = None
    source: Annotated[
        tuple[str, ...],
        Setting(
            "Where frames come from: folder:PATH, video:PATH, device:N, rtsp://…, exec:COMMAND, "
            "or address:FILE, a file that holds any of these, for one with a password in it.",
            example=("device:0",),
            instead="--source address:FILE",
        ),
    ] = ()
    part_type: Annotated[
        str,
        Setting(
            "What the line makes; default: of folder: each file's own name, else part. A program "
            "says it itself."
        ),
    ] = ""
    rate: Annotated[
        float,
        Setting("Frames a second; 0: as fast as the source gives them.", unit="frames/s", least=0),
    ] = 0.0
    repeat: Annotated[bool, Setting("Begin again at the end of a folder or video.")] = False
    payload: Annotated[
        tuple[str, ...],
        Setting(
            "Python package of a further kind of payload; images and series are always known.",
            form=PACKAGE_NAME,
            example=("acme_records",),
        ),
    ] = ()
    gateway_socket: Annotated[
        Path | None,
        Setting(
            "On a gateway's host: the socket for gateway processes.",
            variable="FRAMEGATE_GATEWAY_SOCKET",
            example=Path("/run/framegate/agent.sock"),
        ),
    ] = None
    gateway_uid: Annotated[
        tuple[int, ...],
        Setting(
            "uid that may connect to the socket; default: the agent's own.",
            least=0,
            example=(990,),
        ),
    ] = ()
    gateway_program: Annotated[
        tuple[Path, ...],
        Setting(
            "Executable that a process on the socket must run, for Python its interpreter; "
            "default: the agent's own.",
            example=(Path("/usr/bin/python3"),),
        ),
    ] = ()
    gateway_program_sha256: Annotated[
        tuple[str, ...],
        Setting(
            "SHA-256 of an executable that a process on the socket may run besides: a container's "
            "is another file than the host's.",
            form=DIGEST,
            example=("2e" * 32,),
        ),
    ] = ()
    model: Annotated[
        tuple[str, ...],
        Setting(
            "SHA-256 of a model that may see this camera's frames; default: whatever the "
            "controller grants.",
            form=DIGEST,
            example=("1f" * 32,),
        ),
    ] = ()
    gateway: Annotated[
        tuple[str, ...],
        Setting(
            "Id of a gateway's host that may have frames; default: whatever the controller grants.",
            example=("gateway.line-1.gw1",),
        ),
    ] = ()
    broker: Annotated[
        str,
        Setting(
            "Send sealed frames through this MQTT broker instead of a stream.",
            form=HOST_PORT,
            example="broker.example.net:8883",
        ),
    ] = ""
    broker_name: Annotated[
        str,
        Setting(
            "The broker's certificate name, broker.<fleet>.framegate.",
            example="broker.plant.framegate",
        ),
    ] = ""
    watch: Annotated[
        tuple[Path, ...],
        Setting(
            "A file whose content is reported, and at once when it changes.",
            example=(Path("/etc/ssh/sshd_config"),),
        ),
    ] = ()
    unconfined: Annotated[
        bool,
        Setting(
            "Run capture children even where the kernel cannot confine them; their first line in "
            "the log says what is lacking."
        ),
    ] = False
    cosigner: Cosigners = ()
    require_cosigned: RequireCosigned = 0
    cosigned_within: CosignedWithin = 24
    metrics: MetricsAt = ""
    metrics_tls: MetricsTls = None
    traces: TracesTo = ""
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False

    @property
    def demanded(self) -> Quorum | None:
        """Which witnesses must have seen a model's approval; None where nobody demands it."""
        return quorum_of(self.require_cosigned, self.cosigner, self.cosigned_within)

    def problems(self) -> Iterator[Failure]:
        """A broker is believed by its name alone."""
        yield from metrics_problems(self, self.metrics, self.metrics_tls)
        yield from traces_problems(self, self.traces)
        yield from cosigning_problems(self, self.require_cosigned, self.cosigner)
        if self.broker and not self.broker_name:
            yield self.beside("broker_name", "--broker", "broker.<fleet>.framegate")
        if self.broker_name and not self.broker:
            yield self.beside("broker", "--broker-name")


def elsewhere(state: Path) -> str:
    """How the folder of the state is named in a command: not at all where it is found without."""
    known = declared(AgentSettings)["state"]
    told = next((os.environ[v] for v in known.variables if v in os.environ), known.default)
    return "" if state == Path(told) else f" --state {shlex.quote(str(state))}"
