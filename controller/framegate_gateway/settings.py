"""What a gateway can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from framegate.errors import Failure, Reason
from framegate.payload.kinds import BUILT_IN, Kinds
from framegate.signed.statement import Outcome
from framegate.transparency.cosignature import Quorum
from framegate_gateway.backend.standing import BackendName, PinnedBackend
from framegate_gateway.inference.attested_model import AttestedBackend
from framegate_gateway.inference.parts import PICTURES, GoldenImages
from framegate_gateway.inference.providers import CPU, PROVIDERS
from framegate_gateway.inference.remote import Backend
from framegate_gateway.inference.signed_folder import signed_files
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.vault.frames import KEEP_DAYS
from framegate_host.cosigning import (
    CosignedWithin,
    Cosigners,
    RequireCosigned,
    cosigning_problems,
    quorum_of,
)
from framegate_host.key_files import read_public_key
from framegate_host.payload_kinds import PACKAGE_NAME
from framegate_host.setting_records import Settings
from framegate_host.setting_values import HOST_PORT, MAX_PORT, Form, Setting
from framegate_host.telemetry.listening import (
    MetricsAt,
    MetricsTls,
    TracesTo,
    metrics_problems,
    traces_problems,
)

MAX_THREADS: Final = 64
"""The cores of the largest machine beside a line; more threads than cores only wait."""
MAX_DAYS: Final = 36_500
_PROVIDER: Final = Form(", ".join(PROVIDERS), "|".join(PROVIDERS))
_REACHED: Final = Form("host or host:port", rf"[^\s:/\[\]]+|{HOST_PORT.pattern}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(Settings):
    """How a gateway runs. Ports are fixed, because grants name them before they open."""

    PROGRAM: ClassVar[str] = "gateway"

    agent_socket: Annotated[
        Path,
        Setting(
            "Socket of this host's agent (framegate-agent run --gateway-socket).",
            variable="FRAMEGATE_GATEWAY_SOCKET",
            example=Path("/run/framegate/agent.sock"),
        ),
    ]
    golden: Annotated[
        tuple[Path, ...],
        Setting(
            "Folder of golden images, TYPE.png or TYPE.jpg, and of golden windows, TYPE.series.",
            there="folder",
            example=(Path("/etc/framegate/golden"),),
        ),
    ] = ()
    golden_key: Annotated[
        tuple[Path, ...],
        Setting(
            "Public key (PEM) that must have signed those folders: framegate-gateway data sign.",
            example=(Path("/etc/framegate/golden.pem"),),
        ),
    ] = ()
    bundle: Annotated[
        Path | None,
        Setting(
            "Model bundle until the controller pins one; default: the shipped one.",
            example=Path("/var/lib/framegate-gateway/bundle"),
        ),
    ] = None
    payload: Annotated[
        tuple[str, ...],
        Setting(
            "Python package of a further kind of payload; images and series are always known.",
            form=PACKAGE_NAME,
            example=("acme_records",),
        ),
    ] = ()
    models: Annotated[
        tuple[Path, ...],
        Setting(
            "Folder of signed bundles that the controller may pin.",
            example=(Path("/var/lib/framegate-gateway/models"),),
        ),
    ] = ()
    host: Annotated[str, Setting("Address to listen on.")] = "127.0.0.1"
    advertise: Annotated[
        str,
        Setting(
            "Host, or host:port, that cameras reach; default: --host and --port.",
            form=_REACHED,
            example="gateway.example.net",
        ),
    ] = ""
    port: Annotated[int, Setting("Where cameras send frames.", least=1, most=MAX_PORT)] = 7445
    operator_port: Annotated[int, Setting("Where operators ask.", least=1, most=MAX_PORT)] = 7446
    broker: Annotated[
        str,
        Setting(
            "MQTT broker for signed verdicts; default: none.",
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
    frames_over_broker: Annotated[
        bool, Setting("Take sealed frames from the broker too (framegate-agent run --broker).")
    ] = False
    state: Annotated[
        Path, Setting("Folder of receipts, vault, and the highest feed revision seen.")
    ] = Path("/var/lib/framegate-gateway")
    receipt_quota: Annotated[
        int,
        Setting(
            "Room for the receipts of one camera; then its oldest go, but none whose frame is in "
            "the vault or that is not in the controller's log.",
            unit="MiB",
            least=1,
        ),
    ] = 4096
    export_to: Annotated[
        tuple[str, ...],
        Setting(
            "A destination that frames may be exported to, for instance a department; "
            "default: none.",
            example=("quality",),
        ),
    ] = ()
    export_quota: Annotated[
        int, Setting("Frames one operator may export in 24 hours.", unit="frames", least=0)
    ] = 100
    keep: Annotated[
        Mapping[str, int],
        Setting(
            "How long frames stay in the vault, by outcome.",
            unit="days",
            least=0,
            most=MAX_DAYS,
            names=tuple(Outcome),
        ),
    ] = field(default_factory=lambda: dict(KEEP_DAYS))
    threads: Annotated[int, Setting("Threads of the model.", least=1, most=MAX_THREADS)] = 2
    provider: Annotated[
        str,
        Setting(
            "Execution provider of onnxruntime that runs the network, where it is installed: cpu, "
            "openvino, cuda. Receipts name it.",
            form=_PROVIDER,
        ),
    ] = CPU
    backend: Annotated[
        str,
        Setting(
            "Model server (Open Inference Protocol, mutual TLS) that runs the network; "
            "default: this host.",
            form=HOST_PORT,
            example="models.example.net:8001",
        ),
    ] = ""
    backend_model: Annotated[str, Setting("The model's name there.", example="board-defects")] = ""
    backend_name: Annotated[
        str, Setting("The name in its certificate.", example="models.example.net")
    ] = ""
    backend_tls: Annotated[
        Path | None,
        Setting(
            "Folder with root.pem, certificate.pem and key.pem for it.",
            there="folder",
            example=Path("/etc/framegate/backend"),
        ),
    ] = None
    unattested_backend: Annotated[
        bool, Setting("Accept that it attests nothing; receipts say so.")
    ] = False
    backend_id: Annotated[
        str,
        Setting(
            "Id of an attested model server, which signs what it answers; receipts name it.",
            example="backend.line-1.models1",
        ),
    ] = ""
    backend_site: Annotated[
        str,
        Setting(
            "The site that it is of, as framegate site list names it; default: this fleet.",
            example="north",
        ),
    ] = ""
    inference_port: Annotated[
        int,
        Setting(
            "Serve the Open Inference Protocol to this zone's cameras; its answers are no "
            "verdicts; 0: not.",
            least=0,
            most=MAX_PORT,
        ),
    ] = 0
    unconfined: Annotated[
        bool,
        Setting(
            "Serve even where the kernel cannot confine the inference child; every receipt says so."
        ),
    ] = False
    feed_silence: Annotated[
        Literal["zone", "close"],
        Setting(
            "When the controller is silent: the zone's rule (framegate zone set), or close at once."
        ),
    ] = "zone"
    cosigner: Cosigners = ()
    require_cosigned: RequireCosigned = 0
    cosigned_within: CosignedWithin = 24
    metrics: MetricsAt = ""
    metrics_tls: MetricsTls = None
    traces: TracesTo = ""
    verbose: Annotated[bool, Setting("Log what goes on.", short="-v")] = False

    def problems(self) -> Iterator[Failure]:
        """A broker is believed by its name alone; a model server has to be accepted as it is."""
        yield from metrics_problems(self, self.metrics, self.metrics_tls)
        yield from traces_problems(self, self.traces)
        yield from cosigning_problems(self, self.require_cosigned, self.cosigner)
        if self.broker and not self.broker_name:
            hint = "the name in its certificate: framegate-controller server-certificate broker"
            yield self.beside("broker_name", "--broker", hint)
        for name, given in (
            ("broker_name", self.broker_name),
            ("frames_over_broker", self.frames_over_broker),
        ):
            if given and not self.broker:
                yield self.beside("broker", f"--{name.replace('_', '-')}")
        yield from self._backend_problems()

    def _backend_problems(self) -> Iterator[Failure]:
        if self.backend_id or self.backend_site:
            yield from self._attested_problems()
            return
        named = {
            "backend_model": self.backend_model,
            "backend_name": self.backend_name,
            "backend_tls": self.backend_tls,
        }
        if not self.backend:
            if any(named.values()) or self.unattested_backend:
                yield self.beside("backend", "settings of a model server")
            return
        yield from (self.beside(name, "--backend") for name, given in named.items() if not given)
        if not self.unattested_backend:
            hint = (
                "a model server proves nothing of itself; say that this is accepted, "
                "or run the model here"
            )
            yield self.beside("unattested_backend", "--backend", hint)

    def _attested_problems(self) -> Iterator[Failure]:
        """One that is attested is known by its id; nothing else says whom to believe."""
        if not self.backend:
            yield self.beside("backend", "--backend-id")
        if not self.backend_id:
            yield self.beside("backend_id", "--backend-site", "backend.<zone>.<name>, there")
        others = {
            "--backend-model": self.backend_model,
            "--backend-name": self.backend_name,
            "--backend-tls": self.backend_tls,
            "--unattested-backend": self.unattested_backend,
        }
        for flag, given in others.items():
            if given:
                wanted, hint = f"--backend-id without {flag}", "one way to know the server"
                yield Failure(Reason.USAGE, wanted, "both", hint)

    @property
    def demanded(self) -> Quorum | None:
        """Which witnesses must have seen what is decided; None where nobody demands it."""
        return quorum_of(self.require_cosigned, self.cosigner, self.cosigned_within)

    @property
    def reached(self) -> tuple[str, int]:
        """Host and port where cameras reach this gateway."""
        host, _, port = self.advertise.partition(":")
        if self.advertise.startswith("["):
            host, _, port = self.advertise.rpartition(":")
        return host or self.host, int(port or self.port)


def golden_of(settings: GatewaySettings, kinds: Kinds = BUILT_IN) -> GoldenImages:
    """The golden images and golden windows of this host, of the payloads in `kinds`. Raises where
    somebody else's signature, or none, is on them.
    """
    keys = [read_public_key(path) for path in settings.golden_key]
    endings = frozenset(f".{ending}" for kind in kinds for ending in kind.encodings.values())
    signed = signed_files(settings.golden, keys)
    return GoldenImages(settings.golden, signed, PICTURES | endings)


def backend_of(
    settings: GatewaySettings, keys: GatewayKeys, view: TrustView
) -> Backend | AttestedBackend | None:
    """The model server that inspects instead of the child; None where the child does. Raises
    Malformed, Refused (USAGE, BACKEND) where its id is none.
    """
    if settings.backend_id:
        name = BackendName(settings.backend_id, settings.backend_site)
        return AttestedBackend(settings.backend, PinnedBackend(name, keys, view))
    s, tls = settings, settings.backend_tls
    if not s.backend or tls is None:
        return None
    root, certificate, key = tls / "root.pem", tls / "certificate.pem", tls / "key.pem"
    return Backend(s.backend, s.backend_model, s.backend_name, root, certificate, key)
